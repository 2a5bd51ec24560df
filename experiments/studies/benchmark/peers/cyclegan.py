"""The networks of `gans.models.resnet`, `unet` and `patchgan` in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from experiments.studies.benchmark.peers.layers import InstanceNorm, doubling, named

_DROPOUT_BLOCKS = 3


@named("ResidualBlock")
class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, features: int):
        super().__init__()
        self.conv = nn.ModuleList(
            nn.Conv2d(features, features, 3, padding=1, padding_mode="reflect") for _ in range(2)
        )
        self.norm = nn.ModuleList(InstanceNorm(features) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm[0](self.conv[0](x)))
        return x + self.norm[1](self.conv[1](y))


class ResNet(nn.Module):
    """The generator of the paper."""

    def __init__(self, *, channels: int, features: int, blocks: int, upsampling: str):
        super().__init__()
        f = features
        around = {"padding": 3, "padding_mode": "reflect"}
        self.conv = nn.ModuleList(
            [
                nn.Conv2d(channels, f, 7, **around),
                nn.Conv2d(f, 2 * f, 3, 2, 1),
                nn.Conv2d(2 * f, 4 * f, 3, 2, 1),
                nn.Conv2d(f, channels, 7, **around),
            ]
        )
        self.blocks = nn.ModuleList(ResidualBlock(4 * f) for _ in range(blocks))
        self.up = nn.ModuleList(
            doubling(upsampling, wide, wide // 2, 3, bias=True) for wide in (4 * f, 2 * f)
        )
        self.norm = nn.ModuleList(InstanceNorm(wide) for wide in (f, 2 * f, 4 * f, 2 * f, f))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(3):
            x = torch.relu(self.norm[i](self.conv[i](x)))
        for block in self.blocks:
            x = block(x)
        for i in range(2):
            x = torch.relu(self.norm[3 + i](self.up[i](x)))
        return torch.tanh(self.conv[3](x).float())


class _UNet(nn.Module):
    """What both U-Nets share: the layers."""

    def __init__(
        self, channels: int, features: Sequence[int], upsampling: str, dropout: float, bias: bool
    ):
        super().__init__()
        down = [channels, *features]
        self.conv = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1, bias=bias) for a, b in zip(down, features, strict=False)
        )
        # Each doubling but the innermost sees the one before it and what was halved to its size.
        seen = [features[-1], *(2 * wide for wide in features[-2::-1])]
        made = [*features[-2::-1], channels]
        last = len(features) - 1
        self.up = nn.ModuleList(
            doubling(upsampling, a, b, 4, bias=bias or i == last)
            for i, (a, b) in enumerate(zip(seen, made, strict=True))
        )
        self.dropout = nn.Dropout(dropout)


class TutorialUNet(_UNet):
    """The U-Net of the TensorFlow tutorials."""

    def __init__(
        self,
        *,
        channels: int,
        features: Sequence[int],
        dropout: float,
        slope: float,
        upsampling: str,
    ):
        super().__init__(channels, features, upsampling, dropout, bias=False)
        widths = [*features[1:], *features[-2::-1]]
        self.norm = nn.ModuleList(InstanceNorm(width, affine=True) for width in widths)
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips, norms = [], iter(self.norm)
        for i, conv in enumerate(self.conv):
            x = conv(x)
            x = functional.leaky_relu(next(norms)(x) if i > 0 else x, self.slope)
            skips.append(x)
        for i, skip in enumerate(reversed(skips[:-1])):
            x = next(norms)(self.up[i](x))
            x = self.dropout(x) if i < _DROPOUT_BLOCKS else x
            x = torch.cat([torch.relu(x), skip], 1)
        return torch.tanh(self.up[-1](x).float())


class PaperUNet(_UNet):
    """The U-Net of the paper's code."""

    def __init__(self, *, channels: int, features: Sequence[int], dropout: float, upsampling: str):
        super().__init__(channels, features, upsampling, dropout, bias=True)
        widths = [*features[1:-1], *features[-2::-1]]
        self.norm = nn.ModuleList(InstanceNorm(width) for width in widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips, norms = [], iter(self.norm)
        innermost = len(self.conv) - 1
        for i, conv in enumerate(self.conv):
            x = conv(functional.leaky_relu(x, 0.2) if i > 0 else x)
            x = next(norms)(x) if 0 < i < innermost else x
            skips.append(x)
        for i, skip in enumerate(reversed(skips[:-1])):
            x = next(norms)(self.up[i](torch.relu(x)))
            x = self.dropout(x) if 1 <= i <= _DROPOUT_BLOCKS else x
            x = torch.cat([skip, x], 1)
        return torch.tanh(self.up[-1](torch.relu(x)).float())


class PatchGAN(nn.Module):
    """Images to maps of logits `[B, 1, h, w]`."""

    def __init__(
        self,
        *,
        channels: int,
        features: int,
        depth: int,
        slope: float,
        affine: bool,
        use_bias: bool,
    ):
        super().__init__()
        widths = [channels, *(features * min(2**i, 8) for i in range(depth + 1))]
        self.conv, self.norm, self.slope = nn.ModuleList(), nn.ModuleList(), slope
        for i in range(depth + 1):
            stride = 2 if i < depth else 1
            self.conv.append(nn.Conv2d(widths[i], widths[i + 1], 4, stride, 1, bias=use_bias))
            if i > 0:
                self.norm.append(InstanceNorm(widths[i + 1], affine=affine))
        self.conv.append(nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, conv in enumerate(self.conv[:-1]):
            x = conv(x)
            x = functional.leaky_relu(self.norm[i - 1](x) if i > 0 else x, self.slope)
        return self.conv[-1](x).float()

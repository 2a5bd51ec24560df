"""The networks of `gans.models.r3gan` in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from experiments.studies.benchmark.peers.layers import named

_SMALLEST = 4
_SLOPE = 0.2


@named("ResidualBlock")
class ResidualBlock(nn.Module):
    """An inverted bottleneck beside the identity."""

    def __init__(self, features: int, expansion: int, group_features: int):
        super().__init__()
        wide = features * expansion
        self.conv = nn.ModuleList(
            [
                nn.Conv2d(features, wide, 1),
                nn.Conv2d(wide, wide, 3, padding=1, groups=wide // group_features),
                nn.Conv2d(wide, features, 1, bias=False),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.leaky_relu(self.conv[0](x), _SLOPE)
        return x + self.conv[2](functional.leaky_relu(self.conv[1](y), _SLOPE))


class _Stages(nn.Module):
    """What both networks share: blocks of a width in each stage, and 1x1 convolutions between."""

    def __init__(
        self,
        image_size: int,
        features: int | Sequence[int],
        blocks: int,
        expansion: int,
        group_features: int,
    ):
        super().__init__()
        stages = (image_size // _SMALLEST).bit_length()
        self.widths = (features,) * stages if isinstance(features, int) else tuple(features)
        self.conv = nn.ModuleList(
            _pointwise(a, b) for a, b in zip(self.widths, self.widths[1:], strict=False) if a != b
        )
        self.block = nn.ModuleList(
            ResidualBlock(width, expansion, group_features)
            for width in self.widths
            for _ in range(blocks)
        )
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("blur", torch.outer(taps, taps)[None, None], persistent=False)
        # Of each stage the 1x1 convolution to its width, if there is one, and the blocks.
        convs, befores = iter(self.conv), (self.widths[0], *self.widths)
        self.stages = [
            (
                [next(convs)] if width != before else [],
                list(self.block[i * blocks : (i + 1) * blocks]),
            )
            for i, (before, width) in enumerate(zip(befores, self.widths, strict=False))
        ]


class Generator(_Stages):
    """Latent vectors, and labels if any, to images `[B, C, H, W]`."""

    def __init__(
        self,
        *,
        latent_dim: int,
        classes: int,
        image_size: int,
        channels: int,
        features: int | Sequence[int],
        condition_features: int,
        **fields: int,
    ):
        super().__init__(image_size, features, **fields)
        told = condition_features if classes else 0
        if classes:
            self.embedding = nn.Linear(classes, told, bias=False)
        self.stem = nn.Linear(latent_dim + told, self.widths[0], bias=False)
        self.basis = nn.Parameter(torch.randn(self.widths[0], _SMALLEST, _SMALLEST))
        self.to_image = _pointwise(self.widths[-1], channels)

    def forward(self, latent: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        x = latent if label is None else torch.cat([latent, self.embedding(label)], 1)
        x = self.basis * self.stem(x)[:, :, None, None]
        for i, (convs, blocks) in enumerate(self.stages):
            for conv in convs:
                x = conv(x)
            x = self._doubled(x) if i > 0 else x
            for block in blocks:
                x = block(x)
        return self.to_image(x).float()

    def _doubled(self, x: torch.Tensor) -> torch.Tensor:
        kernel = (4.0 * self.blur).expand(x.shape[1], -1, -1, -1)
        return functional.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


class Discriminator(_Stages):
    """Images, and labels if any, to logits `[B, 1]`."""

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        channels: int,
        features: int | Sequence[int],
        **fields: int,
    ):
        super().__init__(image_size, features, **fields)
        width = self.widths[-1]
        self.from_image = _pointwise(channels, self.widths[0])
        self.basis = nn.Parameter(torch.randn(width, _SMALLEST, _SMALLEST) / _SMALLEST)
        if classes:
            self.head = nn.Linear(width, width, bias=False)
            self.embedding = nn.Linear(classes, width, bias=False)
        else:
            self.logit = nn.Linear(width, 1, bias=False)

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        x = self.from_image(image)
        for i, (convs, blocks) in enumerate(self.stages):
            x = self._halved(x) if i > 0 else x
            for module in (*convs, *blocks):
                x = module(x)
        x = (x * self.basis).sum((2, 3))
        if label is None:
            return self.logit(x).float()
        return (self.head(x) * self.embedding(label)).sum(1, keepdim=True).float()

    def _halved(self, x: torch.Tensor) -> torch.Tensor:
        kernel = self.blur.expand(x.shape[1], -1, -1, -1)
        return functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)

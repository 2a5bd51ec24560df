"""The networks of `gans.models.dcgan` in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from experiments.studies.benchmark.peers.layers import (
    FromMap,
    ToMap,
    UpsampleConv,
    batch_norm,
    of_norm_one,
)


class Generator(nn.Module):
    """Latent vectors, and labels if any, to images `[B, C, H, W]`."""

    def __init__(
        self,
        *,
        latent_dim: int,
        classes: int,
        image_size: int,
        channels: int,
        stem_features: int,
        features: Sequence[int],
    ):
        super().__init__()
        size = image_size // 2 ** len(features)
        widths = [stem_features, *features]
        self.dense = nn.ModuleList([ToMap(latent_dim + classes, (stem_features, size, size))])
        self.up = nn.ModuleList(UpsampleConv(a, b) for a, b in zip(widths, features, strict=False))
        self.norm = nn.ModuleList(batch_norm(width) for width in features)
        self.last = nn.ModuleList([nn.Conv2d(widths[-1], channels, 3, padding=1)])

    def forward(self, latent: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        x = latent if label is None else torch.cat([latent, label], 1)
        x = torch.relu(self.dense[0](x))
        for conv, norm in zip(self.up, self.norm, strict=True):
            x = torch.relu(norm(conv(x)))
        return torch.tanh(self.last[0](x).float())


class Discriminator(nn.Module):
    """Images, and labels if any, to logits `[B, 1]`."""

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        classes: int,
        features: Sequence[int],
        strides: Sequence[int],
        hidden_features: Sequence[int],
        normalise: bool = True,
        spectral: bool = False,
    ):
        super().__init__()
        widths, size = [channels, *features], image_size
        wrap = of_norm_one if spectral else (lambda layer: layer)
        self.conv, self.norm = nn.ModuleList(), nn.ModuleList()
        for i, (width, stride) in enumerate(zip(features, strides, strict=True)):
            self.conv.append(wrap(nn.Conv2d(widths[i], width, 3, stride)))
            if i > 0:
                self.norm.append(batch_norm(width) if normalise else nn.Identity())
            size = -(-size // stride)
        outputs = [*hidden_features, 1]
        first = FromMap((widths[-1], size, size), classes, outputs[0])
        later = [nn.Linear(a, b) for a, b in zip(outputs, outputs[1:], strict=False)]
        self.dense = nn.ModuleList([wrap(layer) for layer in (first, *later)])

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        x = image
        for i, conv in enumerate(self.conv):
            x = conv(functional.pad(x, _same(x, conv.stride[0])))
            x = functional.leaky_relu(self.norm[i - 1](x) if i > 0 else x, 0.2)
        x = x.flatten(1)
        if label is not None:
            x = torch.cat([x, label.to(x.dtype)], 1)
        for i, dense in enumerate(self.dense):
            x = dense(torch.relu(x) if i > 0 else x)
        return x.float()


def _same(x: torch.Tensor, stride: int) -> tuple[int, int, int, int]:
    """Keras' "same" padding for 3x3: left, right, top, bottom, the larger half at the end."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max(0, (-(-size // stride) - 1) * stride + 3 - size)
        pads += [total // 2, total - total // 2]
    return tuple(pads)

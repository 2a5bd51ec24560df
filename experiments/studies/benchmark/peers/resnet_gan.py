"""The networks of `gans.models.resnet_gan` in PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from experiments.studies.benchmark.peers.layers import ToMap, UpsampleConv, named, of_norm_one

Wrap = Callable[[nn.Module], nn.Module]

_EPSILON = 2e-5


@named("ConditionalBatchNorm")
class ConditionalBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with a scale and an offset for each class."""

    def __init__(self, channels: int, classes: int):
        super().__init__(channels, eps=_EPSILON, affine=False)
        self.weight = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        running = self.running_mean, self.running_var
        y = functional.batch_norm(
            x, *running, training=self.training, momentum=self.momentum, eps=self.eps
        )
        scale, bias = ((label @ table)[:, :, None, None] for table in (self.weight, self.bias))
        return torch.addcmul(bias, y, scale)


@named("GeneratorBlock")
class GeneratorBlock(nn.Module):
    """Doubles images beside a 1x1 convolution of them, which is done before they are doubled."""

    def __init__(self, inputs: int, outputs: int, classes: int):
        super().__init__()
        plain = functools.partial(nn.BatchNorm2d, eps=_EPSILON)
        norm = functools.partial(ConditionalBatchNorm, classes=classes) if classes else plain
        self.norm = nn.ModuleList([norm(inputs), norm(outputs)])
        self.up = nn.ModuleList([UpsampleConv(inputs, outputs)])
        self.conv = nn.ModuleList(
            [nn.Conv2d(outputs, outputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1)]
        )

    def forward(self, x: torch.Tensor, *label: torch.Tensor) -> torch.Tensor:
        y = self.up[0](torch.relu(self.norm[0](x, *label)))
        y = self.conv[0](torch.relu(self.norm[1](y, *label)))
        return y + functional.interpolate(self.conv[1](x), scale_factor=2)


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
        self.dense = nn.ModuleList([ToMap(latent_dim, (stem_features, size, size))])
        self.block = nn.ModuleList(
            GeneratorBlock(a, b, classes) for a, b in zip(widths, features, strict=False)
        )
        self.norm = nn.ModuleList([nn.BatchNorm2d(widths[-1], eps=_EPSILON)])
        self.conv = nn.ModuleList([nn.Conv2d(widths[-1], channels, 3, padding=1)])

    def forward(self, latent: torch.Tensor, *label: torch.Tensor) -> torch.Tensor:
        x = self.dense[0](latent)
        for block in self.block:
            x = block(x, *label)
        return torch.tanh(self.conv[0](torch.relu(self.norm[0](x))).float())


@named("ConvPool")
class ConvPool(nn.Conv2d):
    """A 3x3 convolution, then the mean of each 2x2 pixels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(super().forward(x), 2)


@named("Embed")
class Embed(nn.Embedding):
    """The vectors of one-hot labels."""

    def forward(self, label: torch.Tensor) -> torch.Tensor:
        return label @ self.weight


@named("DiscriminatorBlock")
class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions beside the identity or a 1x1 one, which is done on halved images."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool, is_first: bool, wrap: Wrap):
        super().__init__()
        hidden = outputs if is_first else inputs
        convs = [nn.Conv2d(inputs, hidden, 3, padding=1)]
        if not halves:
            convs.append(nn.Conv2d(hidden, outputs, 3, padding=1))
        if halves or inputs != outputs:
            convs.append(nn.Conv2d(inputs, outputs, 1))
        pools = [ConvPool(hidden, outputs)] if halves else []
        self.conv, self.pool = nn.ModuleList(map(wrap, convs)), nn.ModuleList(map(wrap, pools))
        self.halves, self.is_first = halves, is_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.conv[0](x if self.is_first else torch.relu(x)))
        if self.halves:
            return self.pool[0](y) + self.conv[1](functional.avg_pool2d(x, 2))
        return self.conv[1](y) + (self.conv[2](x) if len(self.conv) > 2 else x)


class Discriminator(nn.Module):
    """Images, and labels if any, to logits `[B, 1]`."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        features: Sequence[int],
        downsample: Sequence[bool],
        spectral: bool,
        pooling: str,
    ):
        super().__init__()
        wrap = of_norm_one if spectral else (lambda layer: layer)
        widths = [channels, *features]
        self.block = nn.ModuleList(
            DiscriminatorBlock(widths[i], width, halves=halves, is_first=i == 0, wrap=wrap)
            for i, (width, halves) in enumerate(zip(features, downsample, strict=True))
        )
        self.dense = nn.ModuleList([wrap(nn.Linear(widths[-1], 1))])
        self.embed = nn.ModuleList([wrap(Embed(classes, widths[-1]))] if classes else [])
        self.pooled = {"sum": torch.sum, "mean": torch.mean}[pooling]

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        x = image
        for block in self.block:
            x = block(x)
        x = self.pooled(torch.relu(x).float(), (2, 3))
        logits = self.dense[0](x).float()
        if label is None:
            return logits
        return logits + (self.embed[0](label).float() * x).sum(1, keepdim=True)

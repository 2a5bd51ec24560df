"""PyTorch's layers under the names of ours, so that parameters can be copied to them by name.

In a network here a layer that ours gives no name is an item of a `ModuleList`: the third `Conv2d`
of one is what Flax calls `Conv_2`. Others have our names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from flax.traverse_util import flatten_dict
from torch import nn
from torch.nn import functional

from gans.errors import UserError


class UpsampleConv(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.interpolate(x, scale_factor=2))


class InstanceNorm(nn.InstanceNorm2d):
    """PyTorch's, but where it cannot be used.

    It refuses single pixels, which equal their own mean. And for one image, if what comes back
    is channels last, its gradient is wrong on the CPU (PyTorch 2.13, by as much as the gradient
    itself). A group norm with a group for each channel is the same, and right.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2:] == (1, 1):
            offset = 0.0 if self.bias is None else self.bias[:, None, None]
            return torch.zeros_like(x) + offset
        if x.is_contiguous():
            return super().forward(x)
        return functional.group_norm(x, x.shape[1], self.weight, self.bias, self.eps)


class ToMap(nn.Linear):
    """A dense layer whose outputs are a feature map `[B, C, H, W]`; `shape` is `(C, H, W)`."""

    def __init__(self, inputs: int, shape: tuple[int, int, int]):
        super().__init__(inputs, shape[0] * shape[1] * shape[2])
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).reshape(-1, *self.shape)


class FromMap(nn.Linear):
    """A dense layer of a flattened feature map of `shape` `(C, H, W)`, and of what follows it."""

    def __init__(self, shape: tuple[int, int, int], rest: int, outputs: int):
        super().__init__(shape[0] * shape[1] * shape[2] + rest, outputs)
        self.shape = shape


def of_norm_one(layer: nn.Module) -> nn.Module:
    """A layer with spectral normalisation, whose epsilon is that of `gans.ops.spectral`."""
    return nn.utils.spectral_norm(layer, eps=1e-12)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """With the tutorials' constants; PyTorch's momentum is what Keras' leaves to 1."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.2)


def doubling(name: str, inputs: int, outputs: int, kernel_size: int, bias: bool) -> nn.Module:
    """The layer by which a CycleGAN generator doubles an image: see `gans.models.layers`."""
    if name == "resize":
        return UpsampleConv(inputs, outputs, bias=bias)
    return nn.ConvTranspose2d(
        inputs, outputs, kernel_size, 2, padding=1, output_padding=4 - kernel_size, bias=bias
    )


# Our names of layers, by PyTorch's kinds; a network adds its own blocks with `named`.
_NAMES: dict[type[nn.Module], str] = {
    nn.Conv2d: "Conv",
    nn.ConvTranspose2d: "ConvTranspose",
    nn.Linear: "Dense",
    ToMap: "Dense",
    FromMap: "Dense",
    UpsampleConv: "UpsampleConv",
    nn.BatchNorm2d: "BatchNorm",
    InstanceNorm: "InstanceNorm",
}


def named(name: str):
    """Says what a block of layers is called in Flax."""

    def note(kind: type[nn.Module]) -> type[nn.Module]:
        _NAMES[kind] = name
        return kind

    return note


@torch.no_grad()
def copy(variables: Mapping[str, Any], net: nn.Module) -> None:
    """Copies our parameters, running statistics and vectors of spectral norms into a network.

    Args:
      variables: `params` and, if any, `batch_stats` and `spectral`, as numpy arrays.
      net: their counterpart.

    Raises:
      UserError: the one has what the other has not.
    """
    left = {path[1:]: value for path, value in flatten_dict(dict(variables)).items()}
    for name, tensor in net.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if kind in _FOLLOWING:
            continue
        path = _path(net, layer)
        ours = _LEAVES.get(kind) or next((x for x in _WEIGHTS if (*path, x) in left), "kernel")
        value = left.pop((*path, ours), None)
        if value is not None and ours == "kernel":
            value = _turned(net.get_submodule(layer), np.asarray(value))
        if value is not None and ours == "basis":
            value = np.moveaxis(np.asarray(value), -1, 0)
        if value is None or tuple(value.shape) != tuple(tensor.shape):
            raise UserError(
                f"PyTorch's network has {name} of shape {tuple(tensor.shape)}, ours "
                f"{'none' if value is None else tuple(value.shape)}."
            )
        tensor.copy_(torch.from_numpy(np.array(value)))
    if left:
        raise UserError(f"PyTorch's network has nothing for our {'/'.join(min(left))}.")


# Our names of what a layer has, by PyTorch's; its weight may have several.
_LEAVES = {
    "bias": "bias",
    "running_mean": "mean",
    "running_var": "var",
    "weight_u": "u",
    "basis": "basis",
}
_WEIGHTS = ("kernel", "scale", "embedding")
_FOLLOWING = ("num_batches_tracked", "weight_v")  # from what is copied, or of no use


def _path(net: nn.Module, layer: str) -> tuple[str, ...]:
    """`blocks.3.conv.0` as `("ResidualBlock_3", "Conv_0")`, and `stem` as `("stem",)`."""
    path, module = [], net
    for part in layer.split(".") if layer else ():
        parent, module = module, getattr(module, part)
        if isinstance(parent, nn.ModuleList):
            path.append(f"{_NAMES[type(module)]}_{part}")
        elif not isinstance(module, nn.ModuleList):
            path.append(part)
    return tuple(path)


def _turned(layer: nn.Module, kernel: np.ndarray) -> np.ndarray:
    """A kernel `[h, w, in, out]` or `[in, out]` as PyTorch has it in such a layer."""
    if isinstance(layer, nn.ConvTranspose2d):
        return kernel[::-1, ::-1].transpose(2, 3, 0, 1)
    if isinstance(layer, nn.Conv2d):
        return kernel.transpose(3, 2, 0, 1)
    if isinstance(layer, ToMap):
        channels, height, width = layer.shape
        kernel = kernel.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
        return kernel.reshape(len(kernel), -1).T
    if isinstance(layer, FromMap):
        channels, height, width = layer.shape
        of_map, rest = np.split(kernel, [channels * height * width])
        of_map = of_map.reshape(height, width, channels, -1).transpose(2, 0, 1, 3)
        return np.concatenate([of_map.reshape(-1, kernel.shape[1]), rest]).T
    return kernel.T

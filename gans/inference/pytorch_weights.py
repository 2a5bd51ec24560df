"""Weights of the CycleGAN authors' PyTorch code in our networks.

https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix publishes trained generators and
writes `latest_net_G_A.pth` and the like while it trains: state dicts, names of layers with
their tensors. A layer's name counts the modules before it, activations and padding
included, so for each network here its counterpart's names are worked out. `gans.files.weight_files`
reads the files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from gans.errors import UserError
from gans.models import patchgan, resnet, unet

Weights = Mapping[str, np.ndarray]
"""A state dict: tensors by name."""

LeafPath = tuple[str, ...]
"""Where a parameter, or a layer, is in the tree of a network's parameters."""

Layers = Iterator[tuple[str, LeafPath]]
"""Layers by their names in PyTorch and here."""

# Running statistics that PyTorch before 0.4 kept of instance normalisation and never used.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
# The fields, where a network has them, that make it the authors'.
_FIELDS = {"upsampling": "transposed", "slope": 0.2, "affine": False, "use_bias": True}


def convert(weights: Weights, module: nn.Module, params: Any) -> dict[str, Any]:
    """The parameters of one of our networks from its counterpart's state dict.

    Args:
      weights: as `weight_files.load` returns them; names may begin with `module.`.
      module: `resnet.Generator`, `unet.PaperGenerator`, `patchgan.Discriminator` or
        `patchgan.PixelDiscriminator`.
      params: parameters of `module`, of which only the shapes matter.

    Returns:
      Parameters of `module`, float32.

    Raises:
      UserError: the network has no counterpart, or the state dict is of another network; the
        message names the first tensor that differs.
    """
    _check_counterpart(module)
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    wanted = {
        f"{layer}.{theirs}": (*path, ours)
        for layer, path in _LAYERS[type(module)](module, weights)
        for theirs, ours in (("weight", "kernel"), ("bias", "bias"))
    }
    shapes = {path: leaf.shape for path, leaf in flatten_dict(params).items()}
    _check_normalisation(weights, wanted)
    weights = {name: x for name, x in weights.items() if name.rpartition(".")[2] not in _BUFFERS}
    unwanted = [
        _described(name, value.shape) for name, value in weights.items() if name not in wanted
    ]
    converted = {}
    for name, path in wanted.items():
        shape = _torch_shape(path, shapes[path])
        if name not in weights:
            instead = f", but has {unwanted[0]}" if unwanted else ""
            raise UserError(f"the file has no {_described(name, shape)}{instead}.")
        if weights[name].shape != shape:
            raise UserError(
                f"{name} has shape {weights[name].shape} in the file, {shape} in the network."
            )
        converted[path] = _to_ours(path, weights[name]).astype(np.float32)
    if unwanted:
        raise UserError(f"the file has {unwanted[0]}, which the network has not.")
    return unflatten_dict(converted)


def _check_counterpart(module: nn.Module) -> None:
    """Raises UserError unless the authors' code has such a network."""
    kind = type(module)
    if kind not in _LAYERS:
        name = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
        known = ", ".join(f"{k.__module__.rpartition('.')[2]}.{k.__name__}" for k in _LAYERS)
        raise UserError(f"{name} is not a network of the PyTorch code; those are {known}.")
    for field, value in _FIELDS.items():
        if getattr(module, field, value) != value:
            raise UserError(
                f"the network's {field} is {getattr(module, field)!r}, that of the PyTorch code "
                f"is {value!r}."
            )


def _check_normalisation(weights: Weights, wanted: Collection[str]) -> None:
    """Raises UserError for a normalisation with parameters, which no network here has."""
    for name, value in weights.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and value.ndim == 1 and name not in wanted:
            batch = f"{layer}.running_mean" in weights
            what = "batch normalisation" if batch else "a normalisation with parameters"
            raise UserError(
                f"{layer} in the file is {what}, and the network has instance normalisation "
                "without parameters: import one that was trained with --norm instance."
            )


def _described(name: str, shape: tuple[int, ...]) -> str:
    return f"{name} of shape {tuple(shape)}"


# The kernel `[h, w, in, out]` is in PyTorch `[out, in, h, w]`; of a transposed convolution
# `[in, out, h, w]`, and turned by 180 degrees: see `layers.ConvTranspose`.


def _is_transposed(path: LeafPath) -> bool:
    return path[-2].startswith("ConvTranspose")


def _torch_shape(path: LeafPath, shape: tuple[int, ...]) -> tuple[int, ...]:
    if path[-1] == "bias":
        return shape
    height, width, inputs, outputs = shape
    channels = (inputs, outputs) if _is_transposed(path) else (outputs, inputs)
    return (*channels, height, width)


def _to_ours(path: LeafPath, value: np.ndarray) -> np.ndarray:
    if path[-1] == "bias":
        return value
    if _is_transposed(path):
        return value.transpose(2, 3, 0, 1)[::-1, ::-1]
    return value.transpose(2, 3, 1, 0)


# The convolutions of each network in their order, by their names there and here.
# Normalisations have no parameters.


def _resnet(module: resnet.Generator, weights: Weights) -> Layers:
    yield "model.1", ("Conv_0",)
    yield "model.4", ("Conv_1",)
    yield "model.7", ("Conv_2",)
    # A block trained with dropout has one more layer before its second convolution.
    second = 6 if np.ndim(weights.get("model.10.conv_block.6.weight", 0)) == 4 else 5
    end = 10 + module.blocks
    for i in range(module.blocks):
        yield f"model.{10 + i}.conv_block.1", (f"ResidualBlock_{i}", "Conv_0")
        yield f"model.{10 + i}.conv_block.{second}", (f"ResidualBlock_{i}", "Conv_1")
    yield f"model.{end}", ("ConvTranspose_0",)
    yield f"model.{end + 3}", ("ConvTranspose_1",)
    yield f"model.{end + 7}", ("Conv_3",)


def _unet(module: unet.PaperGenerator, weights: Weights) -> Layers:
    del weights
    # A block holds the next smaller one between its way down and its way up; the outermost
    # has no activation first, the innermost no normalisation and no block.
    last = len(module.features) - 1
    blocks = ["model.model", *("model.model.1.model" + i * ".3.model" for i in range(last))]
    for i, block in enumerate(blocks):
        yield f"{block}.{min(i, 1)}", (f"Conv_{i}",)
    for i, block in reversed(list(enumerate(blocks))):
        yield f"{block}.{5 if 0 < i < last else 3}", (f"ConvTranspose_{last - i}",)


def _patchgan(module: patchgan.Discriminator, weights: Weights) -> Layers:
    del weights
    yield "model.0", ("Conv_0",)
    for i in range(1, module.depth + 2):
        yield f"model.{3 * i - 1}", (f"Conv_{i}",)


def _pixelgan(module: patchgan.PixelDiscriminator, weights: Weights) -> Layers:
    del module, weights
    for i, index in enumerate((0, 2, 5)):
        yield f"net.{index}", (f"Conv_{i}",)


_LAYERS: Mapping[type[nn.Module], Callable[[Any, Weights], Layers]] = {
    resnet.Generator: _resnet,
    unet.PaperGenerator: _unet,
    patchgan.Discriminator: _patchgan,
    patchgan.PixelDiscriminator: _pixelgan,
}

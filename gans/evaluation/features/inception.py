"""The network by which FID, KID and the Inception Score are defined.

InceptionV3 (Szegedy et al. 2015, arXiv:1512.00567) with the weights that TensorFlow published
on 2015-12-05, and with the peculiarities of that graph. Of the two PyTorch versions that others
use, this is torch-fidelity's (https://github.com/toshas/torch-fidelity), whose numbers are those
of the original FID code (Heusel et al. 2017, arXiv:1706.08500). pytorch-fid
(https://github.com/mseitzer/pytorch-fid) has the same weights and layers, and brings images to
the network differently: its resize counts coordinates from the centres of pixels, and it maps
[0, 255] to [-1, 1] where the graph divides `x - 128` by 128. Its scores differ a little from
these.

The weights are not part of this package. They are fetched once, and are then kept, also in a
form that needs no PyTorch.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from gans.errors import UserError
from gans.evaluation.features.network import FeatureNet, Seen
from gans.files import archives, cache, download, finite, paths, weight_files
from gans.files.writing import atomic

# torch-fidelity publishes the same bytes under another name.
FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SIZE = 95_628_359  # Bytes.
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

SIDE = 299  # of the images that the network sees
_EPSILON = 1e-3  # of batch normalisation


# From images to features.


def apply(variables: Any, images: jax.Array) -> Seen:
    """What the network makes of images of any size.

    Outside of `jax.jit` images of another size do not compile the network anew, but their
    resizing alone.

    Args:
      variables: those of `InceptionV3`.
      images: uint8 `[B, H, W, C]`, C being 3, or 1 for grey.

    Returns:
      Features `[B, 2048]` and logits `[B, 1008]`.

    Raises:
      ValueError: the images are of another kind.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images are {images.dtype} {list(images.shape)}, not uint8 [B, H, W, 1 or 3]"
        )
    return _see(variables, _prepare(images))


@jax.jit
def _see(variables: Any, x: jax.Array) -> Seen:
    return InceptionV3().apply(variables, x)


@jax.jit
def _prepare(images: jax.Array) -> jax.Array:
    """uint8 `[B, H, W, 1 or 3]` to the float32 `[B, 299, 299, 3]` that the network sees."""
    x = (resize(images.astype(jnp.float32)) - 128.0) / 128.0
    return jnp.broadcast_to(x, (*x.shape[:3], 3))


def resize(images: jax.Array) -> jax.Array:
    """Bilinear interpolation as in TensorFlow 1: float32 `[B, H, W, C]` to `[B, 299, 299, C]`.

    Output i lies at input `i * size / 299`, with no regard to the centres of pixels, and is a
    mixture of two inputs whatever the factor: what shrinks is not smoothed first.
    """
    for axis in (2, 1):
        size = images.shape[axis]
        # In float32, as there.
        position = np.arange(SIDE, dtype=np.float32) * np.float32(size / SIDE)
        low = position.astype(np.int32)
        weight = np.expand_dims(position - low, tuple(range(1, images.ndim - axis)))
        before = jnp.take(images, low, axis)
        after = jnp.take(images, np.minimum(low + 1, size - 1), axis)
        images = before + (after - before) * weight
    return images


# The network. Layers have PyTorch's names; a batch normalisation is part of its convolution.


class InceptionV3(nn.Module):
    """`[B, 299, 299, 3]`, about [-1, 1], to features `[B, 2048]` and logits `[B, 1008]`.

    The logits are without their bias: it is so in the original code of the Inception Score
    (Salimans et al. 2016, arXiv:1606.03498).
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> Seen:
        x = _conv(x, "Conv2d_1a_3x3", 32, (3, 3), 2, "VALID")
        x = _conv(x, "Conv2d_2a_3x3", 32, (3, 3), 1, "VALID")
        x = _conv(x, "Conv2d_2b_3x3", 64, (3, 3))
        x = _halving_pool(x)
        x = _conv(x, "Conv2d_3b_1x1", 80, (1, 1))
        x = _conv(x, "Conv2d_4a_3x3", 192, (3, 3), 1, "VALID")
        x = _halving_pool(x)
        x = InceptionA(pool_features=32, name="Mixed_5b")(x)
        x = InceptionA(pool_features=64, name="Mixed_5c")(x)
        x = InceptionA(pool_features=64, name="Mixed_5d")(x)
        x = InceptionB(name="Mixed_6a")(x)
        x = InceptionC(features=128, name="Mixed_6b")(x)
        x = InceptionC(features=160, name="Mixed_6c")(x)
        x = InceptionC(features=160, name="Mixed_6d")(x)
        x = InceptionC(features=192, name="Mixed_6e")(x)
        x = InceptionD(name="Mixed_7a")(x)
        x = InceptionE(pool=_average_pool, name="Mixed_7b")(x)
        # Most likely a mistake of that graph, and now part of the definition.
        x = InceptionE(pool=_max_pool, name="Mixed_7c")(x)
        features = jnp.mean(x, (1, 2))
        logits = nn.Dense(1008, use_bias=False, precision=_PRECISION, name="fc")(features)
        return Seen(features, logits)


class InceptionA(nn.Module):
    """`[B, 35, 35, C]` to `[B, 35, 35, 224 + pool_features]`."""

    pool_features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        branches = [
            _conv(x, "branch1x1", 64, (1, 1)),
            _chain(x, "branch5x5", (48, (1, 1)), (64, (5, 5))),
            _chain(x, "branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
            _conv(_average_pool(x), "branch_pool", self.pool_features, (1, 1)),
        ]
        return jnp.concatenate(branches, -1)


class InceptionB(nn.Module):
    """`[B, 35, 35, C]` to `[B, 17, 17, 480 + C]`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        double = _chain(x, "branch3x3dbl", (64, (1, 1)), (96, (3, 3)))
        branches = [
            _conv(x, "branch3x3", 384, (3, 3), 2, "VALID"),
            _conv(double, "branch3x3dbl_3", 96, (3, 3), 2, "VALID"),
            _halving_pool(x),
        ]
        return jnp.concatenate(branches, -1)


class InceptionC(nn.Module):
    """`[B, 17, 17, 768]` to the same, by convolutions of `features` channels inside."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        first, row, column = ((self.features, size) for size in ((1, 1), (1, 7), (7, 1)))
        branches = [
            _conv(x, "branch1x1", 192, (1, 1)),
            _chain(x, "branch7x7", first, row, (192, (7, 1))),
            _chain(x, "branch7x7dbl", first, column, row, column, (192, (1, 7))),
            _conv(_average_pool(x), "branch_pool", 192, (1, 1)),
        ]
        return jnp.concatenate(branches, -1)


class InceptionD(nn.Module):
    """`[B, 17, 17, C]` to `[B, 8, 8, 512 + C]`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        small = _chain(x, "branch3x3", (192, (1, 1)))
        large = _chain(x, "branch7x7x3", (192, (1, 1)), (192, (1, 7)), (192, (7, 1)))
        branches = [
            _conv(small, "branch3x3_2", 320, (3, 3), 2, "VALID"),
            _conv(large, "branch7x7x3_4", 192, (3, 3), 2, "VALID"),
            _halving_pool(x),
        ]
        return jnp.concatenate(branches, -1)


class InceptionE(nn.Module):
    """`[B, 8, 8, C]` to `[B, 8, 8, 2048]`, one branch beginning with `pool`."""

    pool: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        single = _chain(x, "branch3x3", (384, (1, 1)))
        double = _chain(x, "branch3x3dbl", (448, (1, 1)), (384, (3, 3)))
        branches = [
            _conv(x, "branch1x1", 320, (1, 1)),
            _conv(single, "branch3x3_2a", 384, (1, 3)),
            _conv(single, "branch3x3_2b", 384, (3, 1)),
            _conv(double, "branch3x3dbl_3a", 384, (1, 3)),
            _conv(double, "branch3x3dbl_3b", 384, (3, 1)),
            _conv(self.pool(x), "branch_pool", 192, (1, 1)),
        ]
        return jnp.concatenate(branches, -1)


# Scores must not depend on the device, and by default accelerators multiply in fewer bits.
_PRECISION = jax.lax.Precision.HIGHEST


def _conv(
    x: jax.Array,
    name: str,
    features: int,
    kernel: tuple[int, int],
    stride: int = 1,
    padding: str = "SAME",
) -> jax.Array:
    """A convolution of the module at hand, and what is above zero of its result."""
    conv = nn.Conv(features, kernel, stride, padding, precision=_PRECISION, name=name)
    return nn.relu(conv(x))


def _chain(x: jax.Array, branch: str, *layers: tuple[int, tuple[int, int]]) -> jax.Array:
    """Convolutions of some features and kernels, one after another: `branch_1`, `branch_2`, .."""
    for i, (features, kernel) in enumerate(layers, start=1):
        x = _conv(x, f"{branch}_{i}", features, kernel)
    return x


def _halving_pool(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _max_pool(x: jax.Array) -> jax.Array:
    return nn.max_pool(x, (3, 3), padding="SAME")


def _average_pool(x: jax.Array) -> jax.Array:
    """At the edges of an image the mean of fewer pixels."""
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


# Its weights.


def load(path: str | Path = "") -> FeatureNet:
    """The network with its weights, fetched and converted where that was not done before.

    What was fetched and converted lies in the folder `gans` of XDG_CACHE_HOME or else of
    ~/.cache. A converted file is named by the SHA-256 of the original, whence neither that nor
    PyTorch is needed again.

    Args:
      path: a file of the weights in PyTorch's form, "" for the published one.

    Raises:
      UserError: the weights cannot be had, or are not those of such a network.
    """
    folder = cache.folder()
    source = paths.expanded(path) if path else folder / FILE
    digest = _digest(source) if path else SHA256
    converted = folder / f"inception-{digest}.npz"
    params = _read(converted)
    if params is None:
        if not path:
            _fetch(source)
        params = convert(source)
        # Where the folder cannot be written, the next time is as slow as this one.
        with contextlib.suppress(UserError), atomic(converted) as file:
            np.savez(file, **flatten_dict(params, sep="/"))
    return FeatureNet(
        name="inception",
        weights=digest,
        resize=f"bilinear to {SIDE}x{SIDE} as in TensorFlow 1, without smoothing",
        classes=(),
        apply=apply,
        variables={"params": jax.tree.map(jnp.asarray, params)},
    )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def _fetch(target: Path) -> None:
    """Makes sure that the published file is there."""
    advice = (
        "the weights of the network behind FID are fetched once; without a network connection "
        f"fetch that file elsewhere and put it at {target}"
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with download.locked(target.with_name(".lock"), "the weights of InceptionV3"):
            download.fetch(URL, target, size=SIZE, sha256=SHA256, advice=advice)
    except OSError as error:
        raise UserError(
            f"Cannot keep the weights of InceptionV3 in {target.parent} "
            f"({error.strerror or error}): make room and allow writing there, or set "
            "XDG_CACHE_HOME to another folder."
        ) from error


def _shapes() -> dict[tuple[str, ...], tuple[int, ...]]:
    """The shapes of the parameters by their paths."""
    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    variables = jax.eval_shape(InceptionV3().init, jax.random.key(0), image)
    return {path: leaf.shape for path, leaf in flatten_dict(variables["params"]).items()}


def _read(path: Path) -> Any:
    """The parameters in a converted file, None if there is none that can be used."""
    try:
        arrays = archives.load_npz(path)
    except (FileNotFoundError, UserError):
        return None
    params = {tuple(name.split("/")): value for name, value in arrays.items()}
    if {name: value.shape for name, value in params.items()} != _shapes():
        return None
    if any(value.dtype != np.float32 for value in params.values()):
        return None
    return unflatten_dict(params)


def convert(path: Path) -> Any:
    """The parameters of `InceptionV3`, float32, from a file in PyTorch's form.

    Raises:
      UserError: the file cannot be read, or is of another network; the message names the first
        tensor that is missing or differs.
    """
    tensor = functools.partial(_tensor, path, weight_files.load(path))
    params = {}
    for (*layer, kind), shape in _shapes().items():
        name = ".".join(layer)
        if name == "fc":
            params[*layer, kind] = tensor("fc.weight", shape[::-1]).T
        elif kind == "kernel":
            height, width, inputs, outputs = shape
            kernel = tensor(f"{name}.conv.weight", (outputs, inputs, height, width))
            mean, var, weight, bias = (
                tensor(f"{name}.bn.{statistic}", (outputs,))
                for statistic in ("running_mean", "running_var", "weight", "bias")
            )
            with np.errstate(invalid="ignore"):  # of a variance below zero, refused below
                scale = weight / np.sqrt(var + _EPSILON)
            params[*layer, "kernel"] = kernel.transpose(2, 3, 1, 0) * scale
            params[*layer, "bias"] = bias - mean * scale
    single = {name: value.astype(np.float32) for name, value in params.items()}
    finite.require(unflatten_dict(single), f"The weights in {path}", "get the file again.")
    return unflatten_dict(single)


def _tensor(
    path: Path, weights: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]
) -> np.ndarray:
    """A tensor of the expected shape, float64."""
    found = f"one of shape {weights[name].shape}" if name in weights else "none of that name"
    if name not in weights or weights[name].shape != shape:
        raise UserError(
            f"{path} does not hold the weights of the InceptionV3 of FID, which has {name} of "
            f"shape {shape}: the file has {found}."
        )
    return weights[name].astype(np.float64)

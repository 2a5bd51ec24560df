"""Layers with the constants of the systems reproduced here.

Models use these and no convolution or normalisation of their own, so that a faster
form of one can be put here without touching a model. Images are NHWC. Layers compute
in `dtype` and keep their parameters and statistics in float32.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gans.ops import axis, normalisation, pooling, spectral, upsample
from gans.ops.convolution import Padding, convolution


class Conv(nn.Module):
    """A convolution: `[B, H, W, C] -> [B, H', W', F]`, with Keras' defaults.

    https://keras.io/api/layers/convolution_layers/convolution2d

    Attributes:
      features: channels of the output, F.
      kernel_size: height and width of the kernel.
      strides: along height and width alike.
      padding: "SAME", for an image of the input's size over the stride, rounded up; "VALID", for
        none; or zeros before and after rows, and columns.
      kernel_dilation: from one of the pixels that the kernel sees to the next, along height and
        width alike.
      feature_group_count: groups of channels, each of which makes its share of the features alone.
      use_bias: whether a bias is added.
      spectral: whether the kernel is divided by its norm: see `_of_norm_one`.
      kernel_init: of the kernel, `[h, w, C / groups, F]`.
      dtype: of the computation.

    Raises:
      ValueError: when called, if channels or features are no multiple of the groups.
    """

    features: int
    kernel_size: tuple[int, int]
    strides: int = 1
    padding: str | Padding = "SAME"
    kernel_dilation: int = 1
    feature_group_count: int = 1
    use_bias: bool = True
    spectral: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels, groups = x.shape[-1], self.feature_group_count
        if channels % groups or self.features % groups:
            raise ValueError(
                f"{channels} channels and {self.features} features are not both multiples of "
                f"{groups} groups"
            )
        shape = (*self.kernel_size, channels // groups)
        x, kernel, bias = _parameters(self, x, shape, normalise=self.spectral)
        return convolution(
            x,
            kernel,
            bias,
            stride=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=groups,
        )


class Dense(nn.Module):
    """A linear map of the last axis: `[..., C] -> [..., F]`, with Keras' defaults.

    https://keras.io/api/layers/core_layers/dense

    Attributes:
      features: of the output, F.
      use_bias: whether a bias is added.
      spectral: whether the kernel is divided by its norm: see `_of_norm_one`.
      kernel_init: of the kernel, `[C, F]`.
      dtype: of the computation.
    """

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x, kernel, bias = _parameters(self, x, x.shape[-1:], normalise=self.spectral)
        y = jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
        return y if bias is None else y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


class Embed(nn.Module):
    """A learned vector for each class: `[B, classes] -> [B, F]`.

    Attributes:
      features: of a vector, F.
      spectral: whether the table is divided by its norm: see `_of_norm_one`.
      embedding_init: of the table, `[classes, F]`.
      dtype: of the computation.
    """

    features: int
    spectral: bool = False
    embedding_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, label: jax.Array) -> jax.Array:
        """The vectors of one-hot labels."""
        table = self.param("embedding", self.embedding_init, (label.shape[-1], self.features))
        if self.spectral:
            table = _of_norm_one(self, table, table)
        return _rows(*nn.dtypes.promote_dtype(label, table, dtype=self.dtype))


def _rows(label: jax.Array, table: jax.Array) -> jax.Array:
    """The rows `[B, F]` of a table `[classes, F]` that one-hot labels `[B, classes]` choose."""
    # Accelerators would else round the table to fewer bits before they multiply it by 1.
    return jnp.dot(label, table, precision=jax.lax.Precision.HIGHEST)


# CycleGAN's, of every kernel (arXiv:1703.10593, appendix 7.1).
NORMAL = nn.initializers.normal(0.02)


def reflect_pad(x: jax.Array, size: int) -> jax.Array:
    """`[B, H, W, C]` with `size` more pixels on each side, mirrored at the outermost pixel."""
    return jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode="reflect")


def check_multiple(image: jax.Array, multiple: int) -> None:
    """Raises ValueError unless height and width of `[B, H, W, C]` are multiples of `multiple`."""
    height, width = image.shape[1:3]
    if height % multiple or width % multiple:
        raise ValueError(
            f"images of {height}x{width} pixels cannot be halved and doubled to the same size "
            f"again, height and width must be multiples of {multiple}"
        )


def stem_size(image_size: int, doublings: int) -> int:
    """Height and width of what becomes an image of `image_size` by doublings.

    Raises:
      ValueError: there is no such size.
    """
    size, rest = divmod(image_size, 2**doublings)
    if rest or not size:
        raise ValueError(
            f"image_size {image_size} is not a multiple of {2**doublings}, as {doublings} "
            "upsamplings by 2 need"
        )
    return size


class UpsampleConv(nn.Module):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution: `[B, H, W, C] -> [B, 2H, 2W, F]`.

    The upsampled image is never made: see `gans.ops.upsample`. 4/9 of the multiplications, the
    same result to rounding.

    Attributes:
      features: channels of the output, F.
      use_bias: whether a bias is added.
      kernel_init: of the 3x3 kernel.
      dtype: of the computation.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return upsample.upsample_conv(*_parameters(self, x, (3, 3, x.shape[-1])))


class ConvPool(nn.Module):
    """A 3x3 convolution, then the mean of each 2x2 pixels: `[B, H, W, C] -> [B, H/2, W/2, F]`.

    The convolved image is never made: see `gans.ops.pooling`. 4/9 of the multiplications, the
    same result to rounding.

    Attributes:
      features: channels of the output, F.
      use_bias: whether a bias is added.
      spectral: whether the 3x3 kernel is divided by its norm: see `_of_norm_one`.
      kernel_init: of the 3x3 kernel.
      dtype: of the computation.

    Raises:
      ValueError: when called, if height or width are odd.
    """

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        given = _parameters(self, x, (3, 3, x.shape[-1]), normalise=self.spectral)
        return pooling.conv_pool(*given)


class ConvTranspose(nn.Module):
    """The transposed convolution of stride 2: `[B, H, W, C] -> [B, 2H, 2W, F]`.

    With a 4x4 kernel Keras' "same" padding, and PyTorch's padding 1; with a 3x3 kernel
    PyTorch's padding 1 and output padding 1. The kernel `[k, k, C, F]` is what slides over
    the input with zeros between its pixels: PyTorch's and Keras' turned by 180 degrees.

    Attributes:
      features: channels of the output, F.
      kernel_size: 3 or 4.
      use_bias: whether a bias is added.
      kernel_init: of the kernel.
      dtype: of the computation.
    """

    features: int
    kernel_size: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = NORMAL
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1])
        return upsample.transposed_conv(*_parameters(self, x, shape))


def _parameters(
    layer: Conv | Dense | UpsampleConv | ConvPool | ConvTranspose,
    x: jax.Array,
    shape: tuple[int, ...],
    *,
    normalise: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Declares a kernel `[*shape, F]` and a bias; `x` and both in the layer's dtype."""
    kernel = layer.param("kernel", layer.kernel_init, (*shape, layer.features))
    zeros = nn.initializers.zeros
    bias = layer.param("bias", zeros, (layer.features,)) if layer.use_bias else None
    if normalise:
        kernel = _of_norm_one(layer, kernel, kernel.reshape(-1, layer.features).T)
    return nn.dtypes.promote_dtype(x, kernel, bias, dtype=layer.dtype)


def _of_norm_one(
    layer: Conv | Dense | Embed | ConvPool, weights: jax.Array, matrix: jax.Array
) -> jax.Array:
    """Weights divided by the spectral norm of the matrix that they are (arXiv:1802.05957).

    The layer keeps the vector u of `gans.ops.spectral` in that collection. It moves with every pass
    in which the collection is mutable, as all are in training.

    Args:
      layer: whose they are.
      weights: float32.
      matrix: the same, `[out, rest]`.
    """
    u = layer.variable(
        spectral.COLLECTION,
        "u",
        # After all parameters, which are then those of the same layer without it.
        lambda: spectral.start(layer.make_rng("params"), len(matrix)),
    )
    if layer.is_mutable_collection(spectral.COLLECTION) and not layer.is_initializing():
        sigma, u.value = spectral.moved(matrix, u.value)
    else:
        sigma = spectral.still(matrix, u.value)
    return weights / jnp.where(sigma > 0, sigma, 1.0)


def upsampling(
    name: str, features: int, *, kernel_size: int, use_bias: bool, dtype: Any
) -> nn.Module:
    """The layer by which a CycleGAN generator doubles an image.

    Args:
      name: "transposed", the papers' transposed convolution, or "resize", `UpsampleConv`,
        which lays no checkerboard over the image (Odena et al. 2016,
        https://doi.org/10.23915/distill.00003).
      features: channels of the output.
      kernel_size: of the transposed convolution.
      use_bias: whether a bias is added.
      dtype: of the computation.

    Raises:
      ValueError: there is no layer of that name.
    """
    layers = {
        "transposed": functools.partial(ConvTranspose, kernel_size=kernel_size),
        "resize": functools.partial(UpsampleConv, kernel_init=NORMAL),
    }
    if name not in layers:
        raise ValueError(f"upsampling is {name!r}, not one of {', '.join(layers)}")
    return layers[name](features, use_bias=use_bias, dtype=dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, arXiv:1502.03167).

    As Keras does it: the running variance averages the biased variance of the batch.

    Attributes:
      momentum: decay of the running statistics, `new = momentum * old + (1 - momentum) * batch`.
      epsilon: added to the variance.
      dtype: of the output; statistics are computed in float32.
    """

    momentum: float = 0.8
    epsilon: float = 1e-3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalises by the whole batch's statistics when `train`, else by the running ones."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        return _batch_normalised(self, x, scale, bias, train=train)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation after which each image is scaled by its class.

    Dumoulin et al. 2016, arXiv:1610.07629, section 2.2: images of all classes are normalised
    together, and each class has a scale, at first 1, and an offset, at first 0, of its own.

    Attributes:
      momentum, epsilon, dtype: as of `BatchNorm`.
    """

    momentum: float = 0.8
    epsilon: float = 1e-3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array, *, train: bool) -> jax.Array:
        """Normalises `[B, H, W, C]`, or of any rank, with labels one-hot `[B, classes]`."""
        shape = (label.shape[-1], x.shape[-1])
        scales = self.param("scale", nn.initializers.ones, shape)
        biases = self.param("bias", nn.initializers.zeros, shape)
        of_images = (len(x), *(1,) * (x.ndim - 2), x.shape[-1])
        label = label.astype(jnp.float32)
        scale, bias = (_rows(label, table).reshape(of_images) for table in (scales, biases))
        return _batch_normalised(self, x, scale, bias, train=train)


def _batch_normalised(
    layer: BatchNorm | ConditionalBatchNorm,
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    train: bool,
) -> jax.Array:
    """`x` by the batch's statistics or the running ones, which it declares and moves."""
    shape = x.shape[-1:]
    running_mean = layer.variable("batch_stats", "mean", jnp.zeros, shape)
    running_var = layer.variable("batch_stats", "var", jnp.ones, shape)
    x = x.astype(jnp.float32)
    if not train:
        y = normalisation.scaled(
            x, running_mean.value, running_var.value, scale, bias, layer.epsilon
        )
        return y.astype(layer.dtype)
    axes = tuple(range(x.ndim - 1))
    y, mean, var = normalisation.normalised(x, scale, bias, axes, layer.epsilon, axis.name())
    if not layer.is_initializing():
        running_mean.value += (1.0 - layer.momentum) * (mean.reshape(shape) - running_mean.value)
        running_var.value += (1.0 - layer.momentum) * (var.reshape(shape) - running_var.value)
    return y.astype(layer.dtype)


class InstanceNorm(nn.Module):
    """Normalisation of each channel of each image (Ulyanov et al. 2016, arXiv:1607.08022).

    Attributes:
      affine: whether a learned scale, from N(1, 0.02), and offset follow, as in the Keras
        tutorial; the paper's code has none.
      epsilon: added to the biased variance.
      dtype: of the output; statistics are computed in float32.
    """

    affine: bool = False
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, *, moments: tuple[jax.Array, jax.Array] | None = None
    ) -> jax.Array:
        """Normalises `[B, H, W, C]` by its own moments, or by given ones `[B, 1, 1, C]`."""
        x, shape = x.astype(jnp.float32), x.shape[-1:]
        scale = self.param("scale", _around_one, shape) if self.affine else None
        bias = self.param("bias", nn.initializers.zeros, shape) if self.affine else None
        if moments is None:
            y, _, _ = normalisation.normalised(x, scale, bias, (1, 2), self.epsilon, None)
        else:
            y = normalisation.scaled(x, *moments, scale, bias, self.epsilon)
        return y.astype(self.dtype)


def instance_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of each channel of each image, `[B, 1, 1, C]`."""
    return normalisation.moments(x, (1, 2), None)


def _around_one(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


class Dropout(nn.Module):
    """Zeros a share of the numbers of each image while training, and scales up the rest.

    An image's mask depends on the key and on its place in the whole batch, so that it is the
    same on any number of devices.

    Attributes:
      rate: the share, in [0, 1).
    """

    rate: float = 0.5

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Drops numbers when `train`, of each image by its place in the whole batch."""
        if not train or self.rate == 0.0:
            return x
        key, kept = self.make_rng("dropout"), 1.0 - self.rate
        mask = jax.vmap(
            lambda i: jax.random.bernoulli(jax.random.fold_in(key, i), kept, x.shape[1:])
        )(axis.places(len(x)))
        return jnp.where(mask, x / kept, 0).astype(x.dtype)

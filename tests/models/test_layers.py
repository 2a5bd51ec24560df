"""Layers against plain convolutions and float64 numpy."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly, of_all
from jax.sharding import Mesh, PartitionSpec

from gans.models.layers import (
    BatchNorm,
    ConditionalBatchNorm,
    Conv,
    ConvPool,
    ConvTranspose,
    Dense,
    Dropout,
    Embed,
    InstanceNorm,
    UpsampleConv,
    check_multiple,
    reflect_pad,
)
from gans.ops import axis, spectral
from gans.ops.upsample import transposed_conv, upsample_conv


def plain(x, kernel):
    """The definition: every pixel repeated 2x2, then a 3x3 convolution over all of them."""
    x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# Batch, height, width, channels in, channels out.
SIZES = [(1, 1, 1, 1, 1), (2, 1, 5, 3, 2), (3, 7, 4, 2, 5), (1, 8, 8, 16, 8)]


@pytest.mark.parametrize("size", SIZES)
def test_upsample_conv_is_upsampling_then_convolution_with_its_gradients(size):
    batch, height, width, channels, features = size
    x = normal(batch, height, width, channels)
    kernel = normal(3, 3, channels, features)
    cotangent = normal(batch, 2 * height, 2 * width, features)

    of_ours, of_plain = (
        functools.partial(value_and_pullbacks, function) for function in (upsample_conv, plain)
    )
    sides = jax.jit(of_ours), jax.jit(of_plain), exactly(of_plain)
    assert_no_further(*(side(x, kernel, cotangent) for side in sides))


def value_and_pullbacks(function, x, kernel, cotangent):
    value, pullback = jax.vjp(function, x, kernel)
    return value, *pullback(cotangent)


def test_upsample_conv_keeps_bfloat16_and_its_precision():
    x = normal(2, 5, 6, 4).astype(jnp.bfloat16)
    kernel = normal(3, 3, 4, 3).astype(jnp.bfloat16)
    y = jax.jit(upsample_conv)(x, kernel)
    assert y.dtype == jnp.bfloat16
    exact = exactly(plain)(x.astype(np.float32), kernel.astype(np.float32))
    # bfloat16 has 8 significant bits; sums of taps and the result are rounded to it.
    scale = np.abs(exact).max()
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=1e-2, atol=1e-2 * scale)


def test_upsample_conv_layer_adds_its_bias_and_has_the_parameters_of_a_3x3_convolution():
    x = normal(2, 3, 4, 5)
    layer = UpsampleConv(7)
    params = jax.jit(layer.init)(jax.random.key(1), x)["params"]
    assert jax.tree.map(jnp.shape, params) == {"kernel": (3, 3, 5, 7), "bias": (7,)}
    params["bias"] = jnp.arange(7.0)

    def definition(x, params):
        return plain(x, params["kernel"]) + params["bias"]

    found = layer.apply({"params": params}, x)
    assert_no_further(found, *(f(definition)(x, params) for f in (jax.jit, exactly)))


@pytest.mark.parametrize(
    ("layer", "fans"),
    [
        (Dense(400), (300, 400)),
        (Conv(40, (3, 3)), (9 * 300, 9 * 40)),
        (UpsampleConv(40), (9 * 300, 9 * 40)),
        (ConvPool(40), (9 * 300, 9 * 40)),
    ],
    ids=["dense", "conv", "upsample_conv", "conv_pool"],
)
def test_kernels_start_glorot_uniform_and_biases_zero(layer, fans):
    params = jax.jit(layer.init)(jax.random.key(0), jnp.zeros((1, 2, 2, 300)))["params"]
    limit = np.sqrt(6 / sum(fans))
    unit = np.sort(np.asarray(params["kernel"]).ravel()) / limit
    assert np.abs(unit).max() <= 1.0
    # Kolmogorov-Smirnov distance from the uniform distribution: over 1e5 draws it is
    # above 0.008 once in a million.
    assert unit.size > 1e5
    assert np.abs((unit + 1) / 2 - np.linspace(0, 1, unit.size)).max() < 0.008
    assert not np.asarray(params["bias"]).any()


def batch_norm(x, *, train=True, momentum=0.8, dtype=jnp.float32):
    """Our layer with non-trivial parameters and statistics, and what float64 makes of the same."""
    channels = x.shape[-1]
    rng = np.random.default_rng(0)
    scale, bias, mean = rng.normal(size=(3, channels)).astype(np.float32)
    var = rng.uniform(0.5, 2.0, channels).astype(np.float32)
    variables = {
        "params": {"scale": scale, "bias": bias},
        "batch_stats": {"mean": mean, "var": var},
    }
    layer = BatchNorm(momentum=momentum, dtype=dtype)
    apply = jax.jit(lambda v, x: layer.apply(v, x, train=train, mutable=["batch_stats"]))
    y, moved = apply(variables, x)

    x = np.asarray(x, np.float64)
    axes = tuple(range(x.ndim - 1))
    batch_mean, batch_var = x.mean(axes), x.var(axes)
    used = (batch_mean, batch_var) if train else (mean, var)
    expected = scale * (x - used[0]) / np.sqrt(used[1] + 1e-3) + bias
    stats = {"mean": mean, "var": var}
    if train:
        stats["mean"] = momentum * mean + (1 - momentum) * batch_mean
        stats["var"] = momentum * var + (1 - momentum) * batch_var
    return y, moved["batch_stats"], expected, stats


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (1, 5, 3, 2), (3, 4, 4, 8)])
def test_batch_norm_matches_float64(shape, train):
    x = 3.0 + 2.0 * normal(*shape)
    y, stats, expected, expected_stats = batch_norm(x, train=train)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    for name, value in expected_stats.items():
        np.testing.assert_allclose(stats[name], value, rtol=1e-5, atol=1e-6)


def test_batch_norm_survives_a_mean_much_larger_than_the_deviation():
    # E[x^2] - E[x]^2 in float32 would be wrong by 1e-3, a tenth of this variance of 0.01.
    x = 100.0 + 0.1 * normal(8, 8, 8, 4)
    y, stats, expected, expected_stats = batch_norm(x)
    # The mean of 512 numbers near 100 is known to 5e-5, which is 5e-4 of the deviation;
    # a variance wrong by a tenth would show in the outputs as 1e-1.
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-3)
    with_only_the_batch = batch_norm(x, momentum=0.0)
    np.testing.assert_allclose(with_only_the_batch[1]["var"], with_only_the_batch[3]["var"], 1e-5)
    np.testing.assert_allclose(stats["mean"], expected_stats["mean"], rtol=1e-6)


def test_batch_norm_computes_bfloat16_inputs_in_float32():
    x = (5.0 + normal(4, 8, 8, 3)).astype(jnp.bfloat16)
    y, stats, expected, expected_stats = batch_norm(x, dtype=jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    assert stats["mean"].dtype == stats["var"].dtype == jnp.float32
    # Only the output is rounded to 8 bits; statistics in bfloat16 would be off by 1e-2.
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=2**-8, atol=1e-5)
    for name, value in expected_stats.items():
        np.testing.assert_allclose(stats[name], value, rtol=1e-5, atol=1e-6)


def test_batch_norm_starts_as_the_identity_statistics_and_keeps_them_at_initialisation():
    x = 3.0 + normal(4, 3)
    variables = BatchNorm().init(jax.random.key(0), x, train=True)
    assert not np.asarray(variables["batch_stats"]["mean"]).any()
    assert (np.asarray(variables["batch_stats"]["var"]) == 1).all()


def conditional(classes=3):
    """Tables of scales and offsets for the classes, and a label for each image."""
    rng = np.random.default_rng(2)
    scale, bias = rng.normal(size=(2, classes, 4)).astype(np.float32)
    label = np.eye(classes, dtype=np.float32)[np.arange(5) % classes]
    return {"scale": scale, "bias": bias}, label


def with_gradients(norm, params, x, label, dy):
    y, pullback = jax.vjp(lambda params, x: norm(params, x, label), params, x)
    return y, pullback(dy)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [(5, 3, 2, 4), (1, 4, 3, 4), (5, 4)])
def test_conditional_batch_norm_scales_what_is_normalised_by_class(size, train):
    params, label = conditional()
    x, label = 3.0 + 2.0 * normal(*size), label[: size[0]]
    stats = {"mean": np.full(4, 2.0, np.float32), "var": np.full(4, 5.0, np.float32)}
    layer = ConditionalBatchNorm(epsilon=1e-3)

    def ours(params, x, label):
        variables = {"params": params, "batch_stats": stats}
        return layer.apply(variables, x, label, train=train, mutable=["batch_stats"])[0]

    def definition(params, x, label):
        axes = tuple(range(x.ndim - 1))
        mean, var = (x.mean(axes), x.var(axes)) if train else (stats["mean"], stats["var"])
        scale, bias = (jnp.einsum("bk,kc->bc", label, params[name]) for name in ("scale", "bias"))
        scale, bias = (a.reshape(len(x), *(1,) * (x.ndim - 2), 4) for a in (scale, bias))
        return scale * (x - mean) / jnp.sqrt(var + 1e-3) + bias

    given = params, x, label, np.random.default_rng(3).normal(size=size).astype(np.float32)
    of_ours, of_definition = (functools.partial(with_gradients, f) for f in (ours, definition))
    sides = jax.jit(of_ours), jax.jit(of_definition), exactly(of_definition)
    assert_no_further(*(side(*given) for side in sides), size=of_all)


def test_conditional_batch_norm_starts_as_batch_norm_with_variance_one():
    x, (_, label) = 3.0 + 2.0 * normal(5, 8, 8, 4), conditional()
    layer, plain = ConditionalBatchNorm(epsilon=1e-6), BatchNorm(epsilon=1e-6)
    variables = layer.init(jax.random.key(0), x, label, train=False)
    y, moved = layer.apply(variables, x, label, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(np.var(np.float64(y), (0, 1, 2)), 1, rtol=1e-4)
    ours = plain.init(jax.random.key(0), x, train=False)
    expected, stats = plain.apply(ours, x, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(y, expected)
    jax.tree.map(np.testing.assert_array_equal, moved, stats)
    assert jax.tree.map(np.shape, variables["params"]) == {"scale": (3, 4), "bias": (3, 4)}


def test_conditional_batch_norm_keeps_bfloat16_and_its_statistics_float32():
    x, (params, label) = normal(5, 4, 4, 4), conditional()
    x = x.astype(jnp.bfloat16)
    variables = {"params": params, "batch_stats": {"mean": np.zeros(4), "var": np.ones(4)}}
    variables = jax.tree.map(np.float32, variables)
    (y, moved), (exact, same) = (
        ConditionalBatchNorm(dtype=dtype).apply(
            variables, x, label.astype(jnp.bfloat16), train=True, mutable=["batch_stats"]
        )
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    assert y.dtype == jnp.bfloat16
    jax.tree.map(np.testing.assert_array_equal, moved, same)
    # Only the output is rounded to 8 bits.
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-5)


class Stack(nn.Module):
    """Normalisations below one another, as in the networks, one of them by class."""

    @nn.compact
    def __call__(self, x, *, train):
        label = jax.nn.one_hot(jnp.argmax(x[:, :3], axis=-1), 3)
        x = nn.relu(BatchNorm()(Dense(4)(x), train=train))
        x = ConditionalBatchNorm()(x, label, train=train)
        return BatchNorm(momentum=0.5)(x, train=train)


def sharded(step, form):
    """`step(variables, x)` over four devices by the given form, x and outputs split."""
    if form == "pmap":
        mapped = jax.pmap(step, axis_name="i", in_axes=(None, 0), out_axes=(0, None, None))

        def run(variables, x):
            y, *rest = mapped(variables, x.reshape(4, -1, *x.shape[1:]))
            return y.reshape(len(x), -1), *rest

        return run
    mesh = Mesh(np.array(jax.devices()[:4]), ("i",))
    one, split = PartitionSpec(), PartitionSpec("i")
    specs = {"in_specs": (one, split), "out_specs": (split, one, one)}
    return jax.jit(jax.shard_map(step, mesh=mesh, check_vma=False, **specs))


@pytest.mark.parametrize("form", ["pmap", "shard_map"])
def test_synchronised_statistics_are_those_of_the_whole_batch(form):
    net = Stack()
    # Every device's share has a mean and a scale of its own.
    offset = jnp.repeat(jnp.arange(4.0), 3)[:, None]
    x = offset + (1 + offset) * normal(12, 5)
    variables = jax.jit(lambda x: net.init(jax.random.key(1), x, train=False))(x)

    def step(variables, x, axis_name="i"):
        def loss(params):
            y, moved = net.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            return jnp.mean(jnp.sin(y)), (y, moved["batch_stats"])

        with axis.mapped(axis_name):
            grads, (y, stats) = jax.grad(loss, has_aux=True)(variables["params"])
        if axis_name is not None:
            grads = jax.lax.pmean(grads, axis_name)
        return y, stats, grads

    whole, exact = (
        f(lambda variables, x: step(variables, x, None))(variables, x) for f in (jax.jit, exactly)
    )
    shares = sharded(step, form)(variables, x)
    assert_no_further(shares, whole, exact)
    # Without synchronisation each device normalises by itself.
    alone = net.apply(variables, x[:3], train=True, mutable=["batch_stats"])[0]
    assert np.abs(alone - whole[0][:3]).max() > 0.1


def test_synchronised_ends_with_its_block():
    x = jnp.ones((2, 3))
    with axis.mapped("nowhere"):
        pass
    # The name is bound no longer, so a call that still used it would fail.
    BatchNorm().init_with_output(jax.random.key(0), x, train=True)


# Spectral normalisation.

# The layer, the shape of its input, and its weights as a matrix `[out, rest]`.
SPECTRAL = {
    "conv": (Conv, {"kernel_size": (3, 2), "padding": "VALID"}, (2, 5, 4, 3)),
    "grouped conv": (Conv, {"kernel_size": (2, 2), "feature_group_count": 3}, (1, 3, 3, 6)),
    "conv and pool": (ConvPool, {}, (1, 4, 2, 3)),
    "dense": (Dense, {}, (4, 11)),
    "embed": (Embed, {}, (4, 7)),
}


def spectral_layer(name, **fields):
    kind, own, shape = SPECTRAL[name]
    return kind(6, **own, **fields), normal(*shape)


def as_matrix(params):
    if "embedding" in params:
        return np.asarray(params["embedding"])
    return np.asarray(params["kernel"]).reshape(-1, 6).T


def drawn(name):
    """The layer's variables, its weights with singular values that halve from one to the next."""
    layer, x = spectral_layer(name, spectral=True)
    variables = layer.init(jax.random.key(0), x)
    (key, weights), *_ = sorted(variables["params"].items(), reverse=True)
    rows, columns = as_matrix(variables["params"]).shape
    left, _, right = np.linalg.svd(normal(rows, columns), full_matrices=False)
    matrix = 3 * (left * 0.5 ** np.arange(len(right))) @ right
    flat = matrix if key == "embedding" else matrix.T
    changed = {**variables["params"], key: jnp.asarray(flat.reshape(weights.shape), jnp.float32)}
    return {**variables, "params": changed}


@pytest.mark.parametrize("name", SPECTRAL)
def test_after_some_passes_weights_are_divided_by_their_norm(name):
    layer, x = spectral_layer(name, spectral=True)
    plain, _ = spectral_layer(name)
    variables = drawn(name)

    @jax.jit
    def passing(variables, x):
        for _ in range(20):
            y, moved = layer.apply(variables, x, mutable=["spectral"])
            variables = {**variables, **moved}
        return y, moved["spectral"]["u"]

    y, u = passing(variables, x)
    params = variables["params"]
    matrix = as_matrix(params)
    assert u.shape == matrix.shape[:1]
    left, values, _ = np.linalg.svd(matrix.astype(np.float64))
    np.testing.assert_allclose(values[0], 3, rtol=1e-5)
    np.testing.assert_allclose(abs(left[:, 0] @ u), 1, atol=1e-5)
    weights = "embedding" if "embedding" in params else "kernel"
    divided = {**params, weights: params[weights] / values[0]}
    np.testing.assert_allclose(np.linalg.norm(as_matrix(divided), 2), 1, atol=1e-3)
    # Sigma is known to rounding, and the outputs are sums of 27 products at most.
    np.testing.assert_allclose(y, plain.apply({"params": divided}, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SPECTRAL)
def test_the_vector_moves_once_a_pass_where_it_may_and_never_else(name):
    layer, x = spectral_layer(name, spectral=True)
    variables = drawn(name)
    start = variables["spectral"]["u"]
    matrix = as_matrix(variables["params"])
    still, unmoved = layer.apply(variables, x, mutable=["batch_stats"])
    assert not unmoved
    np.testing.assert_array_equal(still, layer.apply(variables, x))
    y, moved = layer.apply(variables, x, mutable=["spectral"])
    sigma, expected = spectral.moved(jnp.asarray(matrix), start)
    np.testing.assert_allclose(moved["spectral"]["u"], expected, rtol=0, atol=1e-6)
    assert np.abs(moved["spectral"]["u"] - start).max() > 0.01
    # What is without a bias is divided by another number then.
    of_still = spectral.still(jnp.asarray(matrix), start)
    np.testing.assert_allclose(y * sigma, still * of_still, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SPECTRAL)
def test_parameters_start_as_without_it_and_the_vector_as_it_was_drawn(name):
    (layer, x), (plain, _) = spectral_layer(name, spectral=True), spectral_layer(name)
    y, variables = layer.init_with_output(jax.random.key(3), x)
    assert set(variables) == {"params", "spectral"}
    alone = plain.init(jax.random.key(3), x)
    assert set(alone) == {"params"}
    jax.tree.map(np.testing.assert_array_equal, variables["params"], alone["params"])
    np.testing.assert_allclose(np.linalg.norm(variables["spectral"]["u"]), 1, rtol=1e-6)
    np.testing.assert_array_equal(y, layer.apply(variables, x))


@pytest.mark.parametrize("name", SPECTRAL)
def test_sigma_is_of_float32_whatever_the_dtype(name):
    layer, x = spectral_layer(name, spectral=True)
    half, _ = spectral_layer(name, spectral=True, dtype=jnp.bfloat16)
    variables = drawn(name)
    (exact, one), (y, two) = (m.apply(variables, x, mutable=["spectral"]) for m in (layer, half))
    assert (y.dtype, two["spectral"]["u"].dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_array_equal(one["spectral"]["u"], two["spectral"]["u"])
    # bfloat16 has 8 significant bits, of inputs, weights and the result.
    atol = 2**-6 * float(np.abs(exact).max())
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-6, atol=atol)


def test_weights_of_zero_stay_zero():
    layer = Dense(6, spectral=True, kernel_init=nn.initializers.zeros)
    variables = layer.init(jax.random.key(0), jnp.ones((2, 5)))
    y, _ = layer.apply(variables, jnp.ones((2, 5)), mutable=["spectral"])
    assert not np.asarray(y).any()


# Layers that Flax has too.


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_dense_is_that_of_flax_to_the_last_bit(shape, use_bias, dtype):
    ours = Dense(4, use_bias=use_bias, dtype=dtype)
    theirs = nn.Dense(4, use_bias, dtype, kernel_init=nn.initializers.glorot_uniform())
    (y, variables), (expected, given) = (
        layer.init_with_output(jax.random.key(1), normal(*shape)) for layer in (ours, theirs)
    )
    jax.tree.map(np.testing.assert_array_equal, (y, variables), (expected, given))
    programs = (
        jax.make_jaxpr(layer.apply)(variables, normal(*shape)).pretty_print(name_stack=False)
        for layer in (ours, theirs)
    )
    assert len(set(programs)) == 1


def test_embed_gives_the_vectors_of_classes():
    layer = Embed(5)
    labels = np.array([2, 0, 2])
    variables = layer.init(jax.random.key(0), np.eye(3, dtype=np.float32)[labels])
    table = np.asarray(variables["params"]["embedding"])
    assert table.shape == (3, 5)
    found = layer.apply(variables, np.eye(3, dtype=np.float32)[labels])
    np.testing.assert_array_equal(found, table[labels])
    assert np.abs(table).max() <= np.sqrt(6 / (3 + 5))


# CycleGAN's layers.


def dilated(x, kernel):
    """The definition: zeros between the pixels, then a convolution as PyTorch pads it."""
    size = kernel.shape[0]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        # PyTorch's padding 1 takes one output off each side; its output padding of a 3x3
        # kernel gives one back at the end.
        ((size - 2, 2), (size - 2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


# At most as many taps, of 3x3 or of 4x4 kernels, fall on all pixels as pixels have channels.
FEW_PIXELS = [(1, 1, 1, 16, 3), (2, 1, 3, 96, 5), (1, 2, 2, 64, 1)]


def transposed(x, kernel):
    """The layer."""
    layer = ConvTranspose(kernel.shape[-1], len(kernel), use_bias=False, dtype=x.dtype)
    return layer.apply({"params": {"kernel": kernel}}, x)


OF_TRANSPOSED, OF_DILATED = (
    functools.partial(value_and_pullbacks, function) for function in (transposed, dilated)
)


@pytest.mark.parametrize("size", SIZES + FEW_PIXELS)
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_transposed_convolution_is_one_of_an_image_with_zeros_between_its_pixels(kernel_size, size):
    batch, height, width, channels, features = size
    x = normal(batch, height, width, channels)
    kernel = normal(kernel_size, kernel_size, channels, features)
    cotangent = normal(batch, 2 * height, 2 * width, features)
    sides = jax.jit(OF_TRANSPOSED), jax.jit(OF_DILATED), exactly(OF_DILATED)
    assert_no_further(*(side(x, kernel, cotangent) for side in sides))


def test_transposed_convolution_of_few_pixels_keeps_bfloat16_and_its_precision():
    x, kernel = normal(2, 1, 3, 96), normal(4, 4, 96, 5)
    cotangent = normal(2, 2, 6, 5)
    rounded = [a.astype(jnp.bfloat16) for a in (x, kernel, cotangent)]
    ours = jax.jit(OF_TRANSPOSED)(*rounded)
    exact = exactly(OF_DILATED)(*(a.astype(np.float32) for a in rounded))
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == jnp.bfloat16
        # Sums are of float32: the result alone is rounded, to 8 significant bits.
        scale = np.abs(b).max()
        np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=2**-8, atol=2**-8 * scale)


def test_second_derivatives_of_a_transposed_convolution_of_few_pixels():
    x, kernel, cotangent = normal(1, 2, 1, 32), normal(4, 4, 32, 3), normal(1, 4, 2, 3)

    def penalty(function, x, kernel):
        """Of the gradient's size, as of R1."""
        dx, dk = jax.vjp(function, x, kernel)[1](cotangent * function(x, kernel))
        return jnp.square(dx).mean() + jnp.square(dk).mean()

    ours, plainly = (
        jax.grad(functools.partial(penalty, function), (0, 1))
        for function in (transposed_conv, dilated)
    )
    assert_no_further(*(f(x, kernel) for f in (jax.jit(ours), jax.jit(plainly), exactly(plainly))))


def test_an_accelerator_gets_a_convolution_of_few_pixels_and_a_cpu_products():
    x, kernel, dy = normal(1, 2, 2, 64), normal(4, 4, 64, 3), normal(1, 4, 4, 3)
    step = jax.jit(lambda x, kernel, dy: jax.vjp(transposed_conv, x, kernel)[1](dy))

    def text(platform):
        return step.trace(x, kernel, dy).lower(lowering_platforms=(platform,)).as_text()

    assert "stablehlo.convolution" not in text("cpu")
    assert "stablehlo.convolution" in text("cuda")
    assert "stablehlo.convolution" in text("tpu")


def test_reflection_mirrors_at_the_outermost_pixel():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    padded = reflect_pad(x, 2)[0, :, :, 0]
    np.testing.assert_array_equal(padded[2], [2, 1, 0, 1, 2, 3, 2, 1])
    np.testing.assert_array_equal(padded[:, 2], [8, 4, 0, 4, 8, 4, 0])


def test_sizes_that_are_no_multiple_are_named():
    check_multiple(jnp.zeros((1, 8, 24, 3)), 8)
    with pytest.raises(ValueError, match="12x8 pixels .* must be multiples of 8"):
        check_multiple(jnp.zeros((1, 12, 8, 3)), 8)


@pytest.mark.parametrize("affine", [False, True])
def test_instance_norm_matches_float64(affine):
    # Images of different means and scales; E[x^2] - E[x]^2 would cancel in the second.
    x = np.array([1.0, 0.1, 5.0])[:, None, None, None] * normal(3, 6, 7, 4)
    x = (x + np.array([0.0, 100.0, -3.0])[:, None, None, None]).astype(np.float32)
    scale, bias = normal(2, 4)
    layer = InstanceNorm(affine=affine)
    variables = {"params": {"scale": scale, "bias": bias}} if affine else {}
    y = np.asarray(jax.jit(layer.apply)(variables, x))
    exact = np.asarray(x, np.float64)
    mean, var = exact.mean((1, 2), keepdims=True), exact.var((1, 2), keepdims=True)
    expected = (exact - mean) / np.sqrt(var + 1e-5)
    if affine:
        expected = expected * scale + bias
    # The mean of numbers near 100 is known to 5e-5, of the deviation of 0.1 5e-4.
    np.testing.assert_allclose(y[[0, 2]], expected[[0, 2]], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(y[1], expected[1], rtol=0, atol=2e-3)


def test_instance_norm_by_given_moments_joins_the_parts_of_an_image():
    x = 2.0 + normal(2, 8, 6, 3)
    layer = InstanceNorm()
    whole, exact = (f(functools.partial(layer.apply, {}))(x) for f in (jax.jit, exactly))
    moments = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    part = layer.apply({}, x[:, :3], moments=moments)
    assert_no_further(part, whole[:, :3], exact[:, :3])


def test_instance_norm_starts_near_one_and_keeps_bfloat16():
    layer = InstanceNorm(affine=True, dtype=jnp.bfloat16)
    x = normal(1, 2, 2, 4096).astype(jnp.bfloat16)
    y, variables = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    scale = np.asarray(variables["params"]["scale"])
    assert scale.dtype == np.float32
    # N(1, 0.02): five deviations of the mean and of the deviation of 4,096 draws.
    assert abs(scale.mean() - 1) < 5 * 0.02 / 64
    assert abs(scale.std() / 0.02 - 1) < 5 / np.sqrt(2 * 4096)
    assert not np.asarray(variables["params"]["bias"]).any()


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_dropout_keeps_its_share_and_scales_it_up(rate):
    x = 1.0 + np.abs(normal(4, 16, 16, 32))
    layer = Dropout(rate)
    y = np.asarray(layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)}))
    kept = y != 0
    # Six deviations of a mean of 32,768 draws, for each image five of 8,192.
    assert abs(kept.mean() - (1 - rate)) < 6 * np.sqrt(rate * (1 - rate) / kept.size)
    for image in kept:
        assert abs(image.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / image.size)
    np.testing.assert_allclose(y[kept], (x / (1 - rate))[kept], rtol=1e-6)
    np.testing.assert_array_equal(layer.apply({}, x, train=False), x)


def masks(images, seed=0):
    rngs = {"dropout": jax.random.key(seed)}
    return np.asarray(Dropout().apply({}, jnp.ones((images, 6, 6, 8)), train=True, rngs=rngs)) > 0


def test_dropout_masks_differ_between_images_and_keys_but_not_with_the_batch():
    four = masks(4)
    np.testing.assert_array_equal(masks(2), four[:2])
    # Of independent masks half the numbers agree: 144 of 288, give or take 8.5.
    for one, other in ((four[0], four[1]), (four[2], four[3]), (four[0], masks(1, seed=1)[0])):
        assert 100 < (one == other).sum() < 188


@pytest.mark.parametrize("form", ["pmap", "shard_map"])
def test_synchronised_dropout_draws_the_masks_of_the_whole_batch(form):
    x = jnp.ones((8, 48))

    def step(variables, x):
        with axis.mapped("i"):
            y = Dropout().apply(variables, x, train=True, rngs={"dropout": jax.random.key(0)})
        return y, 0, 0

    whole = Dropout().apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(sharded(step, form)({}, x)[0], whole)

"""DiffAugment against a torch twin given the same draws, and what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gans import parallel
from gans.errors import UserError
from gans.ops import axis
from gans.ops.augment import diffaugment
from gans.ops.augment.diffaugment import OPERATIONS, DiffAugment

ALL = DiffAugment()


def images(shape=(5, 9, 14, 3), seed=0, dtype=np.float32):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


# The twin: channels first, rows and columns by index, as the paper's operations are defined.


def of_brightness(x, shift):
    return x + shift.view(-1, 1, 1, 1)


def of_saturation(x, factor):
    mean = x.mean(dim=1, keepdim=True)
    return (x - mean) * factor.view(-1, 1, 1, 1) + mean


def of_contrast(x, factor):
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * factor.view(-1, 1, 1, 1) + mean


def of_translation(x, rows, columns):
    moved = torch.zeros_like(x)
    height, width = x.shape[2:]
    for n, (down, right) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        for i in range(height):
            for j in range(width):
                if 0 <= i + down < height and 0 <= j + right < width:
                    moved[n, :, i, j] = x[n, :, i + down, j + right]
    return moved


def of_cutout(x, row, column):
    """Indices of the square are clamped to the image."""
    height, width = x.shape[2:]
    tall, wide = int(height * 0.5 + 0.5), int(width * 0.5 + 0.5)
    mask = torch.ones_like(x)
    for n in range(len(x)):
        rows = torch.clamp(torch.arange(tall) + row[n] - tall // 2, 0, height - 1)
        columns = torch.clamp(torch.arange(wide) + column[n] - wide // 2, 0, width - 1)
        for i in rows.tolist():
            mask[n, :, i, columns] = 0
    return x * mask


TWINS = {
    "brightness": of_brightness,
    "saturation": of_saturation,
    "contrast": of_contrast,
    "translation": of_translation,
    "cutout": of_cutout,
}


def twin(x, drawn):
    """`[B, H, W, C]` numpy to the same."""
    x = torch.from_numpy(np.asarray(x)).permute(0, 3, 1, 2)
    for name, draws in drawn.items():
        x = TWINS[name](x, *(torch.from_numpy(np.array(draw)).to(_kind(draw, x)) for draw in draws))
    return x.permute(0, 2, 3, 1).numpy()


def _kind(draw, x):
    return x.dtype if np.issubdtype(draw.dtype, np.floating) else torch.int64


SHAPES = [(5, 9, 14, 3), (1, 32, 32, 1), (3, 7, 7, 1), (2, 16, 5, 3), (2, 1, 1, 3)]


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_operation_is_the_twins_pixel_for_pixel(name, shape):
    x, operation = images(shape), OPERATIONS[name]
    for seed in range(3):
        draws = operation.draw(jax.random.key(seed), shape)
        ours = np.asarray(operation.apply(jnp.asarray(x), *draws))
        assert ours.shape == shape and ours.dtype == x.dtype
        # Two roundings of numbers below 4, and the mean's.
        np.testing.assert_allclose(ours, twin(x, {name: draws}), rtol=0, atol=1e-6)


COLOUR = ("brightness", "saturation", "contrast")
POLICIES = {
    ("colour", "translation", "cutout"): (*COLOUR, "translation", "cutout"),
    ("cutout", "colour"): ("cutout", *COLOUR),
    ("translation",): ("translation",),
}


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_policy_is_the_twins_in_its_order_in_float64(policy):
    augment, x = DiffAugment(policy), images(dtype=np.float64)
    with jax.enable_x64(True):
        drawn = augment.draw(jax.random.key(3), x.shape)
        assert tuple(drawn) == POLICIES[policy]
        ours = np.asarray(augment.apply(jnp.asarray(x), drawn))
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, twin(x, drawn), rtol=0, atol=1e-12)
    assert np.abs(ours - x).max() > 0.1


def test_a_call_applies_what_it_draws_or_nothing():
    x, key = jnp.asarray(images((400, 6, 6, 3))), jax.random.key(5)
    always, never = ALL(x, key), ALL(x, key, 0.0)
    np.testing.assert_array_equal(never, x)
    changed = (np.asarray(always) != np.asarray(x)).any(axis=(1, 2, 3))
    assert changed.all()
    some = np.asarray(jax.jit(ALL)(x, key, jnp.float32(0.3)))
    left = (some == np.asarray(x)).all(axis=(1, 2, 3))
    # Of 400 images with 0.7: the deviation of the share is 0.023.
    assert left.mean() == pytest.approx(0.7, abs=4 * 0.023)
    # Those that are changed are so by the same draws.
    np.testing.assert_allclose(some[~left], np.asarray(always)[~left], rtol=0, atol=1e-6)


RANGES = {"brightness": (-0.5, 0.5), "saturation": (0.0, 2.0), "contrast": (0.5, 1.5)}


@pytest.mark.parametrize("name", RANGES)
def test_numbers_fill_their_range_and_no_more(name):
    low, high = RANGES[name]
    (drawn,) = OPERATIONS[name].draw(jax.random.key(0), (4000, 8, 8, 3))
    assert drawn.shape == (4000,) and low <= drawn.min() and drawn.max() < high
    # With 4000 uniform draws one is within a 250th of either end, but for e^-16.
    assert drawn.min() < low + (high - low) / 250 and drawn.max() > high - (high - low) / 250
    assert np.mean(drawn) == pytest.approx((low + high) / 2, abs=4 * (high - low) / 219)


@pytest.mark.parametrize(
    ("name", "size", "least", "most"),
    [
        ("translation", 32, -4, 4),
        ("translation", 20, -3, 3),  # an eighth is 2.5
        ("translation", 3, 0, 0),
        ("cutout", 32, 0, 32),  # of 16 rows
        ("cutout", 9, 0, 8),  # of 5
        ("cutout", 7, 0, 7),  # of 4
    ],
)
def test_whole_numbers_are_each_of_their_range(name, size, least, most):
    for dim in (1, 2):
        shape = [4000, 8, 8, 1]
        shape[dim] = size
        draws = OPERATIONS[name].draw(jax.random.key(1), tuple(shape))
        assert sorted({*np.asarray(draws[dim - 1]).tolist()}) == list(range(least, most + 1))
    assert draws[0].shape == draws[1].shape == (4000,) and (draws[0] != draws[1]).any()


def test_a_square_at_a_corner_is_a_quarter_and_in_the_middle_whole():
    x = jnp.ones((3, 32, 32, 1))
    zeros = 1 - diffaugment.cutout(x, jnp.array([0, 16, 32]), jnp.array([0, 16, 32]))
    assert zeros.sum(axis=(1, 2, 3)).tolist() == [64, 256, 64]
    assert zeros[0, :8, :8].all() and zeros[1, 8:24, 8:24].all() and zeros[2, 24:, 24:].all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_are_the_twins(name):
    x, operation = images((3, 6, 5, 3), dtype=np.float64), OPERATIONS[name]
    towards = images((3, 6, 5, 3), seed=1, dtype=np.float64)
    with jax.enable_x64(True):
        draws = operation.draw(jax.random.key(2), x.shape)
        ours = jax.grad(lambda x: jnp.sum(operation.apply(x, *draws) ** 2 * towards))(x)
    theirs = torch.from_numpy(x).permute(0, 3, 1, 2).requires_grad_()
    made = TWINS[name](theirs, *(torch.from_numpy(np.array(draw)) for draw in draws))
    (made**2 * torch.from_numpy(towards).permute(0, 3, 1, 2)).sum().backward()
    np.testing.assert_allclose(ours, theirs.grad.permute(0, 2, 3, 1), rtol=0, atol=1e-12)


def test_a_gradient_of_a_gradient_is_that_of_finite_differences():
    # As a penalty asks for: of the squared gradient of sum(T(x)^3), with respect to x.
    x, key = images((2, 6, 5, 3), dtype=np.float64), jax.random.key(4)

    def penalty(x):
        return jnp.sum(jax.grad(lambda x: jnp.sum(ALL(x, key, 0.7) ** 3))(x) ** 2)

    with jax.enable_x64(True):
        step, way = 1e-5, images(x.shape, seed=1, dtype=np.float64)
        found = float(jnp.sum(jax.grad(penalty)(x) * way))
        expected = float(penalty(x + step * way) - penalty(x - step * way)) / (2 * step)
    assert abs(found) > 1
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_images_keep_their_dtype(dtype):
    x = jnp.asarray(images()).astype(dtype)
    made = ALL(x, jax.random.key(0), 0.9)
    assert made.dtype == x.dtype
    exact = ALL(x.astype(np.float32), jax.random.key(0), 0.9)
    # Some ten roundings of numbers below 4.
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(made.astype(np.float32), exact, rtol=0, atol=10 * 4 * eps)


@pytest.mark.as_in_use
@pytest.mark.parametrize("devices", [2, 8])
def test_devices_that_share_a_batch_change_it_as_one_does(devices):
    x, key, mesh = images((8, 6, 6, 3)), jax.random.key(7), parallel.make_mesh(devices)
    split = jax.sharding.PartitionSpec(parallel.DATA)

    def share(x):
        with axis.mapped(parallel.DATA):
            return ALL(x, key, 0.6)

    mapped = jax.jit(jax.shard_map(share, mesh=mesh, in_specs=split, out_specs=split))
    over_mesh = jax.jit(
        lambda x: ALL(x, key, 0.6), in_shardings=jax.sharding.NamedSharding(mesh, split)
    )
    whole = jax.jit(lambda x: ALL(x, key, 0.6))(x)
    for found in (mapped(x), over_mesh(x)):
        # The draws are the same to the bit; the means of an image round.
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("policy", [(), ("color",), ("cutout", "cutout")], ids=str)
def test_a_policy_of_other_names_is_refused_in_a_sentence(policy):
    with pytest.raises(UserError, match=r"The policy of DiffAugment is .*colour, translation, cu"):
        DiffAugment(policy)

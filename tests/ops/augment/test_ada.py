"""ADA's operations: maps and matrices by hand, what is drawn and how often, and what is exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gans import parallel
from gans.ops import axis
from gans.ops.augment import ada
from gans.ops.augment.ada import Ada

ALL = Ada(cutout=1.0)
NONE = dict.fromkeys(Ada.__dataclass_fields__, 0.0)


def only(**fields):
    return Ada(**(NONE | fields))


def images(shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def drawn(**values):
    """One image's draws."""
    return {name: jnp.float32([np.atleast_1d(value)]) for name, value in values.items()}


def matrix(*rows):
    return np.array(rows, np.float64)


def rotation(angle):
    """Turns (x, y), y downwards, by an angle that is positive to the right."""
    cos, sin = np.cos(angle), np.sin(angle)
    return matrix((cos, -sin, 0), (sin, cos, 0), (0, 0, 1))


def shift(x, y):
    return matrix((1, 0, x), (0, 1, y), (0, 0, 1))


def test_maps_are_the_inverses_of_the_operations_in_their_order():
    given = drawn(
        xflip=1,
        rotate90=3,
        xint=(0.11, -0.07),
        scale=1.3,
        rotate=0.4,
        aniso=0.8,
        rotate_after=-1.1,
        xfrac=(0.05, 0.2),
    )
    # Of 20 pixels: moved by 2.2 and -1.4, rounded; and by 1 and 4.
    forward = [
        np.diag([-1.0, 1, 1]),
        rotation(-3 * np.pi / 2),
        shift(2, -1),
        np.diag([1.3, 1.3, 1]),
        rotation(-0.4),
        np.diag([0.8, 1 / 0.8, 1]),
        rotation(1.1),
        shift(1, 4),
    ]
    product = np.eye(3)
    for each in forward:
        product = each @ product  # a place in the image, after all before it
    found = ada.affine(given, (20, 20))
    np.testing.assert_allclose(found[0], np.linalg.inv(product), atol=2e-6)


def test_colours_are_the_products_of_their_matrices():
    given = drawn(brightness=0.3, contrast=1.4, lumaflip=1, hue=0.9, saturation=0.6)
    v = np.ones(3) / np.sqrt(3)
    pixel = np.array([0.2, -0.5, 0.7])
    expected = pixel + 0.3
    expected = 1.4 * expected
    expected = expected - 2 * (v @ expected) * v
    expected = Rotation.from_rotvec(0.9 * v).apply(expected)
    grey = (v @ expected) * v
    expected = grey + 0.6 * (expected - grey)
    found = np.asarray(ada.colours(given))[0]
    assert found.shape == (3, 4)
    np.testing.assert_allclose(found @ [*pixel, 1], expected, atol=1e-6)
    image = jnp.broadcast_to(jnp.float32(pixel), (1, 2, 3, 3))
    made = ada.coloured(image, ada.colours(given))
    np.testing.assert_allclose(made, np.broadcast_to(expected, (1, 2, 3, 3)), atol=1e-6)


def test_a_grey_image_is_the_mean_of_three_channels_that_are_it():
    x = images((4, 5, 6, 1))
    given = ALL.draw(jax.random.key(0), 4, 1.0)
    grey = ada.coloured(jnp.asarray(x), ada.colours(given))
    three = ada.coloured(jnp.repeat(jnp.asarray(x), 3, axis=3), ada.colours(given))
    np.testing.assert_allclose(grey[..., 0], np.mean(three, axis=3), atol=2e-6)


@pytest.mark.parametrize("shape", [(60, 8, 8, 3), (60, 7, 7, 1), (60, 6, 9, 3)], ids=str)
def test_mirrored_turned_and_moved_images_keep_their_pixels_to_the_bit(shape):
    x = images(shape)
    augment = only(xflip=1.0, rotate90=1.0)
    made = np.asarray(jax.jit(augment)(x, jax.random.key(0), 1.0))
    turns = range(4) if shape[1] == shape[2] else (0, 2)
    seen = set()
    for image, before in zip(made, x, strict=True):
        ways = {
            (turn, flip): np.rot90(before[:, :: -1 if flip else 1], turn)
            for turn in turns
            for flip in (False, True)
        }
        (way, *_) = [name for name, one in ways.items() if np.array_equal(one, image)]
        seen.add(way)
    assert len(seen) == 2 * len(turns)


def test_moves_by_whole_pixels_show_the_mirror_image_beyond_an_edge():
    x = images((80, 16, 16, 1))
    made = np.asarray(only(xint=1.0)(x, jax.random.key(1), 1.0))
    more = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    seen = set()
    for image, before in zip(made, more, strict=True):
        places = [(i, j) for i in range(5) for j in range(5)]
        (place,) = [
            (i, j) for i, j in places if np.array_equal(before[i : i + 16, j : j + 16], image)
        ]
        seen.add(place)
    assert {i for i, _ in seen} == {j for _, j in seen} == set(range(5))  # an eighth is 2


def test_nothing_changes_with_probability_0_and_what_has_no_share_is_not_drawn():
    x = images((5, 9, 7, 3))
    np.testing.assert_array_equal(ALL(x, jax.random.key(0), 0.0), x)
    np.testing.assert_array_equal(only()(x, jax.random.key(0), 1.0), x)
    assert set(only(hue=1.0, rotate=0.5).draw(jax.random.key(0), 2, 1.0)) == {
        "hue",
        "rotate",
        "rotate_after",
    }
    # And what else is drawn does not matter.
    one, all_of_them = only(hue=1.0), ALL
    first, second = (a.draw(jax.random.key(0), 4, 0.7)["hue"] for a in (one, all_of_them))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("probability", [0.3, jnp.float32(0.8)], ids=str)
def test_operations_are_drawn_as_often_as_their_share_says(probability):
    shares = {"scale": 1.0, "contrast": 0.5, "rotate": 1.0, "cutout": 0.25}
    rows = 4000
    found = only(**shares).draw(jax.random.key(0), rows, probability)
    for name, share in shares.items():
        is_drawn = np.asarray(found[name] != ada.OPERATIONS[name].nothing).any(axis=1)
        if name == "rotate":
            is_drawn |= np.asarray(found["rotate_after"] != 0)[:, 0]
        p = share * float(probability)
        assert is_drawn.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / rows)), name


RANGES = {
    "xint": (-0.125, 0.125),
    "rotate": (-np.pi, np.pi),
    "hue": (-np.pi, np.pi),
    "cutout": (0.0, 1.0),
}
DEVIATIONS = {
    "scale": 0.2,
    "aniso": 0.2,
    "xfrac": 0.125,
    "brightness": 0.2,
    "contrast": 0.5,
    "saturation": 1.0,
}


def test_what_is_drawn_fills_its_range_or_has_its_deviation():
    found = ALL.draw(jax.random.key(3), 4000, 1.0)
    for name, (low, high) in RANGES.items():
        x, reach = np.asarray(found[name]), (high - low) / 200
        assert low <= x.min() < low + reach and high - reach < x.max() <= high, name
    for name, deviation in DEVIATIONS.items():
        x = np.asarray(found[name])
        x = np.log2(x) if ada.OPERATIONS[name].nothing == 1 else x
        # The deviation of a deviation of n normal numbers is its root 2n-th part.
        assert x.std() == pytest.approx(deviation, rel=4 / np.sqrt(8000)), name
        assert x.mean() == pytest.approx(0, abs=4 * deviation / np.sqrt(4000)), name
    for name in ("xflip", "lumaflip"):
        assert np.asarray(found[name]).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000))
    assert np.bincount(np.asarray(found["rotate90"]).astype(int)[:, 0]).min() > 1000 - 4 * 28


def test_a_square_of_half_a_side_is_cut_out_about_its_middle():
    x = jnp.ones((2, 16, 12, 1))
    zeros = 1 - np.asarray(ada.cut_out(x, jnp.float32([[0.5, 0.5], [1.0, 0.0]])))[..., 0]
    assert zeros[0, 4:12, 3:9].all() and zeros[0].sum() == 8 * 6
    assert zeros[1, :4, 9:].all() and zeros[1].sum() == 4 * 3


def test_one_resampling_for_all_that_bends_an_image():
    x, key = images((12, 9, 9, 3)), jax.random.key(2)
    found = only(scale=1.0, rotate=1.0, xflip=1.0).draw(key, 12, 0.25)
    made = np.asarray(ada.moved(jnp.asarray(x), found))
    bent = ada.warp.resampled(jnp.asarray(x), ada.affine(found, (9, 9)))
    whole = ada.warp.permuted(jnp.asarray(x), ada.affine(found, (9, 9)))
    is_bent = np.asarray(
        (found["scale"] != 1) | (found["rotate"] != 0) | (found["rotate_after"] != 0)
    )[:, 0]
    assert 0 < is_bent.sum() < 12
    np.testing.assert_allclose(made[is_bent], np.asarray(bent)[is_bent], atol=1e-6)
    np.testing.assert_array_equal(made[~is_bent], np.asarray(whole)[~is_bent])


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (3, 7, 10, 3)], ids=str)
def test_a_gradient_of_a_gradient_is_that_of_finite_differences(shape):
    x, key = images(shape).astype(np.float64), jax.random.key(4)
    with jax.enable_x64(True):
        found = {
            name: jnp.asarray(value, jnp.float64) for name, value in ALL.draw(key, 3, 0.9).items()
        }
        found = {name: value[: len(x)] for name, value in found.items()}

        def penalty(x):
            slope = jax.grad(lambda x: jnp.sum(ada.apply(x, found) ** 3))(x)
            return jnp.sum(slope**2)

        step, way = 1e-5, images(shape, seed=1).astype(np.float64)
        ours = float(jnp.sum(jax.grad(penalty)(x) * way))
        expected = float(penalty(x + step * way) - penalty(x - step * way)) / (2 * step)
    assert abs(ours) > 1e-2
    assert ours == pytest.approx(expected, rel=1e-6)


def test_images_keep_their_dtype():
    x = jnp.asarray(images((3, 8, 8, 3)))
    exact = np.asarray(ALL(x, jax.random.key(0), 0.8))
    made = ALL(x.astype(jnp.bfloat16), jax.random.key(0), 0.8)
    assert made.dtype == jnp.bfloat16
    # Rounded before it, between moves and colours, and after.
    bound = 4 * float(jnp.finfo(jnp.bfloat16).eps) * max(1.0, np.abs(exact).max()) * 4
    np.testing.assert_allclose(made.astype(np.float32), exact, atol=bound)


@pytest.mark.as_in_use
def test_devices_that_share_a_batch_change_it_as_one_does():
    x, key, mesh = images((8, 6, 6, 3)), jax.random.key(7), parallel.make_mesh(8)
    split = jax.sharding.PartitionSpec(parallel.DATA)

    def share(x):
        with axis.mapped(parallel.DATA):
            return ALL(x, key, 0.7)

    mapped = jax.jit(jax.shard_map(share, mesh=mesh, in_specs=split, out_specs=split))
    over_mesh = jax.jit(
        lambda x: ALL(x, key, 0.7), in_shardings=jax.sharding.NamedSharding(mesh, split)
    )
    whole = jax.jit(lambda x: ALL(x, key, 0.7))(x)
    for found in (mapped(x), over_mesh(x)):
        np.testing.assert_allclose(found, whole, atol=2e-5)

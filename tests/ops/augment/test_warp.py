"""Affine maps of images against numpy and scipy, and where they are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gans.ops.augment import warp

SYM6 = warp.SYM6


def images(shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def maps(*rows):
    """Maps `[B, 3, 3]` of a matrix and a shift each: `(a, b, e, c, d, f)`."""
    return np.stack([np.array([*row, 0, 0, 1], np.float64).reshape(3, 3) for row in rows])


def test_the_wavelets_filter_is_orthonormal_and_has_six_vanishing_moments():
    assert SYM6.sum() == pytest.approx(np.sqrt(2), abs=1e-12)
    for shift in range(6):
        product = SYM6[2 * shift :] @ SYM6[: len(SYM6) - 2 * shift]
        assert product == pytest.approx(float(shift == 0), abs=1e-12)
    k = np.arange(12)
    for power in range(6):
        moment = np.sum((-1.0) ** k * k**power * SYM6)
        assert abs(moment) <= 1e-10 * np.sum(k**power * np.abs(SYM6))


def enlarged(x):
    """A row by its definition: mirrored, spread with zeros between, and convolved."""
    more = np.zeros(2 * (len(x) + 16))
    more[::2] = np.pad(x, 8, mode="reflect")
    # Its first element lies 16 before the row's; `convolve` begins 11 later, and 6 of its delay.
    return 2 * np.convolve(more, SYM6 / np.sqrt(2), mode="valid")[10 : 10 + 2 * len(x)]


def test_matrices_enlarge_and_reduce_by_the_filter():
    x = images(20)
    np.testing.assert_allclose(warp.enlarging(20) @ x, enlarged(x), atol=1e-12)
    y = images(2 * 20 + 12, seed=1)
    expected = np.correlate(y[1:], SYM6 / np.sqrt(2), mode="valid")[::2][:20]
    np.testing.assert_allclose(warp.reducing(20) @ y, expected, atol=1e-12)


def test_what_is_enlarged_and_reduced_is_the_same_but_at_its_edges():
    there_and_back = warp.reducing(24)[:, 6:-6] @ warp.enlarging(24)
    np.testing.assert_allclose(there_and_back[6:-6], np.eye(24)[6:-6], atol=1e-12)


def twin(image, matrix):
    """One image `[H, W, C]` under a map, in float64 and loops."""
    height, width, channels = image.shape
    result = np.empty_like(image)
    for c in range(channels):
        large = np.apply_along_axis(enlarged, 0, image[..., c])
        large = np.apply_along_axis(enlarged, 1, large)
        rows = np.arange(-6, 2 * height + 6) / 2 - 0.25 - (height - 1) / 2
        columns = np.arange(-6, 2 * width + 6) / 2 - 0.25 - (width - 1) / 2
        sampled = np.empty((len(rows), len(columns)))
        for i, y in enumerate(rows):
            for j, x in enumerate(columns):
                u, v, _ = matrix @ (x, y, 1)
                place = [
                    np.abs((middle + 1.5 * (size - 1)) % (2 * size - 2) - (size - 1)) * 2 + 0.5
                    for middle, size in ((v, height), (u, width))
                ]
                sampled[i, j] = ndimage.map_coordinates(large, np.array(place)[:, None], order=1)[0]
        for axis in (0, 1):
            sampled = np.apply_along_axis(
                lambda z: np.correlate(z[1:], SYM6 / np.sqrt(2), mode="valid")[::2][
                    : (len(z) - 12) // 2
                ],
                axis,
                sampled,
            )
        result[..., c] = sampled
    return result


MAPS = maps(
    (1, 0, 0, 0, 1, 0),
    (0.8, -0.3, 1.3, 0.5, 1.1, -2.6),
    (-1.7, 0.2, 30.0, 0.1, 0.6, -14.5),  # far beyond the edges
)


@pytest.mark.parametrize("shape", [(11, 11, 1), (9, 14, 3)], ids=str)
def test_resampling_is_the_twins_pixel_for_pixel(shape):
    x = images((len(MAPS), *shape))
    with jax.enable_x64(True):
        ours = np.asarray(warp.resampled(jnp.asarray(x), jnp.asarray(MAPS)))
    assert ours.dtype == np.float64
    expected = np.stack([twin(*pair) for pair in zip(x, MAPS, strict=True)])
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    single = warp.resampled(jnp.asarray(x, jnp.float32), jnp.asarray(MAPS, jnp.float32))
    # Of places up to 100 pixels away rounding moves 1e-5 of a pixel, whose neighbours differ by 2.
    np.testing.assert_allclose(single, expected, atol=1e-4)


def test_whole_pixels_keep_their_values_inside_whichever_way():
    x = images((1, 24, 24, 1))
    move = maps((1, 0, 2, 0, 1, -1))
    for how in (warp.permuted, warp.resampled):
        made = np.asarray(how(jnp.asarray(x, jnp.float32), jnp.asarray(move, jnp.float32)))
        np.testing.assert_allclose(made[0, 8:-8, 8:-8], x[0, 7:-9, 10:-6], atol=1e-5)


@pytest.mark.parametrize("size", [8, 7, 1])
def test_mirrored_turned_and_moved_pixels_are_exact(size):
    x = images((5, size, size, 3)).astype(np.float32)
    given = maps(
        (-1, 0, 0, 0, 1, 0),
        (0, -1, 0, 1, 0, 0),
        (-1, 0, 0, 0, -1, 0),
        (0, -1, 0, -1, 0, 0),
        (1, 0, -3, 0, 1, 2),
    )
    made = np.asarray(warp.permuted(jnp.asarray(x), jnp.asarray(given, jnp.float32)))
    np.testing.assert_array_equal(made[0], x[0][:, ::-1])
    # A pixel (x, y) shows (-y, x): what was on the right is now at the top.
    np.testing.assert_array_equal(made[1], np.rot90(x[1]))
    np.testing.assert_array_equal(made[2], x[2][::-1, ::-1])
    if size > 3:
        more = np.pad(x[4], ((0, 2), (3, 0), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(made[4], more[2:, :size])


def test_gradients_flow_to_the_pixels_that_are_shown():
    x = images((2, 9, 9, 3))
    towards = images((2, 9, 9, 3), seed=1)
    with jax.enable_x64(True):
        given = jnp.asarray(MAPS[1:])

        def total(x):
            return jnp.sum(warp.resampled(x, given) ** 2 * towards)

        slope = np.asarray(jax.grad(total)(jnp.asarray(x)))
        step, way = 1e-6, images(x.shape, seed=2)
        expected = float(total(x + step * way) - total(x - step * way)) / (2 * step)
    assert np.sum(slope * way) == pytest.approx(expected, rel=1e-6)

"""The moments of a whole image, from its parts."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from closeness import assert_no_further, exactly

from gans.core.state import create_net
from gans.inference import norm_statistics, tiles, translating
from gans.models import layers, resnet


def image(height, width):
    """Dark on the left, bright and rough on the right."""
    noise = np.random.default_rng(0).normal(size=(height, width, 3))
    x = np.linspace(0, 1, width)[:, None]
    return np.clip(30 + 150 * x + 60 * x * noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def net():
    module = resnet.Generator(features=4, blocks=1)
    image = jnp.zeros((1, 32, 32, 3))
    start = jax.jit(lambda key: create_net(key, module, (image,), optax.sgd(0.1)))
    return start(jax.random.key(0))


def test_the_moments_of_parts_are_joined_to_those_of_the_whole():
    x = np.random.default_rng(0).normal(3, 2, (1, 8, 12, 5)) + np.arange(12)[:, None]
    parts, weights = np.split(x, [4, 10], axis=2), (4, 6, 2)
    each = [{"norm": layers.instance_moments(jnp.float32(part))} for part in parts]
    mean, variance = norm_statistics.joined(list(zip(each, weights, strict=True)))["norm"]
    np.testing.assert_allclose(mean[0, 0, 0], x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance[0, 0, 0], x.var((0, 1, 2)), rtol=1e-5)


def estimated(net, pixels, patch):
    cuts = [
        tiles.cut(extent, tile=patch, overlap=patch // 2, unit=4, least=32)
        for extent in pixels.shape[:2]
    ]
    estimate, calls = norm_statistics.Estimate(net, pixels, *cuts), []
    found = estimate.run(lambda: calls.append(1))
    assert len(calls) == estimate.steps
    return found


def test_with_the_moments_of_the_whole_a_tile_equals_its_part_away_from_its_edge(net):
    pixels = image(96, 128)
    exact = estimated(net, pixels, 128)  # in one patch
    whole, in_float64 = (
        f(net, pixels, {}) for f in (translating._paint, exactly(translating._paint))
    )
    assert_no_further(translating._paint(net, pixels, exact), whole, in_float64)
    part = np.s_[:, 32:]
    tile = translating._paint(net, pixels[part], exact)
    # An output pixel of one block depends on 20 pixels to each side.
    assert_no_further(*(x[:, 20:] for x in (tile, whole[part], in_float64[part])))
    own = translating._paint(net, pixels[part], {})
    assert np.abs(own[:, 20:] - whole[part][:, 20:]).mean() > 0.01


def error(found, exact):
    return max(
        float(jnp.abs(jnp.sqrt(found[path][1] / exact[path][1]) - 1).max()) for path in exact
    )


def test_patches_that_cover_an_image_have_its_moments(net):
    pixels = image(96, 192)
    exact = estimated(net, pixels, 192)
    assert error(estimated(net, pixels, 64), exact) < 0.02


def test_a_sample_of_patches_is_corrected_by_all_of_the_image(net, monkeypatch):
    pixels = image(96, 192)
    exact = estimated(net, pixels, 192)
    monkeypatch.setattr(norm_statistics, "_AT_ONCE", 64 * 64 * 3)
    assert error(estimated(net, pixels, 64), exact) < 0.05
    monkeypatch.setattr(norm_statistics, "_ROUNDS", 0)
    assert error(estimated(net, pixels, 64), exact) > 0.06


@pytest.mark.parametrize("grid", [(1, 1), (3, 3), (3, 5), (31, 46), (1, 300), (300, 2)])
def test_a_sample_is_spread_evenly_and_is_all_there_is_where_that_is_little(grid):
    places = norm_statistics.spread(*grid, 16)
    assert len(set(places)) == len(places) <= 16
    assert len(places) >= min(np.prod(grid), 12)
    for axis, count in enumerate(grid):
        used = sorted({place[axis] for place in places})
        assert abs(used[0] - (count - 1 - used[-1])) <= 1
        assert np.ptp(np.diff(used)) <= 1 if len(used) > 2 else True


class Norms(nn.Module):
    """Two norms, the second after a halving to single pixels where the image has two."""

    @nn.compact
    def __call__(self, x):
        x = layers.InstanceNorm()(x)
        return layers.InstanceNorm()(nn.relu(nn.avg_pool(x, (2, 2), (2, 2))))


def test_parts_of_an_image_are_normalised_as_the_whole():
    whole = np.random.default_rng(0).normal(size=(1, 8, 12, 3)) + np.arange(12)[:, None]
    whole = whole.astype(np.float32)
    expected, exact = (f(functools.partial(Norms().apply, {}))(whole) for f in (jax.jit, exactly))
    # The columns 4 to 8 are in both parts and count half in each.
    parts = jnp.concatenate([whole[:, :, :8], whole[:, :, 4:]])
    weight = np.ones((2, 8, 8), np.float32)
    weight[0, :, 4:] = weight[1, :, :4] = 0.5
    with norm_statistics.shared_moments(lambda path, pooled: pooled, weight) as found:
        together = Norms().apply({}, parts)
    first = found["InstanceNorm_0"]
    np.testing.assert_allclose(first[0][0, 0, 0], whole.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(first[1][0, 0, 0], whole.var((0, 1, 2)), rtol=1e-5)
    for part, place in zip(together, (np.s_[0, :, :4], np.s_[0, :, 2:]), strict=True):
        assert_no_further(part, expected[place], exact[place])
    with norm_statistics.shared_moments(lambda path, pooled: found[path], weight[1:]):
        alone = Norms().apply({}, parts[1:])
    assert_no_further(alone[0], expected[0, :, 2:], exact[0, :, 2:])
    own = Norms().apply({}, parts[1:])
    assert np.abs(own - alone).max() > 0.1


def test_a_single_pixel_keeps_its_own_moments_and_becomes_zero():
    x = np.random.default_rng(0).normal(size=(2, 2, 2, 3)).astype(np.float32)
    ones = jnp.ones((1, 1, 1, 3))
    with norm_statistics.shared_moments(
        lambda path, pooled: (ones, ones), np.ones((2, 2, 2))
    ) as found:
        y = Norms().apply({}, x)
    assert set(found) == {"InstanceNorm_0"}
    np.testing.assert_array_equal(y, 0)

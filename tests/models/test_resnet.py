"""CycleGAN's ResNet generator: counts, sizes, precision, and that an image's place is nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly

from gans.models.resnet import Generator


def shapes(module, size):
    """Of parameters and output for one image `[H, W, C]`."""
    init = functools.partial(module.init_with_output, train=True)
    images, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, *size)))
    return variables["params"], images


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("blocks", "parameters"), [(9, 11_378_179), (6, 7_837_699)])
def test_sizes_are_those_published(blocks, parameters):
    params, images = shapes(Generator(blocks=blocks), (256, 256, 3))
    assert count(params) == parameters
    assert (images.shape, images.dtype) == ((1, 256, 256, 3), jnp.float32)


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_any_multiple_of_four_keeps_its_size(upsampling):
    module = Generator(channels=1, features=4, blocks=1, upsampling=upsampling)
    assert shapes(module, (16, 36, 1))[1].shape == (1, 16, 36, 1)


@pytest.mark.parametrize("size", [(30, 32, 3), (32, 33, 3)])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="must be multiples of 4"):
        shapes(Generator(features=4, blocks=1), size)


def test_there_is_no_other_upsampling():
    with pytest.raises(ValueError, match="'bilinear', not one of transposed, resize"):
        shapes(Generator(features=4, blocks=1, upsampling="bilinear"), (16, 16, 3))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_bfloat16_gives_float32_images_near_those_of_float32(random_params, upsampling):
    module = Generator(features=4, blocks=1, upsampling=upsampling)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    variables = {"params": random_params(module, image.shape[1:])}
    exact, half = (
        jax.jit(functools.partial(module.clone(dtype=dtype).apply, train=True))(variables, image)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert half.dtype == exact.dtype == jnp.float32
    assert 0 < np.abs(half - exact).mean() < 0.02 < np.std(exact)


def test_an_image_moved_by_four_pixels_is_translated_to_one_moved_by_four(random_params):
    module = Generator(features=4, blocks=1)
    image = np.zeros((1, 96, 96, 3), np.float32)
    # So small and so central that, two strides, a block and twice as much up again later,
    # nothing of it has met a mirrored edge.
    image[:, 44:48, 44:48] = np.random.default_rng(0).uniform(-1, 1, (1, 4, 4, 3))
    params = random_params(module, image.shape[1:])
    apply = functools.partial(module.apply, {"params": params}, train=True)
    inside = np.s_[:, 24:-24, 24:-24]
    moved = jax.jit(apply)(np.roll(image, (4, 8), (1, 2)))[inside]
    still, exact = (np.roll(f(apply)(image), (4, 8), (1, 2))[inside] for f in (jax.jit, exactly))
    assert np.std(still) > 0.01
    assert_no_further(moved, still, exact)


def test_images_of_a_batch_do_not_regard_each_other(random_params):
    module = Generator(features=4, blocks=1)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 16, 20, 3)).astype(np.float32)
    params = random_params(module, images.shape[1:])
    apply = functools.partial(module.apply, {"params": params}, train=True)
    alone, exact = (f(apply)(images[1:2]) for f in (jax.jit, exactly))
    assert_no_further(jax.jit(apply)(images)[1:2], alone, exact)

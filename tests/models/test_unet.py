"""CycleGAN's two U-Nets: counts, sizes, skips, dropout, precision."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gans.models.unet import Generator, PaperGenerator

SMALL = (4, 6, 8, 8)
BOTH = pytest.mark.parametrize("kind", [Generator, PaperGenerator])


def shapes(module, size):
    """Of parameters and output for one image `[H, W, C]`."""
    init = functools.partial(module.init_with_output, train=False)
    images, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, *size)))
    return variables["params"], images


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def picture(batch, height, width):
    return np.random.default_rng(0).uniform(-1, 1, (batch, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "parameters"), [(Generator, 54_414_979), (PaperGenerator, 54_409_603)]
)
def test_sizes_are_those_published(kind, parameters):
    params, images = shapes(kind(), (256, 256, 3))
    assert count(params) == parameters
    assert (images.shape, images.dtype) == ((1, 256, 256, 3), jnp.float32)
    # Down to one pixel and up again: 8 halvings and 8 doublings.
    assert sum(name.startswith("Conv_") for name in params) == 8
    assert sum(name.startswith("ConvTranspose_") for name in params) == 8


@BOTH
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_multiples_keep_their_size(kind, upsampling):
    module = kind(channels=1, features=SMALL, upsampling=upsampling)
    assert module.multiple == 16
    assert shapes(module, (32, 48, 1))[1].shape == (1, 32, 48, 1)


@BOTH
@pytest.mark.parametrize("size", [(24, 32, 3), (32, 40, 3), (8, 8, 3)])
def test_other_sizes_are_refused(kind, size):
    with pytest.raises(ValueError, match="must be multiples of 16"):
        shapes(kind(features=SMALL), size)


@BOTH
def test_bfloat16_gives_float32_images_near_those_of_float32(random_params, kind):
    module = kind(features=SMALL)
    # Larger than the multiple: of the 2x2 pixels above a single one, variances may vanish.
    image = picture(2, 64, 48)
    variables = {"params": random_params(module, image.shape[1:])}
    exact, half = (
        jax.jit(functools.partial(module.clone(dtype=dtype).apply, train=False))(variables, image)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert half.dtype == exact.dtype == jnp.float32
    assert 0 < np.abs(half - exact).mean() < 0.02 < np.std(exact)


@BOTH
def test_skips_carry_detail_past_the_bottleneck(random_params, kind):
    module = kind(features=SMALL)
    image = picture(1, 32, 32)
    params = random_params(module, image.shape[1:])
    # What comes up from below ends before the last doubling: of its kernel's inputs, the
    # tutorial's network has the skip last, the paper's first.
    kernel = params["ConvTranspose_3"]["kernel"]
    skip = slice(4, None) if kind is Generator else slice(None, 4)
    cut = np.zeros_like(kernel)
    cut[:, :, skip] = kernel[:, :, skip]
    params["ConvTranspose_3"]["kernel"] = cut
    translate = jax.jit(functools.partial(module.apply, {"params": params}, train=False))
    other = image.copy()
    other[:, 0, 0] = -other[:, 0, 0]
    changed = np.abs(translate(other) - translate(image)).max(-1)[0]
    # The first convolution sees 4x4 pixels, the last doubling two of its outputs each way.
    rows, columns = np.nonzero(changed)
    assert 0 < rows.max() < 8
    assert 0 < columns.max() < 8


def translations(module, params, image, keys):
    translate = jax.jit(
        lambda key: module.apply({"params": params}, image, train=True, rngs={"dropout": key})
    )
    return [np.asarray(translate(jax.random.key(key))) for key in keys]


def test_dropout_is_drawn_by_the_key_in_training_alone(random_params):
    module, image = Generator(features=SMALL), picture(1, 32, 32)
    params = random_params(module, image.shape[1:])
    first, again, other = translations(module, params, image, (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01
    calm = jax.jit(functools.partial(module.apply, train=False))({"params": params}, image)
    assert np.abs(first - calm).mean() > 0.01


def test_without_dropout_training_is_inference_and_needs_no_key(random_params):
    module, image = PaperGenerator(features=SMALL), picture(1, 32, 32)
    params = random_params(module, image.shape[1:])
    calm, trained = (
        jax.jit(functools.partial(module.apply, train=train))({"params": params}, image)
        for train in (False, True)
    )
    np.testing.assert_array_equal(calm, trained)


@pytest.mark.parametrize(("kind", "first"), [(Generator, 0), (PaperGenerator, 1)])
def test_dropout_stands_in_the_first_three_blocks_that_may_have_it(kind, first):
    module = kind(features=(2,) * 7, dropout=0.5)
    dropped = []

    def note(next_fun, args, kwargs, context):
        if type(context.module).__name__ == "Dropout" and context.method_name == "__call__":
            dropped.append(args[0].shape[1])
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(note):
        shapes(module, (128, 128, 3))
    assert dropped == [2 ** (1 + first + i) for i in range(3)]

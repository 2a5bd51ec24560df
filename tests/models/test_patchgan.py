"""PatchGAN: its size, what a logit sees, and that nothing else about a patch's place matters."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly

from gans.models.layers import InstanceNorm
from gans.models.patchgan import Discriminator, PixelDiscriminator


def shapes(module, size):
    """Of parameters and output for one image `[H, W, C]`."""
    init = functools.partial(module.init_with_output, train=True)
    logits, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, *size)))
    return variables["params"], logits


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("module", "parameters", "output"),
    [
        (Discriminator(), 2_764_737, (30, 30)),
        (Discriminator(slope=0.3, affine=True, use_bias=False), 2_765_569, (30, 30)),
        (PixelDiscriminator(), 8_705, (256, 256)),
    ],
    ids=["paper", "tutorial", "pixel"],
)
def test_sizes_are_those_published(module, parameters, output):
    params, logits = shapes(module, (256, 256, 3))
    assert count(params) == parameters
    assert (logits.shape, logits.dtype) == ((1, *output, 1), jnp.float32)


def test_every_kernel_can_be_divided_by_its_norm():
    plain, module = (Discriminator(features=2, depth=1, spectral=s) for s in (False, True))
    init = functools.partial(module.init, train=True)
    variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    assert variables["params"] == shapes(plain, (16, 16, 3))[0]
    vectors = {name: layer["u"].shape for name, layer in variables["spectral"].items()}
    assert vectors == {"Conv_0": (2,), "Conv_1": (4,), "Conv_2": (1,)}


@pytest.mark.parametrize(("depth", "sees"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_a_square_of_pixels_and_all_of_it(random_params, depth, sees):
    module = Discriminator(features=1, depth=depth)
    image = np.random.default_rng(0).normal(size=(1, 90, 90, 1)).astype(np.float32)
    params = random_params(module, image.shape[1:])

    def logit(image):
        # Normalisation regards the whole image.
        with nn.intercept_methods(without_normalisation):
            y = module.apply({"params": params}, image, train=True)
        return y[0, y.shape[1] // 2, y.shape[2] // 2, 0]

    rows, columns = np.nonzero(jax.jit(jax.grad(logit))(image)[0, :, :, 0])
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == sees
    assert len(rows) == sees**2


def without_normalisation(next_fun, args, kwargs, context):
    if isinstance(context.module, InstanceNorm) and context.method_name == "__call__":
        return args[0]
    return next_fun(*args, **kwargs)


def test_an_image_moved_by_eight_pixels_has_its_logits_moved_by_one(random_params):
    module = Discriminator(features=4)
    image = np.zeros((1, 160, 160, 3), np.float32)
    # What is there is far from the edges, before and after.
    image[:, 72:88, 72:88] = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3))
    params = random_params(module, image.shape[1:])
    apply = functools.partial(module.apply, {"params": params}, train=True)
    still, exact = (f(apply)(image)[:, 5:-7, 4:-8] for f in (jax.jit, exactly))
    moved = jax.jit(apply)(np.roll(image, (8, 16), (1, 2)))
    assert_no_further(moved[:, 6:-6, 6:-6], still, exact)
    assert np.std(moved[:, 6:-6, 6:-6]) > 0.1


@pytest.mark.parametrize(("depth", "least"), [(1, 6), (2, 12), (3, 24)])
def test_images_too_small_for_a_patch_are_refused(depth, least):
    module = Discriminator(features=2, depth=depth)
    assert shapes(module, (least, least, 3))[1].shape == (1, 1, 1, 1)
    for size in ((least - 1, 64, 3), (64, least - 1, 3)):
        with pytest.raises(ValueError, match=f"too small for a PatchGAN of depth {depth}"):
            shapes(module, size)


@pytest.mark.parametrize("module", [Discriminator(features=8), PixelDiscriminator(features=8)])
def test_bfloat16_gives_float32_logits_near_those_of_float32(random_params, module):
    image = np.random.default_rng(0).uniform(-1, 1, (2, 24, 32, 3)).astype(np.float32)
    variables = {"params": random_params(module, image.shape[1:])}
    exact = jax.jit(functools.partial(module.apply, train=True))(variables, image)
    half = jax.jit(functools.partial(module.clone(dtype=jnp.bfloat16).apply, train=True))(
        variables, image
    )
    assert half.dtype == jnp.float32
    # Rounding to 8 bits in each layer shows, and is small beside what the logits tell.
    assert 0 < np.abs(half - exact).max() < 0.1 * np.std(exact)

"""R3GAN's networks against the paper's, written in PyTorch, in float64; and how they start."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from closeness import exactly
from torch.nn import functional

from gans.models.r3gan import Discriminator, Generator, ResidualBlock

SMALL = {"blocks": 1, "group_features": 4}
MAKER = Generator(image_size=8, features=(6, 4), condition_features=3, **SMALL)
JUDGE = Discriminator(features=(4, 6), **SMALL)
LABEL = np.eye(5, dtype=np.float32)[[1, 4, 1]]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def shapes(net, *inputs):
    """Shapes of the output and of the parameters, without computing anything."""
    inputs = [jax.ShapeDtypeStruct(np.shape(x), jnp.float32) for x in inputs]
    init = functools.partial(net.init_with_output, train=False)
    images, variables = jax.eval_shape(init, jax.random.key(0), *inputs)
    return images, variables["params"]


def random_params(net, *inputs):
    """All of them filled, also those that start at zero."""
    rng = np.random.default_rng(2)

    def leaf(x):
        fan = np.prod(x.shape[:-1]) if len(x.shape) > 1 else 4
        return np.float32(rng.normal(size=x.shape) / np.sqrt(fan))

    return jax.tree.map(leaf, shapes(net, *inputs)[1])


def run(net, params, *inputs):
    return jax.jit(lambda p, *x: net.apply({"params": p}, *x, train=True))(params, *inputs)


# The networks in PyTorch, in NCHW: parameters under our names, kernels as ours.


def conv(x, kernel, bias=None, groups=1):
    padding = kernel.shape[0] // 2
    return functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=padding, groups=groups)


# The slope as our program for float32 has it, which is off by 1.5e-8 of it.
leaky = functools.partial(functional.leaky_relu, negative_slope=float(np.float32(0.2)))


def block(params, x, group_features):
    first, grouped, last = (params[f"Conv_{i}"] for i in range(3))
    y = leaky(conv(x, first["kernel"], first["bias"]))
    groups = y.shape[1] // group_features
    y = leaky(conv(y, grouped["kernel"], grouped["bias"], groups))
    return x + conv(y, last["kernel"])


def blur(channels):
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    return torch.outer(taps, taps).expand(channels, 1, 4, 4)


def generator(net, params, latent, label=None):
    if label is not None:
        latent = torch.cat([latent, label @ params["embedding"]["kernel"]], 1)
    x = params["basis"].permute(2, 0, 1) * (latent @ params["stem"]["kernel"])[:, :, None, None]
    blocks, widened = 0, 0
    for stage, width in enumerate(net.features):
        if stage:
            if x.shape[1] != width:
                x = conv(x, params[f"Conv_{widened}"]["kernel"])
                widened += 1
            x = functional.conv_transpose2d(x, 4 * blur(width), stride=2, padding=1, groups=width)
        for _ in range(net.blocks):
            x = block(params[f"ResidualBlock_{blocks}"], x, net.group_features)
            blocks += 1
    return conv(x, params["to_image"]["kernel"]).permute(0, 2, 3, 1)


def discriminator(net, params, image, label=None):
    x = conv(image.permute(0, 3, 1, 2), params["from_image"]["kernel"])
    blocks, widened = 0, 0
    for stage, width in enumerate(net.features):
        if stage:
            # As the paper's figure has it; the other order gives the same.
            if x.shape[1] != width:
                x = conv(x, params[f"Conv_{widened}"]["kernel"])
                widened += 1
            x = functional.conv2d(x, blur(width), stride=2, padding=1, groups=width)
        for _ in range(net.blocks):
            x = block(params[f"ResidualBlock_{blocks}"], x, net.group_features)
            blocks += 1
    width = x.shape[1]
    kernel = params["basis"].permute(2, 0, 1)[:, None]
    x = functional.conv2d(x, kernel, groups=width).reshape(-1, width)
    if label is None:
        return x @ params["logit"]["kernel"]
    of_class = label @ params["embedding"]["kernel"]
    return ((x @ params["head"]["kernel"]) * of_class).sum(1, keepdim=True)


def to_torch(tree, grad=False):
    def leaf(x):
        return torch.from_numpy(np.array(x, np.float64)).requires_grad_(grad)

    return jax.tree.map(leaf, tree)


def assert_equal(found, expected):
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True
    ):
        b = b.detach().numpy()
        assert a.dtype == np.float64
        atol = 1e-8 * np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path))


CASES = {
    "generator": (MAKER, generator, (normal(3, 7),)),
    "conditional generator": (MAKER, generator, (normal(3, 7), LABEL)),
    "discriminator": (JUDGE, discriminator, (normal(3, 8, 8, 2),)),
    "conditional discriminator": (JUDGE, discriminator, (normal(3, 8, 8, 2), LABEL)),
    "two blocks, three stages": (
        Discriminator(features=(4, 4, 6), blocks=2, expansion=3, group_features=2),
        discriminator,
        (normal(1, 16, 16, 1),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_of_parameters_are_those_of_torch(name):
    net, twin, inputs = CASES[name]
    params = random_params(net, *inputs)
    weight = normal(*shapes(net, *inputs)[0].shape, seed=1)

    def loss(params, *inputs):
        y = net.apply({"params": params}, *inputs, train=True)
        return jnp.sum(weight * y), y

    gradient, y = exactly(jax.grad(loss, has_aux=True))(params, *inputs)
    theirs = to_torch(params, grad=True)
    expected = twin(net, theirs, *to_torch(inputs))
    (to_torch(weight) * expected).sum().backward()
    assert_equal(y, expected)
    assert_equal(gradient, jax.tree.map(lambda x: x.grad, theirs))


@pytest.mark.parametrize("name", [n for n in CASES if "generator" not in n])
def test_the_gradient_of_a_penalty_on_the_gradient_is_that_of_torch(name):
    """Of R1 (Mescheder et al. 2018, arXiv:1801.04406, equation 9): second derivatives."""
    net, twin, (image, *label) = CASES[name]
    params = random_params(net, image, *label)

    def penalty(params, image, *label):
        def logits(image):
            return jnp.sum(net.apply({"params": params}, image, *label, train=True))

        return jnp.sum(jnp.square(jax.grad(logits)(image))) / len(image)

    gradient = exactly(jax.grad(penalty))(params, image, *label)
    theirs, image = to_torch(params, grad=True), to_torch(image, grad=True)
    logits = twin(net, theirs, image, *to_torch(label))
    (slope,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
    (slope.square().sum() / len(image)).backward()
    zeros = jax.tree.map(torch.zeros_like, theirs)
    assert_equal(
        gradient, jax.tree.map(lambda x, z: z if x.grad is None else x.grad, theirs, zeros)
    )


@pytest.mark.parametrize(
    ("net", "inputs", "count"),
    [
        (Generator(), ((1, 64), (1, 10)), 20_781_952),
        (Generator(), ((1, 64),), 20_732_160),
        (Discriminator(), ((1, 32, 32, 3), (1, 10)), 21_280_512),
        (Discriminator(), ((1, 32, 32, 3),), 20_683_776),
    ],
)
def test_as_many_parameters_as_the_authors_networks_for_cifar10(net, inputs, count):
    _, params = shapes(net, *(np.zeros(shape) for shape in inputs))
    assert sum(x.size for x in jax.tree.leaves(params)) == count


@pytest.mark.parametrize("size", [4, 32, 64])
def test_stages_follow_from_the_size_of_the_images(size):
    maker = Generator(image_size=size, channels=1, features=8)
    images, params = shapes(maker, normal(1, 5))
    assert (images.shape, images.dtype) == ((1, size, size, 1), np.float32)
    logits, of_judge = shapes(Discriminator(features=8), images)
    assert (logits.shape, logits.dtype) == ((1, 1), np.float32)
    stages = {4: 1, 32: 4, 64: 5}[size]
    for tree in (params, of_judge):
        assert sum(name.startswith("ResidualBlock") for name in tree) == 2 * stages
        # No 1x1 convolution between stages of one width.
        assert not any(name.startswith("Conv") for name in tree)


def test_one_number_is_that_of_each_stage():
    image = normal(2, 16, 16, 3)
    params = random_params(Discriminator(features=4, **SMALL), image)
    one, each = (run(Discriminator(features=f, **SMALL), params, image) for f in (4, (4, 4, 4)))
    np.testing.assert_array_equal(one, each)


def test_a_block_starts_as_the_identity():
    x = normal(2, 5, 3, 8)
    layer = ResidualBlock(depth=8)
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(variables, x), x)


def test_parameters_start_normal_by_fan_in_and_depth_and_all_else_is_zero():
    """The last stage's width is 64, so each kernel has enough numbers to tell its deviation."""
    image, label = np.zeros((1, 8, 8, 3)), np.zeros((1, 40))
    judge = Discriminator(features=(32, 64), blocks=3)
    maker = Generator(image_size=8, features=(64, 32), blocks=3, condition_features=48)
    init = jax.jit(
        lambda net, *x: net.init(jax.random.key(3), *x, train=False)["params"], static_argnums=0
    )
    of_judge, of_maker = init(judge, image, label), init(maker, np.zeros((1, 80)), label)
    gain = np.sqrt(2 / 1.04) * 6**-0.25
    block = of_judge["ResidualBlock_5"]
    expected = [
        (block["Conv_0"]["kernel"], gain / np.sqrt(64)),
        (block["Conv_1"]["kernel"], gain / np.sqrt(9 * 16)),
        (of_judge["from_image"]["kernel"], 1 / np.sqrt(3)),
        (of_judge["Conv_0"]["kernel"], 1 / np.sqrt(32)),
        (of_judge["basis"], 1 / 4),
        (of_judge["head"]["kernel"], 1 / np.sqrt(64)),
        (of_judge["embedding"]["kernel"], 1 / np.sqrt(64) / np.sqrt(40)),
        (of_maker["ResidualBlock_0"]["Conv_1"]["kernel"], gain / np.sqrt(9 * 16)),
        (of_maker["basis"], 1.0),
        (of_maker["stem"]["kernel"], 1 / np.sqrt(128)),
        (of_maker["embedding"]["kernel"], 1 / np.sqrt(40)),
        (of_maker["to_image"]["kernel"], 1 / np.sqrt(32)),
    ]
    for kernel, deviation in expected:
        # The deviation of n normal numbers is off by sqrt(1 / 2n), by five times as much once in a
        # million.
        assert np.std(kernel) == pytest.approx(deviation, rel=5 / np.sqrt(2 * kernel.size))
    assert not any(np.any(block[f"Conv_{i}"]["bias"]) for i in (0, 1))
    assert list(block["Conv_2"]) == ["kernel"]
    assert not np.any(block["Conv_2"]["kernel"])


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_is_near_float32_and_keeps_parameters_and_output_in_it(name):
    net, _, inputs = CASES[name]
    rough = net.clone(dtype=jnp.bfloat16)
    _, params = shapes(rough, *inputs)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    params = random_params(net, *inputs)
    y, exact = run(rough, params, *inputs), run(net, params, *inputs)
    assert y.dtype == jnp.float32
    # At most 30 roundings to 8 bits, one after the other and as often up as down, of numbers that
    # are no larger than a few times the last ones.
    np.testing.assert_allclose(y, exact, rtol=0, atol=4 * 2**-8 * np.sqrt(30) * np.abs(exact).max())
    # It is bfloat16 that was computed.
    assert np.abs(y - exact).max() > 1e-5


def test_4x4_pixels_are_computed_in_float32_whatever_the_dtype():
    latent = normal(2, 6)
    exact, rough = (Generator(image_size=4, features=8, dtype=d) for d in ("float32", "bfloat16"))
    params = random_params(exact, latent)
    images = run(exact, params, latent)
    np.testing.assert_array_equal(run(rough, params, latent), images)
    exact, rough = (Discriminator(features=8, dtype=d) for d in ("float32", "bfloat16"))
    params = random_params(exact, images)
    np.testing.assert_array_equal(run(rough, params, images), run(exact, params, images))


def test_there_is_no_tanh_at_the_end():
    latent = normal(2, 7)
    params = random_params(MAKER, latent)
    twice = {**params, "to_image": {"kernel": 2 * params["to_image"]["kernel"]}}
    images = run(MAKER, twice, latent)
    np.testing.assert_array_equal(images, 2 * run(MAKER, params, latent))
    assert np.abs(images).max() > 1


def test_images_of_a_batch_do_not_see_one_another():
    latent = normal(3, 7)
    params = random_params(MAKER, latent, LABEL)
    images = run(MAKER, params, latent, LABEL)
    one = run(MAKER, params, latent[1:2], LABEL[1:2])
    np.testing.assert_allclose(one, images[1:2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [0, 2, 6, 12, 33])
def test_a_size_that_doubling_cannot_reach_is_refused_by_its_number(size):
    with pytest.raises(ValueError, match=f"images of {size}x{size} pixels .* power of 2"):
        shapes(Generator(image_size=size, features=8), normal(1, 5))
    with pytest.raises(ValueError, match=f"images of {size}x8 pixels"):
        shapes(Discriminator(features=8), np.zeros((1, size, 8, 3)))


def test_features_must_be_one_for_each_stage():
    with pytest.raises(ValueError, match=r"\(8, 8\) are 2, .* 32x32 pixels have 4 stages"):
        shapes(Generator(features=(8, 8)), normal(1, 5))


def test_groups_that_do_not_divide_a_block_are_refused():
    for size in (16, 0):
        match = f"12 features times expansion 2 are 24, .* groups of {size} "
        with pytest.raises(ValueError, match=match):
            shapes(Discriminator(features=12, group_features=size), np.zeros((1, 8, 8, 3)))

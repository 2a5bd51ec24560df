"""SNGAN's networks: their published sizes, and a twin in PyTorch written from the tables.

The twin repeats pixels before it convolves them and pools after, and takes its normalisations and
its spectral norm from PyTorch. It computes in float64, as `closeness.exactly` does ours.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from closeness import assert_no_further, exactly, of_layer
from torch import nn

from gans.core.state import create_net
from gans.models.resnet_gan import Discriminator, Generator
from gans.ops import cpu

CLASSES = 3
EPSILON = float(np.float32(2e-5))  # as the program for float32 has it


def shapes(net, *inputs):
    """Shapes of the output and of the variables, without computing anything."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    return jax.eval_shape(
        lambda *x: net.init_with_output(jax.random.key(0), *x, train=False), *inputs
    )


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def labels(batch):
    return np.eye(CLASSES, dtype=np.float32)[np.arange(batch) % CLASSES]


# The networks in PyTorch. Modules have the names of ours, and parameters those of PyTorch.


class ConditionalNorm(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.scale = nn.Parameter(torch.empty(classes, channels))
        self.bias = nn.Parameter(torch.empty(classes, channels))
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON, affine=False)

    def forward(self, x, label):
        scale, bias = ((label @ table)[:, :, None, None] for table in (self.scale, self.bias))
        return self.norm(x) * scale + bias


class UpBlock(nn.Module):
    def __init__(self, channels, features, classes):
        super().__init__()
        for i, width in enumerate((channels, features)):
            plain = nn.BatchNorm2d(width, eps=EPSILON)
            name = f"ConditionalBatchNorm_{i}" if classes else f"BatchNorm_{i}"
            self.add_module(name, ConditionalNorm(width, classes) if classes else plain)
        self.UpsampleConv_0 = nn.Conv2d(channels, features, 3, padding=1)
        self.Conv_0 = nn.Conv2d(features, features, 3, padding=1)
        self.Conv_1 = nn.Conv2d(channels, features, 1)

    def forward(self, x, label):
        def norm(i, x):
            if label is None:
                return getattr(self, f"BatchNorm_{i}")(x)
            return getattr(self, f"ConditionalBatchNorm_{i}")(x, label)

        y = self.UpsampleConv_0(double(torch.relu(norm(0, x))))
        return self.Conv_0(torch.relu(norm(1, y))) + self.Conv_1(double(x))


def double(x):
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


class TwinGenerator(nn.Module):
    def __init__(self, ours, latent_dim, classes):
        super().__init__()
        self.count, width = len(ours.features), ours.stem_features
        self.size = ours.image_size // 2**self.count
        self.Dense_0 = nn.Linear(latent_dim, self.size**2 * width)
        for i, features in enumerate(ours.features):
            self.add_module(f"GeneratorBlock_{i}", UpBlock(width, features, classes))
            width = features
        self.BatchNorm_0 = nn.BatchNorm2d(width, eps=EPSILON)
        self.Conv_0 = nn.Conv2d(width, ours.channels, 3, padding=1)

    def forward(self, latent, label=None):
        x = self.Dense_0(latent).view(len(latent), self.size, self.size, -1).permute(0, 3, 1, 2)
        for i in range(self.count):
            x = getattr(self, f"GeneratorBlock_{i}")(x, label)
        return torch.tanh(self.Conv_0(torch.relu(self.BatchNorm_0(x)))).permute(0, 2, 3, 1)


class DownBlock(nn.Module):
    def __init__(self, channels, features, halves, first, wrap):
        super().__init__()
        hidden = features if first else channels
        self.first, self.halves = first, halves
        self.second, shortcut = ("ConvPool_0", "Conv_1") if halves else ("Conv_1", "Conv_2")
        self.shortcut = shortcut if halves or channels != features else None
        self.Conv_0 = wrap(nn.Conv2d(channels, hidden, 3, padding=1))
        self.add_module(self.second, wrap(nn.Conv2d(hidden, features, 3, padding=1)))
        if self.shortcut:
            self.add_module(self.shortcut, wrap(nn.Conv2d(channels, features, 1)))

    def forward(self, x):
        y = self.Conv_0(x if self.first else torch.relu(x))
        y = getattr(self, self.second)(torch.relu(y))
        x = getattr(self, self.shortcut)(x) if self.shortcut else x
        return nn.functional.avg_pool2d(x + y, 2) if self.halves else x + y


class TwinDiscriminator(nn.Module):
    def __init__(self, ours, channels, classes):
        super().__init__()
        spectral = functools.partial(nn.utils.spectral_norm, eps=1e-12)
        wrap = spectral if ours.spectral else (lambda layer: layer)
        self.count, self.pooling = len(ours.features), ours.pooling
        for i, (width, halves) in enumerate(zip(ours.features, ours.downsample, strict=True)):
            block = DownBlock(channels, width, halves, i == 0, wrap)
            self.add_module(f"DiscriminatorBlock_{i}", block)
            channels = width
        self.Dense_0 = wrap(nn.Linear(channels, 1))
        if classes:
            self.Embed_0 = wrap(nn.Embedding(classes, channels))

    def forward(self, image, label=None):
        x = image.permute(0, 3, 1, 2)
        for i in range(self.count):
            x = getattr(self, f"DiscriminatorBlock_{i}")(x)
        x = getattr(torch.relu(x), self.pooling)((2, 3))
        y = self.Dense_0(x)
        if label is None:
            return y
        return y + (self.Embed_0(label.argmax(1)) * x).sum(1, keepdim=True)


def of_twin(twin, leaf=lambda parameter: parameter):
    """`params` and `spectral` of ours, from the parameters there, or from something of each."""
    trees = {"params": {}, "spectral": {}}
    for path, module in twin.named_modules():
        named = {**dict(module.named_parameters(recurse=False))}
        if hasattr(module, "weight_u"):
            place(trees["spectral"], path, "u", module.weight_u.numpy().copy())
        for name, parameter in named.items():
            value = leaf(parameter).detach().numpy().copy()
            place(trees["params"], path, *ours_of(module, name.removesuffix("_orig"), value))
    return {name: tree for name, tree in trees.items() if tree}


def ours_of(module, name, value):
    """Our name of a parameter, and its value in our layout."""
    if name != "weight":
        return name, value
    if isinstance(module, nn.Conv2d):
        return "kernel", value.transpose(2, 3, 1, 0)
    if isinstance(module, nn.Linear):
        return "kernel", value.T
    return ("embedding" if isinstance(module, nn.Embedding) else "scale"), value


def place(tree, path, name, value):
    for key in path.split("."):
        tree = tree.setdefault(key, {})
    tree[name] = value


def scrambled(twin):
    """In float64, weights with which numbers stay of the order of one and no bias is zero.

    They are numbers of float32, as u is, so that ours can be given the same.
    """
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.double().parameters():
        values = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
        parameter.data = (values * (1.5 / fan_in) ** 0.5).double()
    for buffer in twin.buffers():
        buffer.data = buffer.float().double() if buffer.is_floating_point() else buffer
    return twin


SMALL = Generator(image_size=8, channels=1, stem_features=5, features=(4, 3))
JUDGE = Discriminator(features=(5, 4, 4), downsample=(True, True, False))
# Ours, and the image or latent vectors it is given.
CASES = {
    "generator": (SMALL, (4, 6)),
    "generator of one doubling": (Generator(6, 3, stem_features=3, features=(5,)), (1, 7)),
    "discriminator": (JUDGE, (3, 8, 12, 3)),
    "discriminator by mean": (JUDGE.clone(pooling="mean"), (1, 4, 8, 1)),
    "discriminator without norm": (JUDGE.clone(spectral=False), (2, 4, 4, 3)),
    "discriminator that widens": (
        Discriminator(features=(3, 5, 7), downsample=(False, False, True)),
        (2, 4, 6, 2),
    ),
}


@functools.cache
def there(name, conditional):
    """Variables in our layout, what the network is given, and `two_passes` of the twin."""
    ours, shape = CASES[name]
    kind = TwinGenerator if isinstance(ours, Generator) else TwinDiscriminator
    twin = scrambled(kind(ours, shape[-1], CLASSES if conditional else 0)).train()
    variables = of_twin(twin)
    inputs = [normal(*shape), *([labels(shape[0])] if conditional else [])]
    tensors = [torch.tensor(x).double() for x in inputs]
    twin(*tensors)
    y = twin(*tensors)
    weights = normal(*y.shape, seed=1)
    (y * torch.tensor(weights)).sum().backward()
    after = of_twin(twin, lambda parameter: parameter.grad)
    found = y.detach().numpy(), after.get("spectral", {}), after["params"]
    return variables, (weights, *inputs), found


def two_passes(ours, variables, weights, *inputs):
    """What the second pass gives, the vectors after it, and its gradients for given weights."""
    _, made = shapes(ours, *(x.shape for x in inputs))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape), made.get("batch_stats", {}))

    def passing(params, vectors):
        state = {"params": params, "batch_stats": zeros, "spectral": vectors}
        y, moved = ours.apply(state, *inputs, train=True, mutable=["batch_stats", "spectral"])
        return jnp.sum(weights * y), (y, moved.get("spectral", {}))

    _, (_, vectors) = passing(variables["params"], variables.get("spectral", {}))
    gradients, (y, vectors) = jax.grad(passing, has_aux=True)(variables["params"], vectors)
    return y, vectors, gradients


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_passes_vectors_and_gradients_are_those_of_pytorch(name, conditional):
    variables, given, expected = there(name, conditional)
    ours, _ = CASES[name]
    _, made = shapes(ours, *(x.shape for x in given[1:]))
    assert jax.tree.map(np.shape, variables["params"]) == jax.tree.map(np.shape, made["params"])
    assert bool(expected[1]) == getattr(ours, "spectral", False)
    # Every kernel matters, and every table, a thousand times as much as is tolerated.
    gradients = [np.abs(leaf).max() for leaf in jax.tree.leaves(expected[2]) if leaf.ndim > 1]
    assert min(gradients) > 1e-5

    found = exactly(functools.partial(two_passes, ours))(variables, *given)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-8), found, expected)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_forms_of_the_cpu_are_as_near_to_pytorch_as_the_plain_ones(
    monkeypatch, name, conditional
):
    variables, given, expected = there(name, conditional)
    sides = []
    for enabled in (True, False):
        monkeypatch.setattr(cpu, "ENABLED", enabled)
        run = jax.jit(functools.partial(two_passes, CASES[name][0]))
        sides.append(run(jax.tree.map(np.float32, variables), *given))
    for three in zip(*sides, expected, strict=True):
        assert_no_further(*three, size=of_layer)


# What is published.


@pytest.mark.parametrize(
    ("net", "inputs", "count"),
    [
        (Generator(), [(2, 128)], 4_276_739),
        (Generator(), [(2, 128), (2, 10)], 4_304_387),
        (Discriminator(), [(2, 32, 32, 3)], 1_053_825),
        (Discriminator(), [(2, 32, 32, 3), (2, 10)], 1_055_105),
    ],
    ids=["generator", "conditional generator", "discriminator", "projection discriminator"],
)
def test_networks_of_full_size_have_as_many_parameters_as_published(net, inputs, count):
    output, variables = shapes(net, *inputs)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    assert output.dtype == jnp.float32
    assert output.shape == ((2, 32, 32, 3) if isinstance(net, Generator) else (2, 1))


def test_networks_for_64_pixels_start_from_4_and_come_down_to_4():
    net = Generator(image_size=64, stem_features=1024, features=(512, 256, 128, 64))
    images, variables = shapes(net, (2, 128))
    assert images.shape == (2, 64, 64, 3)
    assert variables["params"]["Dense_0"]["kernel"].shape == (128, 4 * 4 * 1024)
    widths = (64, 128, 256, 512, 1024)
    logits, variables = shapes(Discriminator(widths, (True,) * 4 + (False,)), (2, 64, 64, 3))
    assert logits.shape == (2, 1)
    # The convolutions of a block change the width at the end, of the first at the beginning.
    blocks = [variables["params"][f"DiscriminatorBlock_{i}"]["Conv_0"]["kernel"] for i in range(5)]
    assert [kernel.shape[2:] for kernel in blocks] == [
        (3, 64),
        *((width, width) for width in (64, 128, 256, 512)),
    ]


@pytest.mark.parametrize(
    ("net", "shape"), [(Generator(16, 3, 64, (64, 64)), (1, 64)), (Discriminator(), (1, 8, 8, 3))]
)
def test_kernels_start_glorot_uniform_with_the_gains_of_the_paper(net, shape):
    inputs = jnp.zeros(shape), jnp.zeros((1, 10))
    params = jax.jit(functools.partial(net.init, train=False))(jax.random.key(0), *inputs)["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [key.key for key in path]
        if names[-1] == "bias":
            assert not np.asarray(leaf).any()
        if names[-1] not in ("kernel", "embedding"):
            continue
        taps = leaf.shape[0] * leaf.shape[1] if leaf.ndim == 4 else 1
        gain = np.sqrt(2) if taps == 9 and "Block" in names[0] else 1
        limit = gain * np.sqrt(6 / (taps * sum(leaf.shape[-2:])))
        # The largest of n uniform numbers is below this share of the limit once in a million.
        least = 1 - np.log(1e6) / leaf.size
        assert least * limit <= np.abs(leaf).max() <= limit * (1 + 1e-6), names


# How they are used.


def drawn(net, *inputs):
    """Variables of a network with which its numbers are of the order of one."""
    rng = np.random.default_rng(0)
    _, made = shapes(net, *(x.shape for x in inputs))

    def leaf(path, x):
        kind = path[-1].key
        if kind in ("scale", "var"):
            return rng.uniform(0.5, 1.5, x.shape)
        if kind == "u":
            return (unit := rng.normal(size=x.shape)) / np.linalg.norm(unit)
        fan_in = np.prod(x.shape[:-1]) if kind in ("kernel", "embedding") else 25
        return rng.normal(size=x.shape) * np.sqrt(1.5 / fan_in)

    return jax.tree.map(np.float32, jax.tree_util.tree_map_with_path(leaf, made))


def apply(net, variables, *inputs, train=True):
    mutable = [name for name in variables if name != "params"] if train else []
    run = jax.jit(functools.partial(net.apply, train=train, mutable=mutable))
    return run(variables, *inputs)


def test_labels_change_what_both_networks_answer_and_join_no_latent_vector():
    label = labels(3)
    for net, x in ((SMALL, np.ones((3, 6))), (JUDGE, np.ones((3, 8, 8, 1)))):
        x = np.float32(x)
        variables = drawn(net, x, label)
        y, _ = apply(net, variables, x, label, train=False)
        first, second, third = np.asarray(y)
        assert min(np.abs(a - b).max() for a, b in ((first, second), (second, third))) > 1e-2
        plain, _ = shapes(net, x.shape)
        assert plain.shape == y.shape
    assert drawn(SMALL, np.ones((3, 6)), label)["params"]["Dense_0"]["kernel"].shape[0] == 6


def test_the_last_normalisation_knows_no_class():
    params = drawn(SMALL, normal(2, 6), labels(2))["params"]
    assert params["BatchNorm_0"]["scale"].shape == (3,)
    block = params["GeneratorBlock_0"]
    assert block["ConditionalBatchNorm_0"]["scale"].shape == (CLASSES, 5)
    assert "BatchNorm_0" not in block


@pytest.mark.parametrize("net", [SMALL.clone(channels=3), JUDGE.clone(pooling="mean")])
def test_bfloat16_gives_float32_near_that_of_float32(net):
    shape = (6, 10) if isinstance(net, Generator) else (6, 16, 16, 3)
    x, label = normal(*shape), labels(6)
    variables = drawn(net, x, label)
    (exact, _), (half, moved) = (
        apply(module, variables, x, label) for module in (net, net.clone(dtype=jnp.bfloat16))
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((half, moved))} == {jnp.dtype(jnp.float32)}
    # Rounding to 8 bits in each of some ten layers shows, and is small beside what is told.
    assert 0 < np.abs(half - exact).max() < 0.1 * max(1, np.std(exact))


def test_vectors_move_with_each_pass_of_training_and_stay_in_inference():
    images = normal(2, 8, 8, 1)
    net = create_net(jax.random.key(0), JUDGE, (images,), optax.sgd(0.1))

    @jax.jit
    def passes(net, images):
        logits, after = net(images)
        again, twice = after(images)
        told, unmoved = twice(images, train=False)
        return (logits, again, told), (after, twice, unmoved)

    (logits, again, told), (after, twice, unmoved) = passes(net, images)
    moved = functools.partial(jax.tree.map, lambda a, b: float(np.abs(a - b).max()))
    # A vector of one number has but one direction.
    large = [
        distance
        for distance, u in zip(
            jax.tree.leaves(moved(net.model_state, after.model_state)),
            jax.tree.leaves(net.model_state),
            strict=True,
        )
        if u.size > 1
    ]
    assert min(large) > 1e-3
    jax.tree.map(np.testing.assert_array_equal, twice.model_state, unmoved.model_state)
    assert np.abs(logits - again).max() > 1e-4
    assert np.isfinite(told).all()


def test_images_that_cannot_be_halved_and_fields_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="images of 3x4 pixels .* must be even"):
        shapes(JUDGE, (1, 6, 8, 3))
    with pytest.raises(ValueError, match="features .* and downsample .* differ in length"):
        shapes(Discriminator(features=(4, 4)), (1, 8, 8, 3))
    with pytest.raises(ValueError, match="pooling is 'max', not one of sum, mean"):
        shapes(JUDGE.clone(pooling="max"), (1, 8, 8, 3))
    with pytest.raises(ValueError, match="image_size 20 is not a multiple of 8"):
        shapes(Generator(image_size=20), (1, 8))

"""CycleGAN's networks as the authors' PyTorch code has them, against ours with their weights.

The PyTorch side is written from the papers' specification, with the nesting that gives
its state dicts the names of the published files. What is right is what it gives in float64; how
far ours may be from that, `closeness` says.
"""

import copy
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from closeness import assert_no_further
from torch import nn

from gans.core.state import create_state
from gans.core.update import update
from gans.games import cycle
from gans.inference import pytorch_weights
from gans.losses import adversarial
from gans.models import layers, patchgan, resnet, unet

# The networks there.


def norm(channels):
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


class ResnetBlock(nn.Module):
    def __init__(self, channels, dropout):
        super().__init__()
        self.conv_block = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels)),
            *(nn.ReLU(True), *([nn.Dropout(0.5)] if dropout else [])),
            *(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels)),
        )

    def forward(self, x):
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    def __init__(self, ngf, blocks, dropout=False, channels=3):
        super().__init__()
        modules = [nn.ReflectionPad2d(3), nn.Conv2d(channels, ngf, 7), norm(ngf), nn.ReLU(True)]
        for c in (ngf, 2 * ngf):
            modules += [nn.Conv2d(c, 2 * c, 3, stride=2, padding=1), norm(2 * c), nn.ReLU(True)]
        modules += [ResnetBlock(4 * ngf, dropout) for _ in range(blocks)]
        for c in (4 * ngf, 2 * ngf):
            up = nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1)
            modules += [up, norm(c // 2), nn.ReLU(True)]
        modules += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*modules)

    def forward(self, x):
        return self.model(x)


class UnetBlock(nn.Module):
    """`outside` channels at its ends, `inside` at its bottom, where `inner` stands."""

    def __init__(self, outside, inside, inner=None, outermost=False):
        super().__init__()
        self.outermost = outermost
        # The published code shares its input's memory with this, which makes no difference.
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outside, inside, 4, stride=2, padding=1)]
        seen = inside if inner is None else 2 * inside
        up = [nn.ReLU(), nn.ConvTranspose2d(seen, outside, 4, stride=2, padding=1)]
        if outermost:
            modules = [down[1], inner, *up, nn.Tanh()]
        elif inner is None:
            modules = [*down, *up, norm(outside)]
        else:
            modules = [*down, norm(inside), inner, *up, norm(outside)]
        self.model = nn.Sequential(*modules)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class UnetGenerator(nn.Module):
    def __init__(self, features, channels=3):
        super().__init__()
        block = None
        for outside, inside in reversed(list(zip(features, features[1:], strict=False))):
            block = UnetBlock(outside, inside, block)
        self.model = UnetBlock(channels, features[0], block, outermost=True)

    def forward(self, x):
        return self.model(x)


class NLayerDiscriminator(nn.Module):
    def __init__(self, ndf, depth, channels=3):
        super().__init__()
        modules, c = [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)], ndf
        for i in range(1, depth + 1):
            wider = ndf * min(2**i, 8)
            conv = nn.Conv2d(c, wider, 4, stride=2 if i < depth else 1, padding=1)
            modules += [conv, norm(wider), nn.LeakyReLU(0.2)]
            c = wider
        self.model = nn.Sequential(*modules, nn.Conv2d(c, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


class PixelDiscriminator(nn.Module):
    def __init__(self, ndf, channels=3):
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(channels, ndf, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(ndf, 2 * ndf, 1), norm(2 * ndf), nn.LeakyReLU(0.2)),
            nn.Conv2d(2 * ndf, 1, 1),
        )

    def forward(self, x):
        return self.net(x)


# Between the two.


def scrambled(network, seed=0):
    """Weights with which numbers stay of the order of one and no bias is zero."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
        parameter.data = values * (1.5 / fan_in) ** 0.5
    return network


def in_float64(network):
    """A copy with the same weights that computes in float64."""
    if isinstance(network, Tutorial):
        return type(network)(jax.tree.map(lambda x: x.detach().double().numpy(), network.params))
    return copy.deepcopy(network).double()


def state_dict(network):
    return {name: value.numpy() for name, value in network.state_dict().items()}


def shapes(module, size):
    init = functools.partial(module.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), jnp.zeros((1, *size)))["params"]


def nchw(x):
    return torch.from_numpy(np.ascontiguousarray(np.asarray(x).transpose(0, 3, 1, 2)))


def nhwc(x):
    return x.detach().numpy().transpose(0, 2, 3, 1)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Theirs, ours, batch, height, width.
FEATURES = (4, 8, 16, 32, 32, 32, 32, 32)
NETWORKS = {
    "resnet_9": (ResnetGenerator(6, 9), resnet.Generator(features=6), (1, 32, 52)),
    "resnet_6": (ResnetGenerator(8, 6), resnet.Generator(features=8, blocks=6), (2, 64, 36)),
    "resnet_of_grey_images_trained_with_dropout": (
        ResnetGenerator(4, 1, dropout=True, channels=1),
        resnet.Generator(channels=1, features=4, blocks=1),
        (1, 16, 20),
    ),
    "unet_256": (UnetGenerator(FEATURES), unet.PaperGenerator(features=FEATURES), (1, 256, 256)),
    "patchgan": (NLayerDiscriminator(8, 3), patchgan.Discriminator(features=8), (2, 70, 97)),
    "patchgan_1": (
        NLayerDiscriminator(4, 1),
        patchgan.Discriminator(features=4, depth=1),
        (1, 33, 20),
    ),
    "pixelgan": (PixelDiscriminator(8), patchgan.PixelDiscriminator(features=8), (2, 7, 13)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_what_pytorch_gives_with_the_same_weights(name):
    theirs, ours, (batch, height, width) = NETWORKS[name]
    theirs = scrambled(theirs).eval()
    x = np.clip(normal(batch, height, width, getattr(ours, "channels", 3)), -1, 1)
    expected, exact = nhwc(theirs(nchw(x))), nhwc(in_float64(theirs)(nchw(x).double()))

    params = pytorch_weights.convert(state_dict(theirs), ours, shapes(ours, x.shape[1:]))
    y = jax.jit(functools.partial(ours.apply, train=False))({"params": params}, x)
    assert y.shape == expected.shape
    assert expected.std() > 0.1
    assert_no_further(y, expected, exact)


# What `torch.save` files of the authors' networks hold, by their parameter counts.
FULL = {
    "resnet_9blocks": (lambda: ResnetGenerator(64, 9), resnet.Generator(), 11_378_179),
    "resnet_6blocks": (lambda: ResnetGenerator(64, 6), resnet.Generator(blocks=6), 7_837_699),
    "unet_256": (
        lambda: UnetGenerator((64, 128, 256, 512, 512, 512, 512, 512)),
        unet.PaperGenerator(),
        54_409_603,
    ),
    "unet_128": (
        lambda: UnetGenerator((64, 128, 256, 512, 512, 512, 512)),
        unet.PaperGenerator(features=(64, 128, 256, 512, 512, 512, 512)),
        41_825_667,
    ),
    "basic": (lambda: NLayerDiscriminator(64, 3), patchgan.Discriminator(), 2_764_737),
    "5_layers": (
        lambda: NLayerDiscriminator(64, 5),
        patchgan.Discriminator(depth=5),
        11_154_369,
    ),
    "pixel": (lambda: PixelDiscriminator(64), patchgan.PixelDiscriminator(), 8_705),
}


@pytest.mark.parametrize("name", FULL)
def test_networks_of_full_size_take_files_of_full_size(name):
    make, ours, count = FULL[name]
    with torch.device("meta"):
        theirs = make().state_dict()
    assert sum(value.numel() for value in theirs.values()) == count
    weights = {key: np.broadcast_to(np.float32(0), value.shape) for key, value in theirs.items()}
    wanted = shapes(ours, (256, 256, 3))
    found = pytorch_weights.convert(weights, ours, wanted)
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, wanted)


# Single layers, with gradients.


def check_layer(ours, theirs, params, x):
    """Values, and gradients of the input and of each parameter, for one random cotangent.

    Args:
      ours: `(params, x) -> y`.
      theirs: a PyTorch module.
      params: `{name there: (our parameter, from PyTorch's array to ours)}`.
      x: `[B, H, W, C]`.
    """

    def of_theirs(module, tensor):
        y = module(tensor.requires_grad_())
        y.backward(nchw(normal(*nhwc(y).shape, seed=1)).to(y.dtype))
        there = dict(module.named_parameters())
        grads = {name: turn(there[key].grad.numpy()) for key, (name, turn) in params.items()}
        return nhwc(y), nhwc(tensor.grad), grads

    expected = of_theirs(theirs, nchw(x))
    exact = of_theirs(in_float64(theirs), nchw(x).double())
    there = dict(theirs.named_parameters())
    values = {name: turn(there[key].detach().numpy()) for key, (name, turn) in params.items()}

    @jax.jit
    def all_of_ours(values, x, cotangent):
        y, pullback = jax.vjp(ours, values, x)
        grads, x_grad = pullback(cotangent)
        return y, x_grad, grads

    found = all_of_ours(values, x, normal(*expected[0].shape, seed=1))
    assert_no_further(found, expected, exact)


def turned(kernel):
    """PyTorch's `[in, out, h, w]` as what slides over the image, `[h, w, in, out]`."""
    return np.flip(kernel, (2, 3)).transpose(2, 3, 0, 1)


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize(("size", "use_bias"), [((1, 5, 3, 4, 2), True), ((3, 1, 7, 1, 5), False)])
def test_transposed_convolution_is_pytorchs(size, use_bias, kernel):
    batch, height, width, channels, features = size
    theirs = nn.ConvTranspose2d(
        channels, features, kernel, 2, padding=1, output_padding=4 - kernel, bias=use_bias
    )
    layer = layers.ConvTranspose(features, kernel, use_bias=use_bias)
    params = {"weight": ("kernel", turned)}
    if use_bias:
        params["bias"] = "bias", np.asarray
    x = normal(batch, height, width, channels)
    check_layer(lambda p, x: layer.apply({"params": p}, x), scrambled(theirs), params, x)


@pytest.mark.parametrize(("padding", "size"), [(1, (2, 2, 3, 1)), (3, (2, 4, 9, 3))])
def test_reflection_is_pytorchs(padding, size):
    def ours(params, x):
        del params
        return layers.reflect_pad(x, padding)

    check_layer(ours, nn.ReflectionPad2d(padding), {}, normal(*size))


@pytest.mark.parametrize(("size", "affine"), [((1, 5, 7, 3), False), ((3, 2, 1, 4), True)])
def test_instance_normalisation_is_pytorchs(size, affine):
    theirs = scrambled(nn.InstanceNorm2d(size[-1], affine=affine))
    layer = layers.InstanceNorm(affine=affine)
    x = 2.0 + 3.0 * normal(*size)
    params = {"weight": ("scale", np.asarray), "bias": ("bias", np.asarray)} if affine else {}
    check_layer(lambda p, x: layer.apply({"params": p}, x), theirs, params, x)


# Whole iterations.

NAMES = ("generator_ab", "generator_ba", "discriminator_a", "discriminator_b")
WEIGHTS = {"adversarial": 1.0, "cycle": 10.0, "identity": 5.0, "real": 0.5, "fake": 0.5}
RATES = {"generators": 0.003, "discriminators": 0.03}


def loss_function(kind):
    """`(logits, real) -> loss` as the authors' code takes it of generators too."""
    criterion = {"least_squares": nn.MSELoss(), "non_saturating": nn.BCEWithLogitsLoss()}[kind]
    return lambda logits, real: criterion(logits, torch.full_like(logits, float(real)))


def iterate(nets, optimizers, criterion, a, b):
    """One iteration of the authors' loop without a history of fakes; its losses by our names."""
    ab, ba, judge_a, judge_b = (nets[name] for name in NAMES)
    l1, terms = nn.L1Loss(), {}

    fake_b, fake_a = ab(a), ba(b)
    terms["adversarial_ab"] = criterion(judge_b(fake_b), True)
    terms["adversarial_ba"] = criterion(judge_a(fake_a), True)
    terms["cycle_a"], terms["cycle_b"] = l1(ba(fake_b), a), l1(ab(fake_a), b)
    terms["identity_a"], terms["identity_b"] = l1(ba(a), a), l1(ab(b), b)
    optimizers["generators"].zero_grad()
    sum(WEIGHTS[name.split("_")[0]] * loss for name, loss in terms.items()).backward()
    optimizers["generators"].step()

    optimizers["discriminators"].zero_grad()
    for domain, judge, real, fake in (("a", judge_a, a, fake_a), ("b", judge_b, b, fake_b)):
        terms[f"real_{domain}"] = criterion(judge(real), True)
        terms[f"fake_{domain}"] = criterion(judge(fake.detach()), False)
        (0.5 * (terms[f"real_{domain}"] + terms[f"fake_{domain}"])).backward()
    optimizers["discriminators"].step()
    return {name: loss.item() for name, loss in terms.items()}


SETTINGS = {
    "resnet-least_squares": (
        lambda: ResnetGenerator(4, 1),
        resnet.Generator(features=4, blocks=1),
    ),
    "unet-non_saturating": (lambda: UnetGenerator((4, 6)), unet.PaperGenerator(features=(4, 6))),
}
SIZE = (16, 20, 3)


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_iterations_are_those_of_the_authors(setting):
    make, module = SETTINGS[setting]
    judge = patchgan.Discriminator(features=4, depth=1)
    modules = dict(zip(NAMES, (module, module, judge, judge), strict=True))
    nets = {
        name: scrambled(make() if "generator" in name else NLayerDiscriminator(4, 1), seed)
        for seed, name in enumerate(NAMES)
    }

    def params_of(nets):
        return {
            name: pytorch_weights.convert(
                state_dict(net), modules[name], shapes(modules[name], SIZE)
            )
            for name, net in nets.items()
        }

    check_iterations(setting.partition("-")[2], modules, nets, params_of)


class Tutorial:
    """The TensorFlow tutorial's layers in PyTorch, on parameters in our own layout."""

    def __init__(self, params):
        self.params = jax.tree.map(lambda x: torch.tensor(x, requires_grad=True), params)

    def parameters(self):
        return jax.tree.leaves(self.params)

    def conv(self, i, x, stride):
        layer = self.params[f"Conv_{i}"]
        kernel = layer["kernel"].permute(3, 2, 0, 1).contiguous()
        return nn.functional.conv2d(x, kernel, layer.get("bias"), stride, padding=1)

    def double(self, i, x):
        layer = self.params[f"ConvTranspose_{i}"]
        kernel = layer["kernel"].flip(0, 1).permute(2, 3, 0, 1).contiguous()
        return nn.functional.conv_transpose2d(x, kernel, layer.get("bias"), 2, padding=1)

    def norm(self, i, x):
        layer = self.params[f"InstanceNorm_{i}"]
        x = (x - x.mean((2, 3), keepdim=True)) / (
            x.var((2, 3), unbiased=False, keepdim=True) + 1e-5
        ).sqrt()
        return x * layer["scale"][:, None, None] + layer["bias"][:, None, None]


class TutorialUnet(Tutorial):
    """Of two halvings."""

    def __call__(self, x):
        outer = nn.functional.leaky_relu(self.conv(0, x, 2), 0.3)
        inner = nn.functional.leaky_relu(self.norm(0, self.conv(1, outer, 2)), 0.3)
        x = torch.relu(self.norm(1, self.double(0, inner)))
        return torch.tanh(self.double(1, torch.cat([x, outer], 1)))


class TutorialPatchGAN(Tutorial):
    """Of depth 1."""

    def __call__(self, x):
        x = nn.functional.leaky_relu(self.conv(0, x, 2), 0.3)
        x = nn.functional.leaky_relu(self.norm(0, self.conv(1, x, 1)), 0.3)
        return self.conv(2, x, 1)


def test_two_iterations_are_those_of_the_tutorial():
    generator = unet.Generator(features=(4, 6), dropout=0.0)
    judge = patchgan.Discriminator(features=4, depth=1, slope=0.3, affine=True, use_bias=False)
    modules = dict(zip(NAMES, (generator, generator, judge, judge), strict=True))
    nets = {}
    for seed, name in enumerate(NAMES):
        tree = shapes(modules[name], SIZE)
        make = TutorialUnet if "generator" in name else TutorialPatchGAN
        leaves, structure = jax.tree.flatten(tree)
        values = [0.3 * normal(*x.shape, seed=10 * seed + i) for i, x in enumerate(leaves)]
        nets[name] = make(jax.tree.unflatten(structure, values))

    def params_of(nets):
        return {
            name: jax.tree.map(lambda x: x.detach().numpy().copy(), net.params)
            for name, net in nets.items()
        }

    check_iterations("non_saturating", modules, nets, params_of)


def check_iterations(loss, modules, nets, params_of):
    """Two iterations there and here, from the same parameters: the same losses, the same end."""
    game = cycle.game(adversarial=getattr(adversarial, loss), pool_size=0)
    before = params_of(nets)
    images = np.clip(0.5 * normal(2, 2, 1, *SIZE), -1, 1)  # iterations, domains, a batch of one
    params, metrics = ours_after(game, modules, before, images)
    names = {name: f"{player.name}/{name}" for player in game.players for name in player.terms}
    terms = [{name: metrics[key][i] for name, key in names.items()} for i in range(len(images))]
    nets64 = {name: in_float64(net) for name, net in nets.items()}
    expected, exact = (
        (iterations_there(game, loss, side, torch.from_numpy(images).to(dtype)), params_of(side))
        for side, dtype in ((nets, torch.float32), (nets64, torch.float64))
    )
    for three in zip((terms, params), expected, exact, strict=True):
        assert_no_further(*three)

    def check(new, old):
        # What stands before a normalisation has a bias that makes no difference.
        assert np.abs(new - old).max() > 1e-4 or new.ndim == 1

    jax.tree.map(check, expected[1], before)


def iterations_there(game, loss, nets, images):
    """Trains `nets` with an iteration for each pair of images; the terms of each by our names."""
    optimizers = {
        player.name: torch.optim.SGD(
            [p for name in player.nets for p in nets[name].parameters()], RATES[player.name]
        )
        for player in game.players
    }
    pairs = images.permute(0, 1, 2, 5, 3, 4).contiguous()
    return [iterate(nets, optimizers, loss_function(loss), a, b) for a, b in pairs]


def ours_after(game, modules, params, images):
    """Our parameters after an iteration for each pair of images, and the metrics of each."""

    @jax.jit
    def run(params, images):
        state = create_state(
            jax.random.key(0),
            game,
            {"a": images[0, 0], "b": images[0, 1]},
            nets=modules,
            optimizers={
                name: optax.sgd(RATES[player.name])
                for player in game.players
                for name in player.nets
            },
            weights={
                name: WEIGHTS[name.split("_")[0]]
                for player in game.players
                for name in player.terms
            },
        )
        nets = {name: net.replace(params=params[name]) for name, net in state.nets.items()}

        def step(state, pair):
            return update(state, {"a": pair[0], "b": pair[1]}, game=game)

        state, metrics = jax.lax.scan(step, state.replace(nets=nets), images)
        return {name: net.params for name, net in state.nets.items()}, metrics

    return run(params, images)

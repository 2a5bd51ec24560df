"""Twenty whole iterations of SNGAN, WGAN-GP and R3GAN beside PyTorch, in float64.

Both sides begin with the same numbers and see the same images and draws. Adam's constants are
powers of two and the like, which are the same in the program for float32.
"""

import dataclasses

import jax
import numpy as np
import pytest
import test_r3gan as r3
import torch
from closeness import exactly
from test_resnet_gan import CLASSES, TwinDiscriminator, TwinGenerator, of_twin, scrambled

from gans.core import optim, schedules
from gans.core.state import create_state
from gans.core.update import update
from gans.games import latent, relativistic
from gans.losses import adversarial, penalties
from gans.losses.penalties import Penalty
from gans.models.resnet_gan import Discriminator, Generator
from gans.ops import axis

MAKER = Generator(image_size=8, channels=1, stem_features=5, features=(4,))
RESIDUAL_JUDGE = Discriminator(features=(5, 4), downsample=(True, False))
STEPS, RATE, B2, EPS = 20, 2.0**-7, 0.875, 2.0**-27
LATENT = 6
NAMES = ("generator", "discriminator")


def images(count, channels):
    return np.random.default_rng(7).uniform(-1, 1, (count, 8, 8, channels)).astype(np.float32)


def one_hot(count):
    return np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES]


def ours(game, batch, nets, moves, params, vectors, weights, follow=None):
    """Metrics of each iteration, and the parameters and vectors at the end."""
    optimizers = {
        name: optim.optimizer(
            "adam",
            learning_rate=RATE,
            schedule="linear",
            num_steps=moves[name],
            b1=0.0,
            b2=B2,
            eps=EPS,
            schedules=follow,
        )
        for name in NAMES
    }
    state = create_state(
        jax.random.key(0), game, batch, nets=nets, optimizers=optimizers, weights=weights
    )
    begun = {
        name: net.replace(
            params=jax.tree.map(np.float32, params[name]),
            model_state={**net.model_state, **vectors.get(name, {})},
        )
        for name, net in state.nets.items()
    }
    key, state = state.key, state.replace(nets=begun)
    step, logged = exactly(lambda state: update(state, batch, game=game)), []
    for _ in range(STEPS):
        state, metrics = step(state)
        logged.append(metrics)
    # Draws, too, are computed in float64 of the same bits.
    draw = exactly(lambda key: game.draw(key, batch))
    draws = [draw(jax.random.fold_in(key, i)) for i in range(STEPS)]
    return logged, state.nets, draws


def tensor(x):
    return torch.tensor(np.asarray(x, np.float64))


def adam(parameters, moves):
    optimizer = torch.optim.Adam(parameters, lr=RATE, betas=(0.0, B2), eps=EPS)
    fall = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / moves)
    return optimizer, fall


def descend(loss, optimizer, fall):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    fall.step()


def assert_same(found, expected):
    def close(path, a, b):
        # Absolute: of a bias before a normalisation the gradient is rounding alone, of which Adam
        # makes moves of up to 1e-9 of its rate.
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8, err_msg=jax.tree_util.keystr(path))

    jax.tree_util.tree_map_with_path(close, found, expected)


def residual(game, weights, conditional, spectral, pooling):
    """Both sides of `latent.repeated` with two steps of the discriminator on three images."""
    label = {"label": one_hot(6)} if conditional else {}
    batch, classes = {"image": images(6, 1), **label}, CLASSES if conditional else 0
    judge = RESIDUAL_JUDGE.clone(spectral=spectral, pooling=pooling)
    maker_twin = scrambled(TwinGenerator(MAKER, LATENT, classes)).train()
    judge_twin = scrambled(TwinDiscriminator(judge, 1, classes)).train()
    trees = {"generator": of_twin(maker_twin), "discriminator": of_twin(judge_twin)}
    vectors = {
        name: {"spectral": tree["spectral"]} for name, tree in trees.items() if "spectral" in tree
    }
    moves = {"generator": STEPS, "discriminator": 2 * STEPS}
    params = {name: tree["params"] for name, tree in trees.items()}
    nets = {"generator": MAKER, "discriminator": judge}
    found = ours(game, batch, nets, moves, params, vectors, weights)
    return batch, found, maker_twin, judge_twin, moves


def told(images, label):
    return [images] if label is None else [images, label]


def twins_steps(batch, draws, maker, judge, moves, losses, pay):
    """The losses of the twins' iterations, by the names of ours."""
    of_maker = adam(maker.parameters(), moves["generator"])
    of_judge = adam(judge.parameters(), moves["discriminator"])
    logged = []
    for noise in draws:
        line = {}
        for k in range(2):
            real, fakes = tensor(batch["image"][k::2]), noise["fakes"]
            label = tensor(batch["label"][k::2]) if "label" in batch else None
            drawn = tensor(fakes["label"][k::2]) if "label" in fakes else None
            fake = maker(*told(tensor(fakes["latent"][k::2]), drawn)).detach()
            on_real, on_fake = judge(*told(real, label)), judge(*told(fake, drawn))
            real_loss, fake_loss = losses["real"](on_real), losses["fake"](on_fake)
            paid = pay(lambda x, label=label: judge(*told(x, label)), real, fake, noise, k)
            line[f"discriminator_{k + 1}/real"] = real_loss.item()
            line[f"discriminator_{k + 1}/fake"] = fake_loss.item()
            descend(real_loss + fake_loss + paid, *of_judge)
        made = noise["made"]
        drawn = tensor(made["label"]) if "label" in made else None
        loss = -judge(*told(maker(*told(tensor(made["latent"]), drawn)), drawn)).mean()
        line["generator/adversarial"] = loss.item()
        descend(loss, *of_maker)
        logged.append(line)
    return logged


def compare(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, rel=1e-8, abs=1e-8), name


HINGE = {
    "real": lambda logits: torch.relu(1 - logits).mean(),
    "fake": lambda logits: torch.relu(1 + logits).mean(),
}
WASSERSTEIN = {"real": lambda logits: -logits.mean(), "fake": lambda logits: logits.mean()}
WEIGHTS = {"real": 1.0, "fake": 1.0, "adversarial": 1.0}


def test_sngan():
    game = latent.repeated(
        adversarial=adversarial.hinge, latent_dim=LATENT, discriminator_steps=2, generator_batch=4
    )
    batch, (logged, nets, draws), *twins, moves = residual(game, WEIGHTS, True, True, "sum")
    expected = twins_steps(batch, draws, *twins, moves, HINGE, lambda *_: 0.0)
    compare(logged, expected)
    for name, twin in zip(NAMES, twins, strict=True):
        assert_same(nets[name].params, of_twin(twin)["params"])
    vectors = of_twin(twins[1])["spectral"]
    assert_same(nets["discriminator"].model_state["spectral"], vectors)


def test_wgan_gp():
    game = latent.repeated(
        adversarial=adversarial.wasserstein,
        latent_dim=LATENT,
        discriminator_steps=2,
        penalties={"penalty": Penalty(penalties.GradientPenalty())},
    )
    weights = WEIGHTS | {"penalty": 10.0}

    def pay(critic, real, fake, noise, k):
        key = jax.random.fold_in(noise["penalties"][k], 0)
        share = tensor(exactly(lambda key: axis.uniform(key, (3, 1, 1, 1)))(key))
        between = (share * real + (1 - share) * fake).requires_grad_()
        (grads,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norm = (grads.square().sum((1, 2, 3)) + 1e-16).sqrt()
        return 10.0 * (norm - 1).square().mean()

    batch, (logged, nets, draws), *twins, moves = residual(game, weights, False, False, "mean")
    expected = twins_steps(batch, draws, *twins, moves, WASSERSTEIN, pay)
    compare(logged, expected)
    for name, twin in zip(NAMES, twins, strict=True):
        assert_same(nets[name].params, of_twin(twin)["params"])


def schedule(begin, end):
    return schedules.schedule("linear", steps=2 * STEPS, begin=begin, end=end)


@pytest.mark.parametrize("conditional", [False, True])
def test_r3gan(conditional):
    """With a b2 and a weight of the penalties that follow schedules."""
    gamma = schedule(0.5, 0.25)
    game = relativistic.paired(
        adversarial=adversarial.non_saturating,
        latent_dim=LATENT,
        penalties={"r1": Penalty(penalties.R1()), "r2": Penalty(penalties.R2())},
    )
    weigh = game.weigh
    game = dataclasses.replace(
        game,
        weigh=lambda weights, step: {
            **weigh(weights, step),
            **{name: weights[name] * gamma(step) for name in ("r1", "r2")},
        },
    )
    label = {"label": r3.LABEL[[0, 1, 2, 0, 1, 2]]} if conditional else {}
    batch = {"image": images(6, 2), **label}
    maker, judge = r3.MAKER.clone(channels=2), r3.JUDGE
    shape = [r3.LABEL] if conditional else []
    params = {
        "generator": r3.random_params(maker, np.zeros((3, LATENT)), *shape),
        "discriminator": r3.random_params(judge, np.zeros((3, 8, 8, 2)), *shape),
    }
    moves = dict.fromkeys(NAMES, STEPS)
    weights = {"paired": 1.0, "adversarial": 1.0, "r1": 1.0, "r2": 1.0}
    nets = {"generator": maker, "discriminator": judge}
    follow = {"b2": schedule(0.5, B2)}
    logged, after, draws = ours(game, batch, nets, moves, params, {}, weights, follow)

    theirs = {name: r3.to_torch(tree, grad=True) for name, tree in params.items()}
    steps = {name: adam(jax.tree.leaves(theirs[name]), STEPS) for name in NAMES}

    def discriminator(x, label):
        return r3.discriminator(judge, theirs["discriminator"], x, label)

    expected = []
    for i, noise in enumerate(draws):
        for optimizer, _ in steps.values():
            optimizer.param_groups[0]["betas"] = (0.0, 0.5 + (B2 - 0.5) * i / (2 * STEPS))
        line = {}
        for k, name in enumerate(("discriminator", "generator")):
            real = tensor(batch["image"][k::2]).requires_grad_()
            label = tensor(batch["label"][k::2]) if conditional else None
            fake = r3.generator(maker, theirs["generator"], tensor(noise["latent"][k::2]), label)
            if name == "discriminator":
                fake = fake.detach().requires_grad_()
            lead = discriminator(real, label) - discriminator(fake, label)
            if name == "discriminator":
                loss = torch.nn.functional.softplus(-lead).mean()
                line["discriminator/paired"] = loss.item()
                for term, x in (("r1", real), ("r2", fake)):
                    of_x = discriminator(x, label).sum()
                    (grads,) = torch.autograd.grad(of_x, x, create_graph=True)
                    paid = 0.5 * grads.square().sum((1, 2, 3)).mean()
                    line[f"discriminator/{term}"] = paid.item()
                    loss = loss + (0.5 - 0.25 * i / (2 * STEPS)) * paid
            else:
                loss = torch.nn.functional.softplus(lead).mean()
                line["generator/adversarial"] = loss.item()
            descend(loss, *steps[name])
        expected.append(line)
    compare(logged, expected)
    for name in NAMES:
        found = jax.tree.map(lambda x: x.detach().numpy(), theirs[name])
        assert_same(after[name].params, found)

"""The step: randomness, weights as values, averages, precision, and what it costs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from closeness import EPS, assert_no_further, exactly, of_layer

from gans.core.state import create_state
from gans.core.types import Game, Outcome, Player
from gans.core.update import move, update
from gans.games import latent
from gans.losses import adversarial
from gans.models.dcgan import Discriminator, Generator

RATE = 0.05
GAME = latent.joint(adversarial=adversarial.non_saturating, latent_dim=4)
BATCH = {"image": np.linspace(-1, 1, 4 * 8 * 8, dtype=np.float32).reshape(4, 8, 8, 1)}
WEIGHTS = {"real": 0.5, "fake": 0.5, "adversarial": 1.0}


def start(dtype=jnp.float32):
    nets = {
        "generator": Generator(
            image_size=8, channels=1, stem_features=8, features=(8,), dtype=dtype
        ),
        "discriminator": Discriminator(features=(4, 8), strides=(2, 2), dtype=dtype),
    }
    init = jax.jit(
        lambda key: create_state(
            key,
            GAME,
            BATCH,
            nets=nets,
            optimizers={name: optax.sgd(RATE) for name in nets},
            weights=WEIGHTS,
            averages={"generator": {"ema_decay": 0.75}},
        )
    )
    return init(jax.random.key(0))


# One compiled step for the tests that can share it.
STEP = jax.jit(lambda state, batch: update(state, batch, game=GAME))


@pytest.fixture(scope="module")
def state():
    return start()


@pytest.fixture(scope="module")
def after(state):
    return STEP(state, BATCH)


def changes(old, new, net):
    return jax.tree.map(
        lambda a, b: np.asarray(b) - np.asarray(a), old.nets[net].params, new.nets[net].params
    )


def test_the_step_is_pure_and_counts(state, after):
    again, metrics = STEP(state, BATCH)
    assert int(again.step) == 1 and int(state.step) == 0
    jax.tree.map(
        np.testing.assert_array_equal,
        again.nets["generator"].params,
        after[0].nets["generator"].params,
    )
    assert metrics == after[1]
    same = jax.random.key_data(again.key) == jax.random.key_data(state.key)
    assert same.all()


def test_noise_depends_on_the_step_and_the_key_alone(state, after):
    def fake_loss(state):
        return float(STEP(state, BATCH)[1]["discriminator/fake"])

    first = fake_loss(state)
    assert fake_loss(state) == first
    assert fake_loss(state.replace(step=state.step + 1)) != first
    assert fake_loss(state.replace(key=jax.random.key(9))) != first
    # The draw is that of the key folded with the step.
    trained = after[0].replace(step=state.step)
    one = GAME.draw(jax.random.fold_in(trained.key, 0), BATCH)
    two = GAME.draw(jax.random.fold_in(trained.key, 1), BATCH)
    assert (np.asarray(one["latent"]) != np.asarray(two["latent"])).all()


def test_weights_are_values_that_scale_gradients_without_compiling_again(state, after):
    compiled = STEP._cache_size()
    doubled = state.replace(weights={**state.weights, "adversarial": jnp.float32(2.0)})
    new, metrics = STEP(doubled, BATCH)
    assert STEP._cache_size() == compiled
    # D's move is the same, so G's gradient is exactly twice as large: to the last bit, as are all
    # products with 2. The step is rounded, and what it leads to; of each of them half an EPS.
    single = changes(state, after[0], "generator")
    double = changes(state, new, "generator")
    ends = (x.nets["generator"].params for x in (after[0], new))
    for one, two, *end in zip(*map(jax.tree.leaves, (single, double, *ends)), strict=True):
        sizes = 2 * np.abs(end[0]) + np.abs(end[1]) + np.abs(two)
        assert (np.abs(np.float64(two) - 2 * np.float64(one)) <= EPS * sizes).all()
    loss = float(after[1]["generator/adversarial"])
    assert float(metrics["generator/adversarial"]) == loss
    assert float(metrics["generator/adversarial_weighted"]) == 2 * loss
    assert float(metrics["generator/loss"]) == 2 * loss


def test_a_weight_of_zero_switches_its_term_off(state):
    weights = {name: jnp.float32(0.0) for name in WEIGHTS}
    new, metrics = STEP(state.replace(weights=weights), BATCH)
    for net in ("generator", "discriminator"):
        assert all(not x.any() for x in jax.tree.leaves(changes(state, new, net)))
    assert metrics["discriminator/loss"] == 0 and metrics["discriminator/real"] > 0


def test_weighted_terms_add_up(state, after):
    real, fake = (changes_with(state, real=r, fake=f) for r, f in ((1.0, 0.0), (0.0, 1.0)))
    added = jax.tree.map(lambda r, f: 0.5 * r + 0.5 * f, real, fake)
    both = changes(state, after[0], "discriminator")
    exact = changes(state, exactly(STEP)(state, BATCH)[0], "discriminator")
    # Changes are differences of parameters, which are rounded by a share of what they are.
    weights = jax.tree.map(np.asarray, state.nets["discriminator"].params)
    assert_no_further(added, both, exact, size=lambda _, path: of_layer(weights, path))


def changes_with(state, **weights):
    weights = {name: jnp.float32(value) for name, value in weights.items()}
    new, _ = STEP(state.replace(weights={**state.weights, **weights}), BATCH)
    return changes(state, new, "discriminator")


def test_the_average_follows_the_updated_parameters(state, after):
    new = after[0]
    net = new.nets["generator"]

    def check(before, now, mean):
        before, now = np.float64(before), np.float64(now)
        # Three roundings, of numbers no larger than the two together.
        allowed = 1.5 * EPS * (np.abs(before) + np.abs(now))
        assert (np.abs(mean - (0.75 * before + 0.25 * now)) <= allowed).all()

    jax.tree.map(check, state.nets["generator"].params, net.params, net.ema_params)
    assert new.nets["discriminator"].ema_params is None


def test_bfloat16_computation_stays_near_float32_with_float32_state(state, after):
    new, metrics = STEP(start(jnp.bfloat16), BATCH)
    for name, value in after[1].items():
        if "accuracy" not in name:
            assert metrics[name].dtype == jnp.float32
            np.testing.assert_allclose(metrics[name], value, rtol=0.05, atol=0.02)
    for leaf in jax.tree.leaves(new.nets):
        assert leaf.dtype != jnp.bfloat16 and np.isfinite(leaf).all()
    for net in ("generator", "discriminator"):
        exact, rough = changes(state, after[0], net), changes(state, new, net)
        one, two = (np.concatenate([x.ravel() for x in jax.tree.leaves(t)]) for t in (exact, rough))
        # The direction of the step survives 8 significant bits.
        assert one @ two / np.linalg.norm(one) / np.linalg.norm(two) > 0.98


def test_the_forward_pass_of_the_generator_is_computed_once(state):
    # D's move and G's move write it down twice, on the same parameters and noise; XLA
    # finds that out, so the step costs less than its two moves by one such pass.
    def flops(function, *args):
        return jax.jit(function).lower(*args).compile().cost_analysis()["flops"]

    noise = {"step": state.step, **GAME.draw(state.key, BATCH)}
    moves = sum(
        flops(
            lambda nets, weights, noise, player=player: move(player, nets, weights, BATCH, noise),
            state.nets,
            state.weights,
            noise,
        )
        for player in GAME.players
    )
    forward = flops(lambda net, z: net(z)[0], state.nets["generator"], noise["latent"])
    whole = flops(lambda state: update(state, BATCH, game=GAME), state)
    assert (moves - whole) / forward == pytest.approx(1.0, abs=0.2)


# Two players who pull at one product, x * y: the rounds decide what each sees of the other.


class Weight(nn.Module):
    """`weight * image`."""

    start: float

    @nn.compact
    def __call__(self, image, *, train):
        return self.param("weight", nn.initializers.constant(self.start), ()) * image


def pull(name, other, sign):
    """A player who lowers `sign * x * y`, notes what it is given, and makes its own number."""

    def loss(nets, batch, given):
        mine, theirs = (nets[n].params["weight"] for n in (name, other))
        seen = given.get(f"{other}_was", jnp.float32(0.0))
        return Outcome(
            {f"product_{name}": sign * mine * theirs},
            {name: nets[name]},
            {"seen": seen, "recalled": given["recalled"]},
            {f"{name}_was": mine},
        )

    def recall(memory, given):
        return memory + 1, {**given, "recalled": memory}

    return Player(name, (name,), (f"product_{name}",), loss, recall)


def bilinear(*rounds):
    return Game(
        rounds=rounds,
        draw=lambda key, batch: {},
        inputs=lambda batch, given: dict.fromkeys("xy", (batch["image"],)),
        summary=dict,
        memory=lambda batch: jnp.float32(0.0),
    )


def play(game):
    state = create_state(
        jax.random.key(0),
        game,
        BATCH,
        nets={"x": Weight(2.0), "y": Weight(3.0)},
        optimizers={name: optax.sgd(0.1) for name in "xy"},
        weights={"product_x": 1.0, "product_y": 0.5},
    )
    after, metrics = update(state, BATCH, game=game)
    moved = {name: float(net.params["weight"]) for name, net in after.nets.items()}
    return moved, metrics, float(after.memory)


X, Y = pull("x", "y", 1.0), pull("y", "x", -1.0)


def test_players_of_one_round_move_from_where_it_began():
    for players in ((X, Y), (Y, X)):
        moved, metrics, _ = play(bilinear(players))
        # x - 0.1 * 3, y + 0.1 * 0.5 * 2.
        assert moved == pytest.approx({"x": 1.7, "y": 3.1})
        assert float(metrics["x/loss"]) == pytest.approx(6.0)
        assert float(metrics["y/loss"]) == pytest.approx(-3.0)


def test_players_of_later_rounds_see_what_earlier_ones_did():
    moved, metrics, _ = play(bilinear((X,), (Y,)))
    assert moved == pytest.approx({"x": 1.7, "y": 3.0 + 0.1 * 0.5 * 1.7})
    assert float(metrics["y/loss"]) == pytest.approx(-0.5 * 1.7 * 3.0)
    moved, metrics, _ = play(bilinear((Y,), (X,)))
    assert moved == pytest.approx({"x": 2.0 - 0.1 * 3.1, "y": 3.1})
    assert float(metrics["x/loss"]) == pytest.approx(2.0 * 3.1)


@pytest.mark.parametrize("rounds", [((X, Y),), ((X,), (Y,))], ids=["one", "two"])
def test_what_is_made_and_remembered_is_handed_on_in_order(rounds):
    _, metrics, memory = play(bilinear(*rounds))
    # y is given what x made before its move; x was given nothing.
    assert (float(metrics["x/seen"]), float(metrics["y/seen"])) == (0.0, 2.0)
    assert (float(metrics["x/recalled"]), float(metrics["y/recalled"]), memory) == (0.0, 1.0, 2.0)

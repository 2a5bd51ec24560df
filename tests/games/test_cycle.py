"""CycleGAN's game on networks of one parameter, against numbers worked out in numpy."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gans.core.state import create_net, create_state
from gans.core.update import update
from gans.games import cycle, memory
from gans.games.cycle import D_TERMS, DISCRIMINATORS, G_TERMS, GENERATORS
from gans.losses import adversarial
from gans.models.layers import Dropout

RATE = 0.05
SGD = optax.sgd(RATE)
# One for each term that no other has, so that none can take another's place.
WEIGHTS = {name: 0.5 + 0.3 * i for i, name in enumerate(G_TERMS + D_TERMS)}
BATCH = {
    "a": np.float32([0.5, -1.0, 0.8, 0.25]).reshape(4, 1, 1, 1),
    "b": np.float32([-0.3, 0.9, 0.1, -0.6]).reshape(4, 1, 1, 1),
}
START = {
    "generator_ab": 0.7,
    "generator_ba": -0.4,
    "discriminator_a": 0.9,
    "discriminator_b": 1.3,
}
OFFSETS = {"generator_ab": 0.2, "generator_ba": -0.1}


class Line(nn.Module):
    """`weight * image + offset`: an image as good as a logit. Counts passes in training mode."""

    start: float
    offset: float = 0.0

    @nn.compact
    def __call__(self, image, *, train):
        seen = self.variable("batch_stats", "seen", lambda: jnp.zeros(()))
        if train and not self.is_initializing():
            seen.value += 1
        weight = self.param("weight", nn.initializers.constant(self.start), ())
        return weight * image + self.offset


@functools.partial(jax.jit, static_argnums=(0, 1))
def start(game, tx=SGD):
    return create_state(
        jax.random.key(0),
        game,
        BATCH,
        nets={name: Line(value, OFFSETS.get(name, 0.0)) for name, value in START.items()},
        optimizers=dict.fromkeys(START, tx),
        weights=WEIGHTS,
    )


def params(state):
    return {name: float(net.params["weight"]) for name, net in state.nets.items()}


class ByHand:
    """Terms of the least-squares game of the networks above, and their derivatives."""

    def __init__(self, weights, pooled=None):
        self.a, self.b = (BATCH[domain].ravel().astype(np.float64) for domain in "ab")
        self.ab, self.ba, self.d_a, self.d_b = (weights[name] for name in START)
        self.offset_ab, self.offset_ba = OFFSETS.values()
        self.fake_b = self.ab * self.a + self.offset_ab
        self.fake_a = self.ba * self.b + self.offset_ba
        self.judged = {"fake_a": self.fake_a, "fake_b": self.fake_b} | (pooled or {})

    def terms(self):
        """`{name: (value, {network: derivative})}`."""
        error_ab, error_ba = self.d_b * self.fake_b - 1, self.d_a * self.fake_a - 1
        cycle_a = self.ba * self.fake_b + self.offset_ba - self.a
        cycle_b = self.ab * self.fake_a + self.offset_ab - self.b
        same_a = self.ba * self.a + self.offset_ba - self.a
        same_b = self.ab * self.b + self.offset_ab - self.b
        ab, ba = GENERATORS
        mean, sign = np.mean, np.sign
        return {
            "adversarial_ab": (mean(error_ab**2), {ab: mean(2 * error_ab * self.d_b * self.a)}),
            "adversarial_ba": (mean(error_ba**2), {ba: mean(2 * error_ba * self.d_a * self.b)}),
            "cycle_a": (
                mean(abs(cycle_a)),
                {
                    ab: mean(sign(cycle_a) * self.ba * self.a),
                    ba: mean(sign(cycle_a) * self.fake_b),
                },
            ),
            "cycle_b": (
                mean(abs(cycle_b)),
                {
                    ba: mean(sign(cycle_b) * self.ab * self.b),
                    ab: mean(sign(cycle_b) * self.fake_a),
                },
            ),
            "identity_a": (mean(abs(same_a)), {ba: mean(sign(same_a) * self.a)}),
            "identity_b": (mean(abs(same_b)), {ab: mean(sign(same_b) * self.b)}),
            **self._judge("a", self.d_a, self.a),
            **self._judge("b", self.d_b, self.b),
        }

    def _judge(self, domain, d, real):
        net, fake = f"discriminator_{domain}", self.judged[f"fake_{domain}"]
        return {
            f"real_{domain}": (np.mean((d * real - 1) ** 2), {net: mean2(d * real - 1, real)}),
            f"fake_{domain}": (np.mean((d * fake) ** 2), {net: mean2(d * fake, fake)}),
        }

    def moved(self):
        """All four parameters after one step of SGD from where they are."""
        weights = dict(zip(START, (self.ab, self.ba, self.d_a, self.d_b), strict=True))
        for name, (_, slopes) in self.terms().items():
            for net, slope in slopes.items():
                weights[net] -= RATE * WEIGHTS[name] * slope
        return weights


def mean2(error, x):
    return np.mean(2 * error * x)


GAME = cycle.game(adversarial=adversarial.least_squares, pool_size=0)
STEP = jax.jit(lambda state: update(state, BATCH, game=GAME))


@pytest.fixture(scope="module")
def played():
    """The state after one iteration without a pool, and its metrics."""
    after, metrics = STEP(start(GAME))
    return after, {name: float(value) for name, value in jax.device_get(metrics).items()}


def player_of(term):
    return "generators" if term in G_TERMS else "discriminators"


def test_every_term_is_that_worked_out_by_hand(played):
    _, metrics = played
    for name, (value, _) in ByHand(START).terms().items():
        assert metrics[f"{player_of(name)}/{name}"] == pytest.approx(value, rel=1e-5), name


def test_every_term_has_its_own_weight_in_its_players_loss(played):
    _, metrics = played
    totals = {"generators": 0.0, "discriminators": 0.0}
    for name, (value, _) in ByHand(START).terms().items():
        weighted = WEIGHTS[name] * value
        totals[player_of(name)] += weighted
        got = metrics[f"{player_of(name)}/{name}_weighted"]
        assert got == pytest.approx(weighted, rel=1e-5), name
    for player, total in totals.items():
        assert metrics[f"{player}/loss"] == pytest.approx(total, rel=1e-5)


def test_all_networks_move_from_where_the_iteration_began(played):
    expected = ByHand(START).moved()
    assert params(played[0]) == pytest.approx(expected, rel=1e-5)
    # Had D seen the moved G, or G the moved D, this would have come out.
    for first, second in ((GENERATORS, DISCRIMINATORS), (DISCRIMINATORS, GENERATORS)):
        other = ByHand({**START, **{name: expected[name] for name in first}}).moved()
        assert all(abs(other[name] - expected[name]) > 2e-4 for name in second)


def test_several_iterations_are_those_worked_out_by_hand():
    state, expected = start(GAME), START
    for _ in range(4):
        state, _ = STEP(state)
        expected = ByHand(expected).moved()
    assert params(state) == pytest.approx(expected, rel=1e-4)


def test_statistics_move_with_their_own_player_alone(played):
    seen = {
        name: float(net.model_state["batch_stats"]["seen"]) for name, net in played[0].nets.items()
    }
    # A generator: images of both domains, and fakes. A discriminator: real and generated images
    # together in its own move, and not what the generators ask of it.
    assert seen == {name: 2.0 if name in GENERATORS else 1.0 for name in START}


def test_discriminators_judge_what_the_pool_gives_and_generators_their_newest():
    game = cycle.game(adversarial=adversarial.least_squares, pool_size=6)
    full = {
        name: memory.Pool(jnp.full((6, 1, 1, 1), value), jnp.int32(6))
        for name, value in (("fake_a", 2.0), ("fake_b", -3.0))
    }
    state = start(game).replace(memory=full)
    fakes = ByHand(START).judged
    given = game.draw(jax.random.fold_in(state.key, 0), BATCH)
    pools, pooled = {}, {}
    for name, key in zip(full, given["pool"], strict=True):
        newest = jnp.float32(fakes[name]).reshape(4, 1, 1, 1)
        pools[name], judged = memory.query(full[name], newest, key)
        pooled[name] = np.asarray(judged, np.float64).ravel()
    # Some of either domain were swapped, and some not, or this shows little.
    swapped = {name: np.isclose(pooled[name], full[name].images[0, 0, 0, 0]) for name in full}
    assert all(0 < x.sum() < 4 for x in swapped.values())

    after, metrics = jax.jit(lambda state: update(state, BATCH, game=game))(state)
    by_hand = ByHand(START, pooled)
    for name, (value, _) in by_hand.terms().items():
        assert float(metrics[f"{player_of(name)}/{name}"]) == pytest.approx(value, rel=1e-5), name
    assert params(after) == pytest.approx(by_hand.moved(), rel=1e-5)
    for name, pool in pools.items():
        np.testing.assert_allclose(after.memory[name].images, pool.images, rtol=1e-6)
        assert int(after.memory[name].count) == 6


def test_the_pools_start_empty_one_for_each_domain_and_none_for_size_0():
    pools = cycle.game(adversarial=adversarial.hinge, pool_size=7).memory(BATCH)
    assert {name: pool.images.shape for name, pool in pools.items()} == {
        "fake_a": (7, 1, 1, 1),
        "fake_b": (7, 1, 1, 1),
    }
    assert all(int(pool.count) == 0 for pool in pools.values())
    assert jax.tree.leaves(GAME.memory(BATCH)) == []


def test_keys_of_passes_and_pools_all_differ_and_change_with_the_iteration():
    draws = [GAME.draw(jax.random.key(i), BATCH) for i in range(2)]
    keys = [
        tuple(jax.random.key_data(key).tolist())
        for given in draws
        for key in (*given["dropout"], *given["pool"])
    ]
    assert len(set(keys)) == len(keys) == 2 * (4 + 2)


class Mask(nn.Module):
    """Says what it drops: 0 or 2 for each pixel, whatever the image."""

    @nn.compact
    def __call__(self, image, *, train):
        one = self.param("one", nn.initializers.ones, ())
        return Dropout(0.5)(one * jnp.ones_like(image), train=train)


class Watched:
    """A network that notes what it is given, and what it makes of it."""

    def __init__(self, net, calls):
        self.net, self.calls = net, calls

    def __call__(self, image, **options):
        made, net = self.net(image, **options)
        self.calls.append((image, made))
        return made, Watched(net, self.calls)


@jax.jit
def watch(key, images):
    """What each network is given and makes of it in the generators' move, and what that makes."""
    calls = {name: [] for name in START}
    nets = {}
    for name in START:
        module = Mask() if name in GENERATORS else Line(1.0)
        net = create_net(key, module, (images["a"],), optax.sgd(0.1))
        nets[name] = Watched(net, calls[name])
    outcome = GAME.players[0].loss(nets, images, GAME.draw(key, images))
    return calls, outcome.made


def test_every_pass_of_a_generator_drops_numbers_anew():
    images = {domain: jnp.full((1, 8, 8, 1), value) for domain, value in (("a", 3.0), ("b", 5.0))}
    calls, made = jax.device_get(watch(jax.random.key(3), images))
    # One image at a time, of each of the passes.
    seen = {
        name: [
            (images[i : i + 1], made[i : i + 1])
            for images, made in calls[name]
            for i in range(len(images))
        ]
        for name in START
    }
    masks = [mask for name in GENERATORS for _, mask in seen[name]]
    assert len(masks) == 6
    # 64 fair coins stray by 4.
    assert all(16 < (mask == 0).sum() < 48 and set(np.unique(mask)) == {0, 2} for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 6
    # Who sees what: an image, the other's fake, the image that should stay as it is.
    fakes = {"a": seen["generator_ba"][0][1], "b": seen["generator_ab"][0][1]}
    for name, (domain, other) in {"generator_ab": "ab", "generator_ba": "ba"}.items():
        expected = [images[domain], fakes[domain], images[other]]
        given = [image.tobytes() for image, _ in seen[name]]
        assert sorted(given) == sorted(np.asarray(image).tobytes() for image in expected)
    for domain in "ab":
        np.testing.assert_array_equal(seen[f"discriminator_{domain}"][0][0], fakes[domain])
        np.testing.assert_array_equal(made[f"fake_{domain}"], fakes[domain])


def test_one_iteration_has_two_passes_of_each_network():
    # Written down, and so computed: the discriminators are given the generators' fakes, and what
    # can go through a network together does.
    passes = []

    def count(next_fun, args, kwargs, context):
        if isinstance(context.module, Line) and context.method_name == "__call__":
            passes.append(context.module.start)
        return next_fun(*args, **kwargs)

    state = start(GAME)
    with nn.intercept_methods(count):
        jax.eval_shape(lambda state: update(state, BATCH, game=GAME), state)
    assert sorted(passes) == sorted(2 * list(START.values()))


def test_one_adam_for_each_network_is_one_for_each_player():
    state = start(GAME, optax.adam(0.1, b1=0.5))
    joint = optax.adam(0.1, b1=0.5)
    weights = {
        player: {name: jnp.float32(START[name]) for name in player}
        for player in (GENERATORS, DISCRIMINATORS)
    }
    moments = {player: joint.init(weights[player]) for player in weights}
    step = jax.jit(lambda state: update(state, BATCH, game=GAME))
    for _ in range(3):
        state, _ = step(state)
        everyone = {name: float(x) for group in weights.values() for name, x in group.items()}
        moved = ByHand(everyone).moved()
        for player, group in weights.items():
            slopes = {name: jnp.float32((everyone[name] - moved[name]) / RATE) for name in player}
            updates, moments[player] = joint.update(slopes, moments[player])
            weights[player] = optax.apply_updates(group, updates)
    expected = {name: float(x) for group in weights.values() for name, x in group.items()}
    assert params(state) == pytest.approx(expected, rel=1e-4)
    assert all(abs(expected[name] - START[name]) > 0.05 for name in START)


def test_metrics_and_summary(played):
    _, metrics = played
    terms = {player_of(name): [] for name in G_TERMS + D_TERMS}
    for name in G_TERMS + D_TERMS:
        terms[player_of(name)] += [name, f"{name}_weighted"]
    terms["discriminators"] += ["accuracy_a", "accuracy_b"]
    assert set(metrics) == {
        f"{p}/{name}" for p, names in terms.items() for name in [*names, "loss"]
    }
    summary = GAME.summary(metrics)
    by_hand = ByHand(START).terms()
    for name in ("cycle", "identity"):
        mean = 0.5 * (by_hand[f"{name}_a"][0] + by_hand[f"{name}_b"][0])
        assert summary.pop(name) == pytest.approx(mean, rel=1e-5)
    assert summary == {
        "g_loss": metrics["generators/loss"],
        "d_loss": metrics["discriminators/loss"],
        "accuracy_a": metrics["discriminators/accuracy_a"],
        "accuracy_b": metrics["discriminators/accuracy_b"],
    }


def test_accuracy_is_the_mean_over_real_and_generated(played):
    by_hand = ByHand(START)
    # Least squares asks for 1 and 0: right is what lies on the right side of the middle.
    for domain, d, real in (("a", by_hand.d_a, by_hand.a), ("b", by_hand.d_b, by_hand.b)):
        right = np.mean(d * real > 0.5) + np.mean(d * by_hand.judged[f"fake_{domain}"] < 0.5)
        got = played[1][f"discriminators/accuracy_{domain}"]
        assert got == pytest.approx(0.5 * right, abs=1e-6)
        assert 0 < got < 1


def test_the_players_of_the_one_round_name_their_networks_and_terms():
    (players,) = GAME.rounds
    assert [(p.name, p.nets, p.terms) for p in players] == [
        ("generators", GENERATORS, G_TERMS),
        ("discriminators", DISCRIMINATORS, D_TERMS),
    ]
    inputs = GAME.inputs(BATCH, {})
    for name, (image,) in inputs.items():
        assert image is BATCH["b" if name in ("generator_ba", "discriminator_b") else "a"]
    assert set(inputs) == set(START)

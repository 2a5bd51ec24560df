"""What a game may ask of an iteration besides its rounds: turns, weights, memory, features."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gans.config import build
from gans.core import schedules
from gans.core.state import create_state
from gans.core.types import Game, Outcome, Player
from gans.core.update import update
from gans.errors import UserError
from gans.games import rounds

RATE = 0.25
BATCH = {"image": jnp.asarray([[1.0], [2.0], [3.0], [6.0]])}


class Number(nn.Module):
    """A single parameter, which meets what it is given."""

    begin: float = 0.0

    @nn.compact
    def __call__(self, x, *, train):
        del train
        number = self.param("number", nn.initializers.constant(self.begin), ())
        self.sow("features", "shifted", x + number)
        return x * number


def player(name, net, every=1, loss=None):
    """Pulls its number to -1, by one: the gradient of its loss is 1."""

    def plain(nets, batch, given):
        out, moved = nets[net](jnp.ones(()))
        return Outcome({"pull": out}, {net: moved}, made={f"made_by_{name}": out + 1.0})

    return Player(name, (net,), ("pull",), loss or plain, every=every)


def game(*players, **fields):
    return Game(
        rounds=tuple((one,) for one in players),
        draw=lambda key, batch: {"noise": jax.random.normal(key, (4,))},
        inputs=lambda batch, given: {name: (jnp.ones(()),) for one in players for name in one.nets},
        summary=lambda metrics: metrics,
        **fields,
    )


def begin(played, **fields):
    names = {name for one in played.players for name in one.nets}
    return create_state(
        jax.random.key(0),
        played,
        BATCH,
        nets={name: Number() for name in names},
        optimizers={name: optax.sgd(RATE) for name in names},
        weights=fields.get("weights", {"pull": 1.0}),
    )


def run(played, state, steps):
    step, logged = jax.jit(lambda state: update(state, BATCH, game=played)), []
    for _ in range(steps):
        state, metrics = step(state)
        logged.append(jax.device_get(metrics))
    return state, logged


def number(state, net):
    return float(state.nets[net].params["number"])


def test_a_player_moves_in_every_kth_iteration_and_waits_between():
    played = game(player("often", "a"), player("seldom", "b", every=3))
    state, logged = run(played, begin(played), 7)
    assert number(state, "a") == -7 * RATE
    assert number(state, "b") == -3 * RATE  # in iterations 0, 3 and 6
    assert int(state.nets["b"].step) == 3
    # The mean over whole turns is that over moves, of 0, -RATE: 3 iterations each.
    terms = [line["seldom/pull"] for line in logged]
    np.testing.assert_allclose(terms, [0, 0, 0, 3 * -RATE, 0, 0, 3 * -2 * RATE])


def test_a_waiting_player_makes_nothing_and_others_see_the_step():
    seen = []

    def loss(nets, batch, given):
        out, moved = nets["b"](jnp.ones(()))
        seen.append(set(given))
        return Outcome(
            {"pull": out}, {"b": moved}, {"made": given["made_by_maker"], "step": given["step"]}
        )

    played = game(player("maker", "a", every=2), player("taker", "b", loss=loss))
    _, logged = run(played, begin(played), 4)
    assert seen[0] == {"step", "noise", "made_by_maker"}
    np.testing.assert_allclose([x["taker/made"] for x in logged], [1.0, 0.0, 1.0 - RATE, 0.0])
    assert [int(x["taker/step"]) for x in logged] == [0, 1, 2, 3]


def test_each_round_of_a_player_has_rows_and_noise_of_its_own():
    n = 2

    def critic(k):
        def loss(nets, batch, given):
            mine = rounds.rows({**batch, "noise": given["noise"]}, k, n)
            out, moved = nets["a"](jnp.ones(()))
            return Outcome(
                {"pull": out},
                {"a": moved},
                {"images": mine["image"].sum(), "noise": mine["noise"][0]},
            )

        return player(f"critic_{k}", "a", loss=loss)

    played = game(*map(critic, range(n)), player("generator", "b"))
    state, (line,) = run(played, begin(played), 1)
    assert number(state, "a") == -2 * RATE and number(state, "b") == -RATE
    seen = [float(line[f"critic_{k}/images"]) for k in range(n)]
    assert seen == [1.0 + 3.0, 2.0 + 6.0]
    assert line["critic_0/noise"] != line["critic_1/noise"]


def test_memory_follows_the_metrics_of_an_iteration():
    played = game(
        player("often", "a"),
        memory=lambda batch: jnp.zeros(()),
        after=lambda memory, metrics: memory + metrics["often/pull"],
    )
    state, logged = run(played, begin(played), 3)
    assert float(state.memory) == pytest.approx(sum(float(x["often/pull"]) for x in logged))
    assert float(state.memory) == -3 * RATE  # 0, -RATE, -2 RATE


def test_weights_follow_their_schedule_and_the_state_keeps_what_it_was_given():
    factor = schedules.schedule("linear", steps=4, begin=1.0, end=0.0)
    played = game(
        player("often", "a"), weigh=lambda given, step: {"pull": given["pull"] * factor(step)}
    )
    state, _ = run(played, begin(played, weights={"pull": 2.0}), 4)
    assert number(state, "a") == pytest.approx(-RATE * 2.0 * (1 + 0.75 + 0.5 + 0.25))
    assert float(state.weights["pull"]) == 2.0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "constant"}, [1, 1, 1, 1, 1]),
        ({"name": "constant", "warmup": 2}, [0, 0.5, 1, 1, 1]),
        ({"name": "linear", "end": 0.0}, [1, 0.75, 0.5, 0.25, 0]),
        ({"name": "linear", "begin": 0.0}, [0, 0.25, 0.5, 0.75, 1]),
        ({"name": "linear", "begin": 2.0, "end": 0.0, "warmup": 2}, [0, 1, 2, 1, 0]),
        ({"name": "cosine", "end": 0.0}, [1, 0.853553, 0.5, 0.146447, 0]),
        ({"name": "cosine", "begin": 3.0, "end": 1.0}, [3, 2.707107, 2, 1.292893, 1]),
    ],
)
def test_schedules_of_weights(fields, expected):
    factor = schedules.schedule(**fields, steps=4)
    np.testing.assert_allclose([factor(step) for step in range(5)], expected, atol=1e-6)
    assert float(factor(9)) == pytest.approx(expected[-1], abs=1e-6)


def test_a_config_schedules_a_weight_over_the_whole_run(config):
    with config.unlocked():
        config.loss.schedule = {"fake": {"name": "linear", "end": 0.0}}
    config.train.num_steps = 10
    made = build.experiment(config)
    given = {name: jnp.float32(2.0) for name in config.loss.weights}
    found = made.game.weigh(given, jnp.int32(5))
    assert {k: float(x) for k, x in found.items()} == {"real": 2.0, "fake": 1.0, "adversarial": 2.0}
    config.train.num_steps = 20
    assert float(made.lasting(config).game.weigh(given, jnp.int32(5))["fake"]) == 1.5
    config.loss.schedule.fake.name = "cubic"
    with pytest.raises(UserError, match="No schedule is called 'cubic'; choose one of constant"):
        build.experiment(config)
    with config.unlocked():
        config.loss.schedule = {"cycle": {"name": "linear"}}
    with pytest.raises(UserError, match="loss.schedule.cycle is of a term that loss.weights"):
        build.experiment(config)
    with config.unlocked():
        config.loss.schedule = {"fake": "linear"}
    with pytest.raises(
        UserError, match="loss.schedule.fake is 'linear': it should be a valid dict"
    ):
        build.experiment(config)


def test_a_falling_learning_rate_ends_with_the_moves_of_a_player(config, monkeypatch):
    lengths = {}
    monkeypatch.setattr(
        build.optim, "optimizer", lambda name, num_steps, **_: lengths.setdefault(num_steps)
    )
    config.train.num_steps = 10
    made = build.of_run(config)
    (judge,), (generator,) = made.game.rounds
    rounds = (judge,), (dataclasses.replace(generator, every=3),)
    game = dataclasses.replace(made.game, rounds=rounds)
    dataclasses.replace(made, game=game).optimizers()
    assert sorted(lengths) == [4, 10]  # in iterations 0, 3, 6 and 9


def test_a_network_may_be_made_for_what_others_give():
    def inputs(batch, given):
        return {
            "a": (jnp.ones((4, 1)),),
            "b": lambda nets: (nets["a"].features(batch["image"])["shifted"],),
        }

    played = dataclasses.replace(game(player("one", "a"), player("two", "b")), inputs=inputs)
    shapes = []

    class Seen(Number):
        @nn.compact
        def __call__(self, x, *, train):
            shapes.append(x.shape)
            return super().__call__(x, train=train)

    create_state(
        jax.random.key(0),
        played,
        BATCH,
        nets={"b": Seen(), "a": Number()},
        optimizers={name: optax.sgd(RATE) for name in "ab"},
        weights={"pull": 1.0},
    )
    assert shapes == [(4, 1)]


def test_features_are_what_a_module_has_sown():
    played = game(player("often", "a"))
    net = begin(played).nets["a"].replace(params={"number": jnp.float32(2.0)})
    found = net.features(jnp.asarray([1.0, 3.0]))
    assert set(found) == {"shifted"}
    np.testing.assert_array_equal(found["shifted"], [3.0, 5.0])


def test_terms_without_a_weight_are_left_out_and_their_passes_too():
    from configs import cyclegan_small

    config = cyclegan_small.get_config("test")
    whole = build.experiment(config).game
    with config.unlocked():
        for term in ("identity_a", "identity_b"):
            del config.loss.weights[term]
    less = build.experiment(config).game
    assert set(whole.players[0].terms) - set(less.players[0].terms) == {"identity_a", "identity_b"}
    images = jnp.zeros((1, 32, 32, 3))
    made = build.experiment(config)

    def passes(played):
        """How many images pass through the generators in an iteration."""
        calls = []
        from gans.data.source import DataInfo

        info = DataInfo(4, (32, 32, 3), domains=("A", "B"), domain_sizes=(4, 4))
        state = jax.eval_shape(made.start(info), jax.random.key(0))
        batch = {"a": images, "b": images}

        def counted(name, net):
            def apply_fn(variables, x, **options):
                calls.append((name, len(x)))
                return net.apply_fn(variables, x, **options)

            return net.replace(apply_fn=apply_fn)

        def loss(nets):
            nets = {name: counted(name, net) for name, net in nets.items()}
            given = played.draw(jax.random.key(0), batch)
            return played.players[0].loss(nets, batch, given).terms

        jax.eval_shape(loss, state.nets)
        return sum(count for name, count in calls if name.startswith("generator"))

    assert passes(whole) == 6 and passes(less) == 4


class Watched(nn.Module):
    """Counts its passes as spectral normalisation counts steps, and as running statistics."""

    @nn.compact
    def __call__(self, x, *, train):
        number = self.param("number", nn.initializers.zeros, ())
        for collection in ("spectral", "batch_stats"):
            seen = self.variable(collection, "seen", lambda: jnp.zeros(()))
            if train and not self.is_initializing():
                seen.value += 1
        return x * number


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("every", [1, 2])
def test_the_passes_of_others_move_spectral_vectors_and_no_statistics(together, every):
    def other(nets, batch, given):
        out, moved = nets["b"](jnp.ones(()))
        judged, watched = nets["a"](out)
        _, watched = watched(judged)
        return Outcome({"pull": out}, {"b": moved, "a": watched})

    players = player("own", "a"), player("other", "b", loss=other, every=every)
    played = game(*players)
    if together:
        played = dataclasses.replace(played, rounds=(players,))
    state = create_state(
        jax.random.key(0),
        played,
        BATCH,
        nets={"a": Watched(), "b": Number()},
        optimizers={name: optax.sgd(RATE) for name in "ab"},
        weights={"pull": 1.0},
    )
    state, _ = run(played, state, 4)
    seen = {name: float(x["seen"]) for name, x in state.nets["a"].model_state.items()}
    assert seen["batch_stats"] == 4.0
    # Of players that move together, what the network's own one has seen is kept.
    assert seen["spectral"] == (4.0 if together else 4.0 + 2 * 4 / every)
    assert number(state, "a") == -4 * RATE

"""Eight simulated devices train as one does on the same whole batch.

To rounding: how far eight may be from the same training in float64, `closeness` says.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from by_hand import pmap_step, shard_map_step
from closeness import assert_no_further, exactly, of_layer
from jax.sharding import NamedSharding, PartitionSpec

from gans import parallel
from gans.core.state import GanState, create_state
from gans.core.update import update
from gans.errors import UserError
from gans.games import cycle, latent
from gans.losses import adversarial
from gans.models import layers, patchgan
from gans.models.dcgan import Discriminator, Generator
from gans.ops import axis

DEVICES = 8
BATCH = 8
STEPS = 2
# Adam would turn rounding in gradients that are zero into whole steps: SGD.
RATE = 0.05

# All of what a latent game may be: with and without labels, joint and in two steps.
GAMES = {
    "dcgan_joint": ("joint", False),
    "cgan_two_step": ("two_step", True),
}
ALL = (*GAMES, "cycle")


def batches(conditional):
    """`[STEPS, BATCH, ...]`, every device's share of a scale of its own."""
    rng = np.random.default_rng(0)
    scale = np.linspace(0.2, 1.0, BATCH).reshape(BATCH, 1, 1, 1)
    images = scale * rng.uniform(-1, 1, (STEPS, BATCH, 8, 8, 1)) + 0.3 * (scale - 0.5)
    made = {"image": images.astype(np.float32)}
    if conditional:
        made["label"] = np.eye(3, dtype=np.float32)[rng.integers(3, size=(STEPS, BATCH))]
    return made


def at(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


class Setting:
    """One game with its start and the step that all forms share."""

    def fresh(self):
        # A copy, because some forms give the buffers of the state away.
        return jax.tree.map(jnp.copy, self.start)

    def step(self, axis_name=None):
        return functools.partial(update, game=self.game, axis_name=axis_name)

    def single(self):
        """The state and the metrics of each step, on one device."""
        return run_steps(self.alone, self.fresh(), self.feed)

    def exact(self):
        """The same in float64."""
        return run_steps(exactly(self.step()), self.fresh(), self.feed)

    @functools.cached_property
    def alone(self):
        """The step on one device."""
        return jax.jit(self.step())


class Latent(Setting):
    """A latent game."""

    def __init__(self, form, conditional):
        self.game = getattr(latent, form)(adversarial=adversarial.non_saturating, latent_dim=3)
        self.feed = batches(conditional)
        nets = {
            "generator": Generator(image_size=8, channels=1, stem_features=4, features=(4,)),
            "discriminator": Discriminator(
                features=(4, 6), strides=(2, 2), hidden_features=(5,) if conditional else ()
            ),
        }
        start = jax.jit(
            lambda key: create_state(
                key,
                self.game,
                at(self.feed, 0),
                nets=nets,
                optimizers={name: optax.sgd(RATE) for name in nets},
                weights={"real": 0.5, "fake": 0.5, "adversarial": 1.0},
                averages={"generator": {"ema_decay": 0.9, "ema_warmup": 10.0}},
            )
        )
        self.start = start(jax.random.key(1))


class Dropping(nn.Module):
    """A generator with all that a U-Net has beside its size, which would take long to compile."""

    @nn.compact
    def __call__(self, image, *, train):
        x = layers.Conv(8, (3, 3), kernel_init=layers.NORMAL)(image)
        x = layers.InstanceNorm(affine=True)(x)
        x = nn.relu(layers.Dropout(0.5)(x, train=train))
        return jnp.tanh(layers.Conv(1, (3, 3))(x))


class Cycle(Setting):
    """CycleGAN with dropout, one image of each domain a device, and pools that fill at once."""

    def __init__(self):
        self.game = cycle.game(adversarial=adversarial.least_squares, pool_size=3)
        images = np.random.default_rng(0).uniform(-1, 1, (2, STEPS, DEVICES, 8, 8, 1))
        self.feed = dict(zip("ab", images.astype(np.float32), strict=True))
        nets = dict.fromkeys(cycle.GENERATORS, Dropping())
        nets |= dict.fromkeys(cycle.DISCRIMINATORS, patchgan.Discriminator(features=8, depth=0))
        start = jax.jit(
            lambda key: create_state(
                key,
                self.game,
                at(self.feed, 0),
                nets=nets,
                optimizers=dict.fromkeys(nets, optax.sgd(RATE)),
                weights=dict.fromkeys(cycle.G_TERMS + cycle.D_TERMS, 0.5),
            )
        )
        self.start = start(jax.random.key(1))


def run_steps(step, state, feed):
    metrics = []
    for i in range(STEPS):
        state, report = step(state, at(feed, i))
        metrics.append(report)
    return state, jax.tree.map(lambda *x: np.stack(x), *metrics)


@pytest.fixture(autouse=True)
def nothing_is_too_small_to_divide(monkeypatch):
    monkeypatch.setattr("gans.parallel.mesh._SMALL", 8)


@functools.cache
def setting(name):
    return Latent(*GAMES[name]) if name in GAMES else Cycle()


@functools.cache
def single(name):
    return setting(name).single()


@functools.cache
def exact(name):
    return setting(name).exact()


def run_jit_chunk(made, chunk=parallel.jit_chunk, fsdp=False):
    mesh = parallel.make_mesh(DEVICES)
    state = made.fresh()
    lives = parallel.shardings(state, mesh, fsdp=fsdp)
    run = chunk(made.step(), lambda resident, x: x, mesh, lives)
    split = NamedSharding(mesh, PartitionSpec(None, parallel.DATA))
    state, metrics = run(jax.device_put(state, lives), (), parallel.put(made.feed, split))
    assert jax.tree.map(lambda x: x.sharding, state) == lives
    divided = [x.shape for x in jax.tree.leaves(state) if not x.is_fully_replicated]
    assert bool(divided) == fsdp
    return state, metrics


FORMS = {
    "pmap": lambda made: run_steps(
        pmap_step(made.step(parallel.DATA), jax.devices()[:DEVICES]),
        made.fresh(),
        made.feed,
    ),
    "shard_map": lambda made: run_steps(
        shard_map_step(made.step(parallel.DATA), parallel.make_mesh(DEVICES)),
        made.fresh(),
        made.feed,
    ),
    "jit": run_jit_chunk,
    "fsdp": functools.partial(run_jit_chunk, fsdp=True),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("game", ALL)
def test_eight_devices_give_the_state_and_metrics_of_one(game, form):
    assert_same_training(FORMS[form](setting(game)), single(game), exact(game))


def assert_same_training(ours, alone, exact):
    """Of three trainings, each a state and metrics, that the first is as near as the second."""
    sides = ours, alone, exact
    assert [int(state.step) for state, _ in sides] == [STEPS] * 3
    for name in alone[0].nets:
        nets = [state.nets[name] for state, _ in sides]
        # Parameters with gradients that are but rounding move with it, and move means.
        assert_no_further(
            *({"now": (x.params, x.model_state), "mean": x.ema_params} for x in nets),
            size=of_layer,
        )
    # The images of a pool go by what networks made of rounded numbers, its places by keys alone.
    assert_no_further(*(state.memory for state, _ in sides))
    assert_no_further(*(metrics for _, metrics in sides))


@pytest.mark.parametrize("game", ALL)
def test_two_steps_move_far_more_than_the_tolerance(game):
    before, (after, _) = setting(game).start, single(game)
    for name in before.nets:
        params = (jax.tree.leaves(state.nets[name].params) for state in (before, after))
        assert max(np.abs(two - one).max() for one, two in zip(*params, strict=True)) > 1e-4


def test_the_pools_were_filled_and_something_was_swapped():
    game, feed = setting("cycle").game, setting("cycle").feed
    filled = game.memory(at(feed, 0))
    state, _ = setting("cycle").alone(setting("cycle").fresh(), at(feed, 0))
    for name, pool in single("cycle")[0].memory.items():
        assert pool.images.shape == filled[name].images.shape == (3, 8, 8, 1)
        assert int(pool.count) == 3
        assert (np.asarray(pool.images) != np.asarray(state.memory[name].images)).any(), name


# Each of a key and a shape, and the draw of the whole batch that it must be, to the bit.
DRAWS = {
    "normal": (axis.normal, jax.random.normal),
    "uniform": (
        lambda *both: axis.uniform(*both, -0.5, 2.0),
        lambda *both: jax.random.uniform(*both, minval=-0.5, maxval=2.0),
    ),
    "integers": (
        lambda *both: axis.integers(*both, -4, 5),
        lambda *both: jax.random.randint(*both, -4, 5),
    ),
}


@pytest.mark.as_in_use
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("form", ["pmap", "shard_map"])
def test_the_noise_of_the_devices_is_that_of_one_bit_for_bit(form, draw):
    key, shape = jax.random.key(3), (BATCH, 5)
    ours, theirs = DRAWS[draw]
    whole = np.asarray(theirs(key, shape))

    def share(images):
        with axis.mapped(parallel.DATA):
            return ours(key, (len(images), shape[1]))

    images = jnp.zeros((BATCH, 1))
    if form == "pmap":
        mapped = jax.pmap(share, axis_name=parallel.DATA, devices=jax.devices()[:DEVICES])
        shares = mapped(images.reshape(DEVICES, -1, 1)).reshape(shape)
    else:
        split = PartitionSpec(parallel.DATA)
        mesh = parallel.make_mesh(DEVICES)
        shares = jax.jit(jax.shard_map(share, mesh=mesh, in_specs=split, out_specs=split))(images)
    np.testing.assert_array_equal(np.asarray(shares), whole)


@pytest.mark.as_in_use
@pytest.mark.parametrize("draw", DRAWS)
def test_noise_under_jit_on_a_mesh_is_that_of_one_device_bit_for_bit(draw):
    key, (ours, theirs) = jax.random.key(3), DRAWS[draw]
    split = NamedSharding(parallel.make_mesh(DEVICES), PartitionSpec(parallel.DATA))
    found = jax.jit(lambda k: ours(k, (BATCH, 5)), out_shardings=split)(key)
    np.testing.assert_array_equal(found, theirs(key, (BATCH, 5)))


@pytest.mark.parametrize("form", ["loop_chunk", "scan_chunk"])
def test_both_forms_of_a_chunk_give_the_steps_one_by_one(form):
    # jit_chunk chooses by platform; here both run on the CPU.
    made = setting("dcgan_joint")
    ours = run_jit_chunk(made, getattr(parallel, form), fsdp=True)
    assert_same_training(ours, single("dcgan_joint"), exact("dcgan_joint"))


@pytest.mark.parametrize("game", ALL)
def test_every_pass_of_every_network_is_divided_over_the_devices(game):
    # Of noise too, which is drawn whole: else each device would make all the fakes.
    made, shares = setting(game), []

    def note(next_fun, args, kwargs, context):
        x = next_fun(*args, **kwargs)
        if context.method_name == "__call__" and not context.module.path:
            name = type(context.module).__name__

            def seen(sharding, whole=x.shape):
                shares.append((name, whole[0] // sharding.shard_shape(whole)[0]))

            jax.debug.inspect_array_sharding(x, callback=seen)
        return x

    with nn.intercept_methods(note):
        run_jit_chunk(made)
    modules = (net.apply_fn.__self__ for net in made.start.nets.values())
    assert {name for name, _ in shares} == {type(module).__name__ for module in modules}
    assert {count for _, count in shares} == {DEVICES}


@pytest.mark.parametrize("form", ["loop_chunk", "scan_chunk"])
def test_a_chunk_makes_each_batch_from_what_is_resident_and_its_row_of_the_feed(form):
    mesh = parallel.make_mesh(DEVICES)
    chunk = getattr(parallel, form)(
        lambda state, batch: (10 * state + batch.sum(), {"sum": batch.sum(), "first": batch[0]}),
        lambda resident, indices: resident[indices],
        mesh,
    )
    resident = jnp.array([1.0, 2.0, 3.0, 4.0])
    feed = np.array([[0] * 8, [3] + [1] * 7, [2] * 8])
    state, metrics = chunk(jnp.float32(0.0), resident, feed)
    # Sums of the rows: 8, 4 + 7 * 2, 8 * 3.
    assert float(state) == 8 * 100 + 18 * 10 + 24
    np.testing.assert_array_equal(metrics["sum"], [8.0, 18.0, 24.0])
    np.testing.assert_array_equal(metrics["first"], [1.0, 4.0, 3.0])


def test_a_mesh_has_as_many_devices_as_asked_and_0_is_all():
    assert [parallel.make_mesh(n).size for n in (1, 3, 0)] == [1, 3, jax.device_count()]
    assert parallel.make_mesh(2).axis_names == (parallel.DATA,)


def test_more_devices_than_there_are_is_the_users_error():
    with pytest.raises(UserError, match=f"mesh.data asks for 99 .* {jax.device_count()}"):
        parallel.make_mesh(99)


def test_a_batch_that_cannot_be_split_is_the_users_error():
    mesh = parallel.make_mesh(DEVICES)
    for fine in (8, 32):
        parallel.check_batch_size(fine, mesh)
    for wrong in (1, 6, 33):
        with pytest.raises(UserError, match=f"data.batch_size {wrong} .* {DEVICES} devices"):
            parallel.check_batch_size(wrong, mesh)
    parallel.check_batch_size(33, parallel.make_mesh(1))


def test_fsdp_divides_the_largest_dimension_that_can_be(monkeypatch):
    monkeypatch.setattr("gans.parallel.mesh._SMALL", 1024)
    mesh = parallel.make_mesh(4)
    shapes = {
        "kernel": (3, 3, 64, 128),  # the last is the largest
        "flat": (100, 8),
        "odd": (1023, 4),  # only the 4 does
        "undivided": (33, 63),
        "small": (255, 4),
        "scalar": (),
    }
    arrays = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    state = GanState(step=arrays["scalar"], key=arrays["kernel"], nets=arrays, weights={})
    lives = parallel.shardings(state, mesh, fsdp=True)
    found = {name: sharding.spec for name, sharding in lives.nets.items()}
    assert found == {
        "kernel": PartitionSpec(None, None, None, "data"),
        "flat": PartitionSpec(),  # 800 numbers are not worth it
        "odd": PartitionSpec(None, "data"),
        "undivided": PartitionSpec(),
        "small": PartitionSpec(),
        "scalar": PartitionSpec(),
    }
    assert lives.step.spec == lives.key.spec == PartitionSpec()  # only networks
    whole = parallel.shardings(state, mesh, fsdp=False)
    assert {sharding.spec for sharding in jax.tree.leaves(whole)} == {PartitionSpec()}


def test_a_process_feeds_the_rows_of_its_devices():
    # Alone it feeds all; tests/test_hosts.py has the other case.
    assert parallel.share(24, parallel.make_mesh(DEVICES)) == slice(0, 24)


def test_a_state_that_no_memory_holds_is_refused_before_it_is_made():
    parallel.check_memory({"x": jax.ShapeDtypeStruct((2**20,), np.float32)})
    with pytest.raises(UserError, match=r"take 131,072 GiB, .*: give the networks fewer features"):
        parallel.check_memory({"x": jax.ShapeDtypeStruct((2**45,), np.float32)})

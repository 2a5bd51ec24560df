"""Checkpoints survive kills, damage and other hardware, and say what is wrong when they cannot."""

import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState

from gans import parallel
from gans.core.state import GanState
from gans.errors import UserError
from gans.runs.checkpoints import Checkpoints


@flax.struct.dataclass
class State:
    step: jax.Array
    key: jax.Array
    nets: dict
    pool: tuple
    nothing: dict
    absent: None = None


def train_state(width: int = 4) -> TrainState:
    params = {"dense": {"kernel": jnp.linspace(0, 1, 3 * width).reshape(3, width)}}
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    state = TrainState.create(apply_fn=None, params=params, tx=tx)
    return state.apply_gradients(grads=params)


def full_state(seed: int = 0) -> State:
    key = jax.random.key(seed)
    bits = jax.random.bits(key, (5, 7), jnp.uint16)
    return State(
        step=jnp.int32(seed),
        key=jax.random.split(jax.random.key(seed, impl="rbg"), 2),
        nets={"generator": train_state(), "discriminator": train_state(6)},
        pool=(jnp.arange(6, dtype=jnp.int8), [jnp.bool_(True), bits, bits.view(jnp.bfloat16)]),
        nothing={},
    )


def small_state(value: float, size: int = 1000) -> dict:
    return {"a": jnp.full((size,), value, jnp.float32), "b": jnp.float32(value)}


def abstract(tree):
    return jax.eval_shape(lambda: tree)


def bits_of(leaf) -> tuple:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(leaf.dtype), np.asarray(jax.random.key_data(leaf)).tobytes()
    return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()


def assert_same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    assert jax.tree.map(bits_of, left) == jax.tree.map(bits_of, right)


def write(directory: Path, *steps: int, keep: int = 5, size: int = 1000) -> None:
    with Checkpoints(directory, keep=keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, small_state(step, size), {"step": step})


def largest_file(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=os.path.getsize)


def flip_bit(path: Path, offset: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset is None else offset] ^= 4
    path.write_bytes(data)


def test_round_trip_is_exact_for_every_kind_of_leaf(tmp_path):
    state, position = full_state(3), {"epoch": 2, "inner": {"seen": [1, None, "x"], "done": True}}
    with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
        checkpoints.save(30, state, position)
        for target in (jax.tree.map(jnp.asarray, state), abstract(state)):
            restored = checkpoints.restore(target)
            assert restored.step == 30
            assert restored.position == position
            assert_same(restored.state, jax.tree.map(jnp.asarray, state))


def test_nothing_saved_gives_none(tmp_path):
    with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
        assert checkpoints.restore(small_state(0)) is None
        assert checkpoints.latest_step() is None
    assert Checkpoints(tmp_path / "other", read_only=True).restore(small_state(0)) is None
    assert not (tmp_path / "other").exists()


def test_keeps_the_newest(tmp_path):
    write(tmp_path / "c", 1, 2, 3, 4, keep=2)
    assert Checkpoints(tmp_path / "c", read_only=True).steps() == [3, 4]


def test_buffers_may_go_once_save_returns(tmp_path):
    donate = jax.jit(lambda x: x - 1, donate_argnums=0)
    with Checkpoints(tmp_path / "c", keep=1) as checkpoints:
        for step in range(5):
            state = small_state(step, size=1_000_000) | {"host": np.full((1000,), float(step))}
            checkpoints.save(step, state, {})
            donate(state["a"]).block_until_ready()
            state["b"].delete()
            state["host"][:] = -1
            target = small_state(0, 1_000_000) | {"host": jnp.zeros((1000,))}
            restored = checkpoints.restore(target).state
            assert np.all(restored["a"] == step)
            assert restored["b"] == step
            assert np.all(restored["host"] == step)


TOPOLOGIES = [(count, fsdp) for count in (1, 2, 4, 8) for fsdp in (False, True)]


def gan_state():
    """With an array that 2, 4 and 8 devices can divide, and one that they cannot."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 3, 16, 24), "odd": (33, 63), "bias": (8,)}
    nets = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return GanState(
        step=jnp.int32(7), key=jax.random.key(5), nets=nets, weights={"x": jnp.float32(0.5)}
    )


@pytest.mark.parametrize("count, fsdp", TOPOLOGIES)
def test_saved_on_one_topology_it_is_restored_on_any_other_to_the_last_bit(tmp_path, count, fsdp):
    state = gan_state()
    saved = jax.device_put(state, parallel.shardings(state, parallel.make_mesh(count), fsdp=fsdp))
    with Checkpoints(tmp_path / "c", keep=1) as checkpoints:
        checkpoints.save(1, saved, {})
        for other, divided in TOPOLOGIES:
            lives = parallel.shardings(state, parallel.make_mesh(other), fsdp=divided)
            target = jax.tree.map(
                lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, lives
            )
            restored = checkpoints.restore(target).state
            assert_same(restored, state)
            assert jax.tree.map(lambda x: x.sharding, restored) == lives
            kernel = restored.nets["kernel"].addressable_shards[0].data.size
            assert kernel == 3 * 3 * 16 * 24 // (other if divided else 1)
        plain = checkpoints.restore(abstract(state)).state
        assert plain.nets["kernel"].sharding.device_set == {jax.devices()[0]}


def test_other_leaves_shapes_and_dtypes_are_named_and_not_called_damage(tmp_path, capsys):
    state = {
        "same": jnp.ones(3),
        "shape": jnp.ones((2, 3)),
        "dtype": jnp.ones(4),
        "gone": jnp.ones(1),
    }
    target = {"same": jnp.ones(3), "shape": jnp.ones((2, 4)), "dtype": jnp.ones(4, jnp.bfloat16)}
    with Checkpoints(tmp_path / "c", keep=1) as checkpoints:
        checkpoints.save(1, state, {})
        with pytest.raises(UserError) as caught:
            checkpoints.restore(target | {"new": jnp.int32(1)})
        assert str(caught.value).splitlines()[1:] == [
            "  dtype: saved float32[4], expected bfloat16[4]",
            "  gone: saved float32[1], expected nothing",
            "  new: saved nothing, expected int32[]",
            "  shape: saved float32[2,3], expected float32[2,4]",
            "Check that the config is the one the run was started with.",
        ]
        with pytest.raises(UserError, match="and 6 more"):
            checkpoints.restore({str(i): jnp.ones(1) for i in range(10)})
        assert checkpoints.restore(state).step == 1
    assert capsys.readouterr().err == ""


def test_a_key_is_not_exchanged_for_integers_or_another_kind_of_key(tmp_path):
    with Checkpoints(tmp_path / "c", keep=1) as checkpoints:
        checkpoints.save(1, {"key": jax.random.key(0, impl="rbg")}, {})
        for other in (jnp.zeros(4, jnp.uint32), jax.random.key(0, impl="unsafe_rbg")):
            with pytest.raises(UserError, match=r"key: saved key<rbg>\[\]"):
                checkpoints.restore({"key": other})


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def in_its_place(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


DAMAGE = {
    "flipped bit in the data": lambda folder: flip_bit(largest_file(folder)),
    "truncated": lambda folder: os.truncate(largest_file(folder), 100),
    "emptied": lambda folder: os.truncate(largest_file(folder), 0),
    "deleted": lambda folder: largest_file(folder).unlink(),
    "empty folder": empty,
    "no checksums": lambda folder: (folder / "checksums.json").unlink(),
    "flipped bit in the checksums": lambda folder: flip_bit(folder / "checksums.json", 0),
    "flipped bit in the position": lambda folder: flip_bit(folder / "position.json"),
    "checksums too deep": lambda folder: (folder / "checksums.json").write_text("[" * 100_000),
    "grown": lambda folder: os.truncate(largest_file(folder), 2**40),  # a hole takes no room
    "numbers for checksums": lambda folder: (folder / "checksums.json").write_text(
        '{"position.json": 1}'
    ),
    "no checksum at all": lambda folder: (folder / "checksums.json").write_text("{}"),
    "a list of checksums": lambda folder: (folder / "checksums.json").write_text("[1]"),
    "a pipe for the checksums": lambda folder: in_its_place(folder / "checksums.json", os.mkfifo),
    "a pipe for the data": lambda folder: in_its_place(largest_file(folder), os.mkfifo),
    "a folder for the position": lambda folder: in_its_place(folder / "position.json", os.mkdir),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_reported_moved_aside_and_passed_over(tmp_path, capfd, kind):
    directory = tmp_path / "c"
    write(directory, 1, 2)
    DAMAGE[kind](directory / "2")
    before = sorted(directory.rglob("*"))

    assert Checkpoints(directory, read_only=True).restore(small_state(0)).step == 1
    assert sorted(directory.rglob("*")) == before
    assert capfd.readouterr().err.count("is damaged") == 1

    with Checkpoints(directory, keep=5) as checkpoints:
        with pytest.raises(UserError, match="is damaged"):
            checkpoints.restore(small_state(0), step=2)
        restored = checkpoints.restore(small_state(0))
        assert (restored.step, float(restored.state["b"]), restored.position) == (
            1,
            1.0,
            {"step": 1},
        )
        said = capfd.readouterr().err
        assert said.count("\n") == 1
        assert str(directory / "2") in said
        assert (tmp_path / "damaged_checkpoints" / "2").is_dir()
        checkpoints.save(2, small_state(2.5), {})
        assert checkpoints.restore(small_state(0)).state["b"] == 2.5
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", ["", "[]", "null", "3", "{}", '{"step": "x"}', "[" * 100_000])
def test_a_position_that_is_not_as_it_was_written_is_none(tmp_path, content):
    write(tmp_path / "c", 1)
    reader = Checkpoints(tmp_path / "c", read_only=True)
    assert reader.position() == {"step": 1}
    (tmp_path / "c" / "1" / "position.json").write_text(content)
    assert reader.position() is None
    assert Checkpoints(tmp_path / "none", read_only=True).position() is None


def test_folders_of_other_names_are_no_steps(tmp_path):
    for name in ("3", "007", "٣", "x", "-1", "1" * 30, "superseded"):
        (tmp_path / name).mkdir()
    (tmp_path / "5").touch()
    assert Checkpoints(tmp_path, read_only=True).steps() == [3]


def test_every_flipped_bit_is_found_or_harmless(tmp_path, capsys):
    directory = tmp_path / "c"
    write(directory, 1)
    reader = Checkpoints(directory, read_only=True)
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        flip_bit(path, random.Random(0).randrange(len(whole)))
        try:
            restored = reader.restore(small_state(0))
            assert_same(restored.state, small_state(1))
            assert path.name in ("_CHECKPOINT_METADATA", "commit_success.txt")
        except UserError:
            pass
        path.write_bytes(whole)


def test_damaged_folders_of_the_same_step_do_not_collide(tmp_path):
    directory = tmp_path / "c"
    write(directory, 1)
    for _ in range(2):
        with Checkpoints(directory, keep=5) as checkpoints:
            checkpoints.restore(small_state(0), step=1)
            checkpoints.save(2, small_state(2), {})
            checkpoints.wait()
            empty(directory / "2")
            assert checkpoints.restore(small_state(0)).step == 1
    assert len(list((tmp_path / "damaged_checkpoints").iterdir())) == 2


def test_all_damaged_is_an_error_and_stays_one(tmp_path):
    directory = tmp_path / "c"
    write(directory, 1, 2)
    empty(directory / "1")
    empty(directory / "2")
    for _ in range(2):
        with (
            Checkpoints(directory, keep=5) as checkpoints,
            pytest.raises(UserError, match="Every checkpoint in .* is damaged"),
        ):
            checkpoints.restore(small_state(0))


def test_one_step_can_be_picked(tmp_path):
    write(tmp_path / "c", 1, 2, 3)
    reader = Checkpoints(tmp_path / "c", read_only=True)
    assert reader.restore(small_state(0), step=2).state["b"] == 2
    with pytest.raises(UserError, match="no checkpoint of step 7; available: 1, 2, 3"):
        reader.restore(small_state(0), step=7)


def test_saving_the_same_step_again_does_nothing(tmp_path, capsys):
    with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
        checkpoints.save(1, small_state(1), {})
        checkpoints.save(1, small_state(9), {})
        assert checkpoints.restore(small_state(0)).state["b"] == 1
    assert capsys.readouterr().err == ""


def test_going_back_sets_the_old_future_aside(tmp_path, capsys):
    directory = tmp_path / "c"
    write(directory, 100, 120, 200)
    with Checkpoints(directory, keep=2) as checkpoints:
        checkpoints.restore(small_state(0), step=100)
        assert checkpoints.steps() == [100, 120, 200]
        checkpoints.save(150, small_state(150), {})
    reader = Checkpoints(directory, read_only=True)
    assert reader.steps() == [100, 150]
    assert reader.restore(small_state(0)).state["b"] == 150
    moved = sorted(path.name for path in (tmp_path / "superseded_checkpoints").iterdir())
    assert moved == ["120", "200"]
    assert capsys.readouterr().err.count("went back") == 2


def test_unwritable_directory_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Could not write checkpoints to"):
        Checkpoints(tmp_path / "file" / "c", keep=2)
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(UserError, match="Could not write checkpoints to"):
            Checkpoints(tmp_path / "closed", keep=2)


def test_a_failure_in_the_background_is_said_once_and_saving_goes_on(tmp_path, capfd):
    directory = tmp_path / "c"
    write(directory, 1)
    noise = {"a": jax.random.normal(jax.random.key(0), (200_000,))}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Checkpoints(directory, keep=1) as checkpoints:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            checkpoints.save(2, noise, {})
            with pytest.raises(UserError, match="Could not write the checkpoint of step 2 to"):
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert checkpoints.steps() == [1]
        checkpoints.save(2, noise, {})
        assert_same(checkpoints.restore(noise).state, noise)
    assert capfd.readouterr().err == ""


def test_saves_leave_no_threads_behind(tmp_path):
    before = threading.active_count()
    with Checkpoints(tmp_path / "c", keep=1) as checkpoints:
        for step in range(10):
            checkpoints.save(step, small_state(step), {})
    checkpoints.close()
    assert threading.active_count() <= before + 2


def test_position_must_be_json(tmp_path):
    with Checkpoints(tmp_path / "c", keep=1) as checkpoints, pytest.raises(TypeError):
        checkpoints.save(1, small_state(1), {"bad": object()})


def save_without_end(directory: str, started) -> None:
    with Checkpoints(directory, keep=2) as checkpoints:
        step = (checkpoints.latest_step() or 0) + 1
        while True:
            state = {name: jnp.full((60_000,), step) for name in "abcd"} | {"n": jnp.int32(step)}
            checkpoints.save(step, state, {"step": step})
            started.set()
            step += 1


def restore_numbers(checkpoints: Checkpoints) -> tuple[int, set[int]] | None:
    target = {name: jnp.zeros((60_000,), jnp.int32) for name in "abcd"} | {"n": jnp.int32(0)}
    restored = checkpoints.restore(target)
    if restored is None:
        return None
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(restored.state)])
    return restored.step, {*np.unique(values).tolist(), restored.position["step"]}


@pytest.fixture(scope="module")
def processes():
    """Starts processes from one that has imported everything, in a tenth of a second each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gans.runs.checkpoints", "optax", "flax"])
    return context


def test_a_kill_at_any_moment_leaves_a_checkpoint(tmp_path, processes, capfd):
    directory, moments, last = tmp_path / "c", random.Random(), 0
    for _ in range(15):
        started = processes.Event()
        process = processes.Process(target=save_without_end, args=(str(directory), started))
        process.start()
        assert started.wait(30)
        time.sleep(moments.uniform(0, 0.25))
        process.kill()
        process.join()
        with Checkpoints(directory, keep=2) as checkpoints:
            found = restore_numbers(checkpoints)
            if found is None:  # killed in the very first save
                continue
            step, values = found
            assert values == {step}
            assert step >= last
            last = step + 1
            state = {name: jnp.full((60_000,), last) for name in "abcd"} | {"n": jnp.int32(last)}
            checkpoints.save(last, state, {"step": last})
        assert {path.name for path in directory.iterdir()} == {str(last - 1), str(last)}
    assert last > 15
    assert "damaged" not in capfd.readouterr().err


# A step deleted in the middle of a load makes asyncio complain before the next one is read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_reading_while_another_process_trains_into_the_folder(tmp_path, processes, capfd):
    directory = tmp_path / "c"
    started = processes.Event()
    process = processes.Process(target=save_without_end, args=(str(directory), started))
    process.start()
    assert started.wait(30)
    seen = set()
    until = time.monotonic() + 2
    while time.monotonic() < until:
        found = restore_numbers(Checkpoints(directory, read_only=True))
        if found is not None:
            step, values = found
            assert values == {step}
            seen.add(step)
    process.kill()
    process.join()
    assert len(seen) > 3
    assert "damaged" not in capfd.readouterr().err


def test_nothing_but_our_own_sentences_reaches_the_terminal(tmp_path):
    script = f"""
from absl import logging
logging.set_verbosity(logging.INFO)
import jax.numpy as jnp
from gans.runs.checkpoints import Checkpoints
with Checkpoints({str(tmp_path / "c")!r}, keep=1) as checkpoints:
    for step in (1, 2):
        checkpoints.save(step, {{"a": jnp.ones(3)}}, {{}})
    checkpoints.restore({{"a": jnp.ones(3)}})
logging.info("heard")
import sys
assert "tensorflow" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if "heard" not in line] == []
    assert "heard" in done.stderr


def test_a_field_that_is_none_may_be_added_to_the_state_later(tmp_path):
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, {"net": {"w": jnp.arange(3.0)}}, {})
        found = checkpoints.restore({"net": {"w": jnp.zeros(3), "average": None}})
    np.testing.assert_array_equal(found.state["net"]["w"], np.arange(3.0))
    assert found.state["net"]["average"] is None

"""Two real processes, joined by JAX's runtime, train one run."""

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from closeness import assert_no_further, exact_chunk, of_layer

from gans import parallel
from gans.errors import UserError
from gans.parallel import hosts
from gans.runs import evaluation_record, run_folder
from gans.training import train

# Adam would turn rounding in gradients that are zero into whole steps: SGD. And images so small
# that hardly ever a leaky ReLU is given a zero, to rounding: one that takes the other side moves
# kernels by 1e-3.
CHANGES = {
    "seed": 2,
    "data.image_size": 8,
    "nets.generator.image_size": 8,
    "optim.generator.name": "sgd",
    "optim.discriminator.name": "sgd",
    "optim.generator.learning_rate": 0.05,
    "optim.discriminator.learning_rate": 0.05,
    "evaluators.overfitting.every_steps": 0,
    "evaluators.quality.every_steps": 10_000,  # at the end alone
    "checkpoint.every_steps": 2,
    "train.log_every": 10,
    "train.sample_every": 0,
}
STEPS = 400
ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(workdir, *more, each=((), ())):
    """Both processes of one run; `each` is what one of them is given besides."""
    coordinator = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "experiments.train", f"--workdir={workdir}"]
    command += ["--config=configs/cgan_digits.py:test", "--distributed", "--num_processes=2"]
    command += [f"--coordinator={coordinator}", "--connect_timeout=100", *more]
    command += [f"--config.{name}={value}" for name, value in CHANGES.items()]
    return [
        subprocess.Popen(
            [*command, f"--process_id={number}", *each[number]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]


def ends(processes, timeout=300):
    """The exit status and the output of each."""
    outputs = [process.communicate(timeout=timeout)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def wait_for_step(workdir, step):
    until = time.monotonic() + 300
    while max(steps(workdir), default=-1) < step:
        assert time.monotonic() < until, "no checkpoint was written"
        time.sleep(0.05)


def steps(workdir):
    folder = workdir / "checkpoints"
    return [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]


def test_stopped_robbed_of_a_process_and_restarted_two_train_as_one(tmp_path, config, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    two, one = tmp_path / "two", tmp_path / "one"

    processes = start(two, f"--config.train.num_steps={STEPS}")
    wait_for_step(two, 2)
    processes[1].send_signal(signal.SIGTERM)  # to one of them; both stop, at the same step
    statuses, outputs = ends(processes)
    assert statuses == [128 + signal.SIGTERM] * 2, outputs
    stopped_at = max(steps(two))
    assert all(f"at step {stopped_at} of {STEPS}, which is saved" in text for text in outputs)

    processes = start(two, f"--config.train.num_steps={STEPS}")
    wait_for_step(two, stopped_at + 4)
    processes[1].kill()
    killed = time.monotonic()
    statuses, outputs = ends(processes)
    assert time.monotonic() - killed < 60
    assert statuses[0] == 2, outputs
    assert "Process 0 of 2 lost the others" in outputs[0]
    assert "goes on from its last checkpoint" in outputs[0]

    total = max(steps(two)) + 4
    statuses, outputs = ends(start(two, f"--config.train.num_steps={total}"))
    assert statuses == [0, 0], outputs
    assert "Trained." in outputs[0] and "Trained." not in outputs[1]  # one of them speaks

    # Two devices of one process, because sums of other parts would soon be other trainings.
    config.update_from_flattened_dict(CHANGES | {"train.num_steps": total, "mesh.data": 2})
    expected = train.run(config, one)
    info = run_folder.read_info(two)
    found = run_folder.restore(two, run_folder.experiment(two), info, None).state
    assert int(found.step) == total
    for name, net in in_float64(config, tmp_path / "exact").nets.items():
        sides = found.nets[name], expected.nets[name], net
        assert_no_further(*((x.params, x.model_state) for x in sides), size=of_layer)
    lines = {path: (path / "metrics.jsonl").read_text().count("\n") for path in (one, two)}
    assert lines[one] == lines[two]  # nothing was written twice
    (mine,), (theirs,) = map(evaluation_record.read, (two, one))
    assert mine["step"] == total
    assert mine["values"]["fcd"] == pytest.approx(theirs["values"]["fcd"], rel=0.02)


def in_float64(config, workdir):
    """The state that a run ends with when nothing is rounded."""
    config.evaluators.quality.every_steps = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "jit_chunk", exact_chunk)
        return train.run(config, workdir)


RESAVE = """
import sys
from pathlib import Path
import jax
from gans import parallel
from gans.config import build
from gans.parallel import hosts, mesh
from gans.runs import run_folder
from gans.runs.checkpoints import Checkpoints

run, out, coordinator, number = sys.argv[1:]
hosts.connect(coordinator, 2, int(number))
mesh._SMALL = 8
config, info = run_folder.read_config(Path(run)), run_folder.read_info(Path(run))
shapes = jax.eval_shape(build.of_run(config).start(info), jax.random.key(0))
lives = parallel.shardings(shapes, parallel.make_mesh(), fsdp=True)
target = jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, lives
)
restored = Checkpoints(Path(run) / "checkpoints", read_only=True).restore(target)
divided = [x for x in jax.tree.leaves(restored.state) if not x.is_fully_addressable]
assert any(x.addressable_shards[0].data.size == x.size // 2 for x in divided)
with Checkpoints(Path(out) / "checkpoints") as checkpoints:
    checkpoints.save(restored.step, restored.state, restored.position)
"""


def test_two_processes_restore_and_save_what_one_has_saved_to_the_last_bit(tmp_path, config):
    run, out = tmp_path / "run", tmp_path / "out"
    config.update_from_flattened_dict(CHANGES | {"train.num_steps": 2})
    train.run(config, run)
    command = [sys.executable, "-c", RESAVE, run, out, f"127.0.0.1:{free_port()}"]
    processes = [
        subprocess.Popen(
            [*map(str, command), str(number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    statuses, outputs = ends(processes)
    assert statuses == [0, 0], outputs
    made, info = run_folder.experiment(run), run_folder.read_info(run)
    first, second = (run_folder.restore(path, made, info, None) for path in (run, out))
    assert first.step == second.step and first.position == second.position
    for mine, theirs in zip(*map(jax.tree.leaves, (first.state, second.state)), strict=True):
        assert mine.dtype == theirs.dtype
        if jax.numpy.issubdtype(mine.dtype, jax.dtypes.prng_key):
            mine, theirs = jax.random.key_data(mine), jax.random.key_data(theirs)
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


def test_different_configs_are_refused_by_all(tmp_path):
    statuses, outputs = ends(start(tmp_path / "run", each=((), ("--config.seed=3",))))
    assert statuses == [2, 2]
    for text in outputs:
        assert "started with different configs:\n  seed: 2 in process 0, 3 in 1" in text
    assert not (tmp_path / "run").exists()


def test_a_coordinator_that_is_not_there_is_not_waited_for_in_vain():
    with pytest.raises(UserError, match="Process 0 could not be reached at 127.0.0.1:.* for 1 s"):
        hosts.connect(f"127.0.0.1:{free_port()}", 2, 1, timeout=1)


@pytest.mark.parametrize(
    "given, complaint",
    [
        (("127.0.0.1", 2, 1), "must have the form host:port"),
        (("127.0.0.1:80", 2, 2), "--process_id=2 must be below --num_processes=2"),
        ((None, None, None), "start under Slurm or on a TPU pod, or give --coordinator"),
    ],
)
def test_what_lacks_to_join_is_said(given, complaint):
    with pytest.raises(UserError, match=complaint):
        hosts.connect(*given, timeout=60)


def test_another_server_is_not_taken_for_the_coordinator():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(99)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=f"What listens at {address} is not process 0"):
            hosts.connect(address, 2, 1, timeout=10)
        thread.join()


def test_a_coordinator_that_hangs_up_is_asked_again():
    """As the one of an earlier start, which is just ending."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            server.accept()[0].close()
            with server.accept()[0] as connection:
                connection.recv(99)
                for part in (b"\0\0\6\4", b"\0\0\0\0\0", b"\0\3\0\0\0\1"):  # one setting
                    connection.sendall(part)
                    time.sleep(0.05)

        thread = threading.Thread(target=answer)
        thread.start()
        hosts._reach(f"127.0.0.1:{server.getsockname()[1]}", 1, timeout=10)
        thread.join()


def test_others_that_never_come_are_waited_for_so_long_and_then_said_to_lack():
    address = f"127.0.0.1:{free_port()}"
    code = f"from gans.parallel import hosts; hosts.connect({address!r}, 2, 0, timeout=2)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    waiting, sentence = result.stderr.splitlines()
    assert waiting.startswith("Waiting at 127.0.0.1:")
    assert sentence.startswith("error: Not all 2 processes came within 2 s: start each of them")


def test_an_error_of_ones_own_is_not_blamed_on_others(monkeypatch):
    lost = ValueError("Gloo all-reduce failed")
    assert hosts.whose_fault(lost) is None  # there is no other
    monkeypatch.setattr(hosts, "are_several", lambda: True)
    assert "lost the others (Gloo all-reduce failed)" in hosts.whose_fault(lost)
    assert hosts.whose_fault(ValueError("negative dimensions")) is None
    short = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")
    assert hosts.whose_fault(short) is None

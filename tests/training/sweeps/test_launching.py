"""Trainings as jobs: signals save once, failures are reported, and a sweep goes on."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import submitit

from gans.errors import UserError
from gans.training.sweeps import launching, local, slurm
from gans.training.sweeps.launching import Failed, Training

ROOT = pathlib.Path(__file__).parents[3]

# Stands for a training: the first signal saves, and a second one would end it without.
STUB = """
import os, signal, sys, time
folder = sys.argv[1]
asked = []
def receive(number, frame):
    asked.append(number)
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, receive)
signal.signal(signal.SIGTERM, receive)
open(os.path.join(folder, "ready"), "w").close()
while not asked and not os.path.exists(os.path.join(folder, "go")):
    time.sleep(0.01)
if asked:
    time.sleep(0.5)
    open(os.path.join(folder, "saved"), "w").close()
    sys.exit(130)
"""
WHERE = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], *sorted(os.sched_getaffinity(0)))"
CODE = {
    "good": "print('good')",
    "bad": "print('wrong'); raise SystemExit(2)",
    "stub": STUB,
    "where": WHERE,
}


def training(workdir, code):
    made = Training(workdir, ("-c", CODE[code], str(workdir)))
    made.announce()
    return made


def wait_for(path):
    for _ in range(1000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def test_a_job_ends_well_or_fails_with_its_log(tmp_path):
    executor = submitit.LocalExecutor(tmp_path / "files")
    executor.update_parameters(timeout_min=5)
    good, bad = (executor.submit(training(tmp_path / name, name)) for name in ("good", "bad"))
    assert good.result() is True
    assert "status 2" in str(bad.exception())
    assert launching.tail(tmp_path / "good") == ["good"]
    assert launching.tail(tmp_path / "bad") == ["wrong"]
    with pytest.raises(Failed, match="status 2; see .*train.log"):
        training(tmp_path / "bad", "bad")()
    assert launching.tail(tmp_path / "bad") == ["wrong"]  # of the last start alone


@pytest.mark.parametrize("everyone", [False, True])
def test_signals_to_anyone_any_number_of_times_save_once(tmp_path, everyone):
    workdir = tmp_path / "run"
    job = training(workdir, "stub")
    code = (
        "import sys; from pathlib import Path\n"
        "from gans.training.sweeps.launching import Training\n"
        f"sys.exit(Training(Path({str(workdir)!r}), {job.command!r})())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_for(workdir / "ready")
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    targets = [process.pid]
    if everyone:  # as a batch system does
        targets += map(int, children.read_text().split())
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM):
        for pid in targets:
            os.kill(pid, number)
        time.sleep(0.05)
    assert process.wait(timeout=20) == 0  # False: it may go on
    assert (workdir / "saved").exists()


def test_a_sweep_goes_past_a_failure_and_reports_it(tmp_path, capsys):
    trainings = [training(tmp_path / name, name) for name in ("bad", "good")]
    assert local.launch(trainings, parallel=2, done=3) == 1
    shown = capsys.readouterr()
    assert "4 of 5 points are trained" in shown.out
    assert f"bad failed. The end of {tmp_path / 'bad' / 'train.log'}:\n  wrong\n" in shown.err


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_points_at_once_have_their_shares_and_the_sweep_keeps_the_whole(tmp_path, monkeypatch):
    before = os.sched_getaffinity(0)
    cores = sorted(before)[:2]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setattr(local, "_cores", lambda: set(cores))
    trainings = [training(tmp_path / name, "where") for name in "abcd"]
    assert local.launch(trainings, parallel=2) == 0
    seen = [launching.tail(job.workdir) for job in trainings]
    shares = [[f"4 {cores[0]}"], [f"5 {cores[1]}"]]
    assert all(each in shares for each in seen)
    assert os.sched_getaffinity(0) == before


def test_a_training_that_cannot_be_started_is_one_that_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(launching.sys, "executable", str(tmp_path / "none"))
    assert local.launch([training(tmp_path / "a", "good")], parallel=1) == 1
    shown = capsys.readouterr()
    assert "a: cannot be started (No such file or directory)" in shown.err
    assert "0 of 1 points are trained" in shown.out


def test_after_an_error_of_the_sweep_itself_none_trains_on_unwatched(tmp_path, monkeypatch):
    trainings = [training(tmp_path / name, "stub") for name in ("a", "b")]
    (tmp_path / "b" / "go").touch()

    def write(bar, line, file):
        if line == "b: trained":
            wait_for(tmp_path / "a" / "ready")
            raise BrokenPipeError

    monkeypatch.setattr(local.tqdm, "write", write)
    with pytest.raises(BrokenPipeError):
        local.launch(trainings, parallel=2)
    assert (tmp_path / "a" / "saved").exists() and not (tmp_path / "b" / "saved").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_a_sweep_save_once_and_say_how_to_go_on(tmp_path, number):
    """Ctrl-C at the terminal is for all processes there; a batch system signals all, and twice."""
    names = ("a", "b", "c")
    jobs = [training(tmp_path / name, "stub") for name in names]
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from gans.training.sweeps import local
        from gans.training.sweeps.launching import Training
        jobs = {[(str(job.workdir), job.command) for job in jobs]!r}
        jobs = [Training(Path(workdir), command) for workdir, command in jobs]
        sys.exit(local.launch(jobs, parallel=2))
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for name in names[:2]:
        wait_for(tmp_path / name / "ready")
    children = [
        int(pid)
        for path in pathlib.Path(f"/proc/{process.pid}/task").glob("*/children")
        for pid in path.read_text().split()
    ]
    assert len(children) == 2
    os.killpg(process.pid, number)
    if number == signal.SIGTERM:
        for pid in [*children, process.pid, *children]:
            os.kill(pid, number)
            time.sleep(0.05)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert "0 of 3 points are trained" in out
    assert "the same command goes on from there" in err and "Traceback" not in err
    assert [(tmp_path / name / "saved").exists() for name in names] == [True, True, False]
    assert not (tmp_path / "c" / "ready").exists()


def test_gpus_and_cores_are_shared_out_evenly(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,GPU-7,8")
    monkeypatch.setattr(local, "_cores", lambda: set(range(10, 17)))
    parts = local.shares(2)
    assert [part.environment["CUDA_VISIBLE_DEVICES"] for part in parts] == ["4,5", "6,GPU-7"]
    assert [part.cores for part in parts] == [(10, 11, 12), (13, 14, 15)]
    assert local.shares(1) == [launching.Share()]
    with pytest.raises(UserError, match="cannot have a GPU each, for there are 5"):
        local.shares(6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [part.cores for part in local.shares(8)] == [()] * 8


@pytest.mark.parametrize(
    "state, may, again",
    [("RUNNING", True, True), ("COMPLETING", True, False), ("RUNNING", False, False)],
)
def test_a_stopped_job_is_queued_again_unless_it_was_cancelled(monkeypatch, state, may, again):
    queued = []
    monkeypatch.setattr(slurm, "state", lambda job: state if job == "7" else "")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    before = signal.signal(signal.SIGUSR2, lambda number, frame: queued.append(number))
    try:
        slurm.Requeued(may)(lambda log: True)
        assert queued == []
        slurm.Requeued(may)(lambda log: False)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert queued == [signal.SIGUSR2] * again


def test_the_batch_script_has_what_was_asked_for(tmp_path):
    from submitit.slurm.slurm import _make_sbatch_string

    from configs.launchers import slurm as asked

    parameters = asked.get_config()
    parameters.update(partition="gpu", gpus_per_node=8, nodes=2, setup=("module load cuda",))
    fields = slurm.sbatch(parameters, ["account=vision", "exclusive"])
    lines = _make_sbatch_string("train", tmp_path, map_count=3, **fields).splitlines()
    for flag in (
        "partition=gpu", "gpus-per-node=8", "nodes=2", "time=240", "requeue", "array=0-2%3",
        "account=vision", "exclusive", "signal=USR2@120",
    ):  # fmt: skip
        assert f"#SBATCH --{flag}" in lines
    assert "module load cuda" in lines
    assert not any("mem" in line for line in lines)


def test_without_slurm_there_is_a_sentence(tmp_path, monkeypatch):
    from configs.launchers import slurm as asked

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch here"):
        slurm.launch([], tmp_path, parameters=asked.get_config(), extra=[])

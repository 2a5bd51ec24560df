"""Trainings on this machine, several at once, each with its own share of the devices.

submitit's `LocalExecutor` starts whatever it is given at once, so it is fed as shares get free. It
would end a job after minutes unless told otherwise, and would have no GPU seen without a count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import submitit
from tqdm import tqdm

from gans.errors import UserError
from gans.training import stopping
from gans.training.sweeps.launching import LOG, Share, Training, tail

_DEVICES = "CUDA_VISIBLE_DEVICES"
_YEAR = 60 * 24 * 365  # minutes
_POLL = 0.2  # seconds


def launch(trainings: Sequence[Training], folder: Path, *, parallel: int, done: int = 0) -> int:
    """Runs them, reports each, and stops them when a signal says so.

    Args:
      trainings: to run.
      folder: for submitit's files.
      parallel: how many at once.
      done: how many others of the sweep are trained already.

    Returns:
      The exit status: 0 if all were trained, 1 if any failed, 128 and the signal's number if one
      stopped them.

    Raises:
      UserError: there are fewer GPUs than `parallel`.
    """
    parts = shares(parallel)
    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(timeout_min=_YEAR, stderr_to_stdout=True)
    for training in trainings:
        training.announce()
    total = done + len(trainings)
    bar = tqdm(
        desc="sweep",
        initial=done,
        total=total,
        unit="point",
        disable=None,
        bar_format="{desc} {percentage:3.0f}%|{bar:20}| {n}/{total} [{elapsed}<{remaining}]",
    )
    with bar, stopping.received("Stopping: the trainings under way save first.") as received:
        failed, stopped = _feed(executor, list(trainings), parts, received, bar)
    trained = total - len(failed) - stopped
    print(f"{trained} of {total} points are trained.", flush=True)
    for training in failed:
        lines = "\n".join(f"  {line}" for line in tail(training.workdir))
        path = training.workdir / LOG
        print(f"\n{training.name} failed. The end of {path}:\n{lines}", file=sys.stderr)
    if received and stopped:
        print(
            f"\nStopped by {signal.Signals(received[0]).name}; what was under way is saved, and "
            "the same command goes on from there.",
            file=sys.stderr,
        )
        return 128 + received[0]
    return 1 if failed else 0


def _feed(
    executor: submitit.LocalExecutor,
    waiting: list[Training],
    free: list[Share],
    received: list[int],
    bar: tqdm,
) -> tuple[list[Training], int]:
    """Those that failed, and how many were stopped or never begun because a signal came."""
    running: list[tuple[submitit.Job, Training]] = []
    failed: list[Training] = []
    stopped = 0
    while running or (waiting and not received):
        while waiting and free and not received:
            training = dataclasses.replace(waiting.pop(0), share=free.pop(0))
            bar.write(f"{training.name}: begins, see {training.workdir / LOG}", file=sys.stderr)
            running.append((_submit(executor, training), training))
        time.sleep(_POLL)
        for job, training in [pair for pair in running if pair[0].done()]:
            running.remove((job, training))
            free.append(training.share)
            # Without a result, because it was killed, it is an exception too.
            is_failed = job.exception() is not None
            if received and (is_failed or not job.result()):
                stopped += 1
                outcome = "stopped"
            elif is_failed or not job.result():
                failed.append(training)
                outcome = "failed"
            else:
                bar.update()
                outcome = "trained"
            bar.write(f"{training.name}: {outcome}", file=sys.stderr)
        if received:
            # Again and again: a process that is just starting hears nothing.
            _stop([job for job, _ in running])
    return failed, stopped + len(waiting)


def _submit(executor: submitit.LocalExecutor, training: Training) -> submitit.Job:
    """Starts it such that Ctrl-C at the terminal, which all processes there get, is not for it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return executor.submit(training)
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(jobs: Sequence[submitit.Job]) -> None:
    """Has jobs save and end: submitit's own `cancel` would kill them a second later."""
    for job in jobs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(job.job_id), signal.SIGTERM)  # the job's number is its process's


def shares(parallel: int) -> list[Share]:
    """The machine in equal parts, so that all points are trained alike.

    GPUs and CPU cores that cannot be shared out evenly stay idle. One part alone is everything.

    Raises:
      UserError: there are GPUs, but fewer than `parallel`.
    """
    devices, cores = _gpus(), sorted(_cores())
    if parallel == 1:
        # submitit sets it, so that it has to be set back.
        return [Share({_DEVICES: os.environ.get(_DEVICES)})]
    if 0 < len(devices) < parallel:
        raise UserError(
            f"--parallel={parallel} trainings cannot have a GPU each, for there are {len(devices)}."
        )
    each, per = len(devices) // parallel, len(cores) // parallel
    return [
        Share(
            {_DEVICES: ",".join(devices[i * each : (i + 1) * each])},
            # More trainings than cores share all of them.
            tuple(cores[i * per : (i + 1) * per]),
        )
        for i in range(parallel)
    ]


def _gpus() -> list[str]:
    """The names of the GPUs that are to be seen."""
    if _DEVICES in os.environ:
        names = map(str.strip, os.environ[_DEVICES].split(","))
        return [name for name in names if name and not name.startswith("-")]  # -1 is none
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).split()
    return []


def _cores() -> set[int]:
    """The CPU cores this process may use; none where the system keeps no such thing (macOS)."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()

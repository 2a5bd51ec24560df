"""Trainings on this machine, several at once, each with its own share of the devices."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent import futures

from tqdm import tqdm

from gans.errors import UserError
from gans.training import stopping
from gans.training.sweeps.launching import LOG, Processes, Share, Training, tail

_DEVICES = "CUDA_VISIBLE_DEVICES"


def launch(trainings: Sequence[Training], *, parallel: int, done: int = 0) -> int:
    """Runs them, reports each, and stops them when a signal says so.

    Args:
      trainings: to run.
      parallel: how many at once.
      done: how many others of the sweep are trained already.

    Returns:
      The exit status: 0 if all were trained, 1 if any failed, 128 and the signal's number if one
      stopped them.

    Raises:
      UserError: there are fewer GPUs than `parallel`.
    """
    parts, waiting = shares(parallel), iter(trainings)
    for training in trainings:
        training.announce()
    bar = tqdm(
        desc="sweep",
        initial=done,
        total=done + len(trainings),
        unit="point",
        disable=None,
        bar_format="{desc} {percentage:3.0f}%|{bar:20}| {n}/{total} [{elapsed}<{remaining}]",
    )
    processes = Processes()
    outcomes: dict[str, list[Training]] = {"trained": [], "stopped": [], "failed": []}

    def say(training: Training, what: str) -> None:
        bar.write(f"{training.name}: {what}", file=sys.stderr)

    def train(share: Share) -> None:
        """Trains, one after another, those that no other thread has taken."""
        for training in waiting:
            if processes.are_stopped:
                break
            say(training, f"begins, see {training.workdir / LOG}")
            try:
                status = processes.run(training, share=share)
            except OSError as error:
                status = 1
                say(training, f"cannot be started ({error.strerror or error})")
            outcome = "trained" if status == 0 else "stopped" if processes.are_stopped else "failed"
            outcomes[outcome].append(training)
            bar.update(status == 0)
            say(training, outcome)

    stop = stopping.received("Stopping: the trainings under way save first.", processes.stop)
    with bar, stop as received, futures.ThreadPoolExecutor(parallel) as pool:
        try:
            for thread in futures.as_completed([pool.submit(train, part) for part in parts]):
                thread.result()
        finally:
            processes.stop()  # after an error none may train on unwatched
    return _report(outcomes, len(trainings), done, received)


def _report(
    outcomes: Mapping[str, Sequence[Training]], count: int, done: int, received: Sequence[int]
) -> int:
    """Prints what became of so many trainings, signals having been received; the exit status."""
    trained, failed = len(outcomes["trained"]), outcomes["failed"]
    print(f"{done + trained} of {done + count} points are trained.", flush=True)
    for training in failed:
        lines = "\n".join(f"  {line}" for line in tail(training.workdir))
        path = training.workdir / LOG
        print(f"\n{training.name} failed. The end of {path}:\n{lines}", file=sys.stderr)
    if received and trained + len(failed) < count:
        print(
            f"\nStopped by {signal.Signals(received[0]).name}; what was under way is saved, and "
            "the same command goes on from there.",
            file=sys.stderr,
        )
        return 128 + received[0]
    return 1 if failed else 0


def shares(parallel: int) -> list[Share]:
    """The machine in equal parts, so that all points are trained alike.

    GPUs and CPU cores that cannot be shared out evenly stay idle. One part alone is everything.

    Raises:
      UserError: there are GPUs, but fewer than `parallel`.
    """
    devices, cores = _gpus(), sorted(_cores())
    if parallel == 1:
        return [Share()]
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

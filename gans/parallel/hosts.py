"""Several processes that train one run together, each with its own devices.

JAX's multi-controller runtime does the work. Every process runs the same program, and all of them
must make the calls that compute on shared arrays in the same order. The first process alone writes
files, except for checkpoints, to which every process adds its shards. The run folder is on storage
that all processes share.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from gans.errors import UserError

_HEARTBEAT = 20  # seconds of silence after which a process counts as dead
_SHUTDOWN = 15  # seconds that the others are waited for at the end
_OWN = ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")  # errors that no other process causes
_DUMP = 30  # seconds more, after which the runtime ends the program by itself
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # a frame: its length, its type, its flags, its stream
_VISIBLE = 60  # seconds that network storage may take to show a file to other hosts


def connect(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout: int = 120,
) -> None:
    """Joins the other processes; before JAX is used for anything else.

    What is not given is taken from the environment that Slurm, a TPU pod, Open MPI or Kubernetes
    provides, see `jax.distributed.initialize`.

    Args:
      coordinator: `host:port` of process 0.
      num_processes: how many there are.
      process_id: which of them this is.
      timeout: seconds to wait for the others.

    Raises:
      UserError: something lacks, or the coordinator cannot be reached in time.
    """
    if num_processes is not None and process_id is not None and process_id >= num_processes:
        raise UserError(
            f"--process_id={process_id} must be below --num_processes={num_processes}: they are "
            "counted from 0."
        )
    if coordinator is not None and process_id is not None:
        _reach(coordinator, process_id, timeout)
    # JAX would watch for SIGTERM itself, and count the calls of orbax, which asks it at each save,
    # and of `gans.training.stopping` as one: after a save no process ever came to the count agreed
    # upon.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with _in_time(timeout, num_processes):
            jax.distributed.initialize(
                coordinator,
                num_processes,
                process_id,
                initialization_timeout=timeout + _DUMP,
                heartbeat_timeout_seconds=_HEARTBEAT,
                shutdown_timeout_seconds=_SHUTDOWN,
            )
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(
            f"Could not join the other processes ({str(error).splitlines()[0]}): start under "
            "Slurm or on a TPU pod, or give --coordinator=host:port, --num_processes and "
            "--process_id."
        ) from error


@contextlib.contextmanager
def _in_time(timeout: int, num_processes: int | None) -> Iterator[None]:
    """Ends the program in a sentence if joining takes longer than `timeout` seconds.

    The runtime would end it, too, with a dump of its own that names no cause.
    """

    def end() -> None:
        count = "" if num_processes is None else f"{num_processes} "
        print(
            f"error: Not all {count}processes came within {timeout} s: start each "
            "of them, with the same --coordinator and --num_processes and a --process_id of its "
            "own; --connect_timeout allows them more time.",
            file=sys.stderr,
            flush=True,
        )
        # Not sys.exit, which would end this thread alone.
        os._exit(2)

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _reach(coordinator: str, process_id: int, timeout: int) -> None:
    """Waits until process 0 listens, because the runtime ends the program if it does not."""
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise UserError(f"--coordinator={coordinator} must have the form host:port.")
    if process_id == 0:
        print(f"Waiting at {coordinator} for the others, {timeout} s at most.", file=sys.stderr)
        return
    end = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as connection:
                _require_runtime(connection, coordinator)
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() > end:
                reason = getattr(error, "strerror", None) or error
                raise UserError(
                    f"Process 0 could not be reached at {coordinator} for {timeout} s "
                    f"({reason}): start it, and see that --coordinator is its address and that "
                    "the port is open."
                ) from error
            time.sleep(0.5)


def _require_runtime(connection: socket.socket, coordinator: str) -> None:
    """Raises UserError if what listens is not JAX's runtime, which would be waited for in vain.

    It speaks gRPC, hence HTTP/2, in which either side begins with its settings (RFC 9113,
    section 3.4).
    """
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS)
    with connection.makefile("rb") as stream:  # which reads on where a part has come
        answer = stream.read(len(_SETTINGS))
    if len(answer) < len(_SETTINGS):  # as of one that is just ending, whose port is free soon
        raise ConnectionError("it hung up")
    if answer[3:4] != _SETTINGS[3:4] or answer[5:] != _SETTINGS[5:]:
        raise UserError(
            f"What listens at {coordinator} is not process 0 of a training: give "
            "--coordinator its address, and a port that nothing else uses."
        )


def is_first() -> bool:
    """Whether this process is the one that writes files."""
    return jax.process_index() == 0


def are_several() -> bool:
    """Whether several processes train together."""
    return jax.process_count() > 1


def all_agree(yes: bool) -> bool:
    """Whether `yes` is true in every process; all processes have to call this."""
    return yes if not are_several() else bool(multihost_utils.process_allgather(yes).all())


def of_first(value: Any) -> Any:
    """The first process's value, a JSON value; all processes have to call this."""
    if not are_several():
        return value
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    padded = np.zeros(size, np.uint8)
    if is_first():
        padded[:] = text
    return json.loads(multihost_utils.broadcast_one_to_all(padded).tobytes())


@contextlib.contextmanager
def first_ahead() -> Iterator[None]:
    """Runs the context in the first process, and then in the others."""
    if not is_first():
        multihost_utils.sync_global_devices("the first is through")
    yield
    if is_first() and are_several():
        multihost_utils.sync_global_devices("the first is through")


def require_same(config: Mapping[str, Any]) -> None:
    """Raises UserError, on every process, unless all of them have the same config.

    Args:
      config: flat, of JSON values.
    """
    if not are_several():
        return
    text = np.frombuffer(json.dumps(config, sort_keys=True).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(len(text)))
    padded = np.full(sizes.max(), ord(" "), np.uint8)
    padded[: len(text)] = text
    first, *others = map(
        json.loads, (row.tobytes() for row in multihost_utils.process_allgather(padded))
    )
    for number, other in enumerate(others, start=1):
        names = sorted(first.keys() | other.keys())
        different = [name for name in names if first.get(name) != other.get(name)]
        if different:
            shown = "".join(
                f"\n  {name}: {first.get(name)!r} in process 0, {other.get(name)!r} in {number}"
                for name in different
            )
            raise UserError(f"The processes were started with different configs:{shown}")


def require_shared(path: Path) -> None:
    """Raises UserError unless this process sees a file that the first one has written."""
    end = time.monotonic() + _VISIBLE
    while not path.exists():
        if time.monotonic() > end:
            raise UserError(
                f"Process {jax.process_index()} does not see {path}, which process 0 has written: "
                "the run folder must be on storage that all hosts share."
            )
        time.sleep(0.5)


def whose_fault(error: BaseException) -> str | None:
    """The message for an error that the loss of another process caused, else None."""
    if error.__cause__ is not None:  # as of a checkpoint that could not be written
        return whose_fault(error.__cause__)
    # On the CPU the runtime raises ValueError.
    lost = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
    if not (are_several() and lost) or str(error).startswith(_OWN):
        return None
    return (
        f"Process {jax.process_index()} of {jax.process_count()} lost the others "
        f"({str(error).splitlines()[0][:200]}): one of them has ended, and its own output says "
        "why. Start all of them again; the run goes on from its last checkpoint."
    )

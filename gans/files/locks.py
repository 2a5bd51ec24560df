"""Locks that the system drops when their process ends, however it ends.

By `flock` on an open file, which stays. The package filelock, where a disk has no `flock`, takes
the existence of a file for a lock, which outlives a process that was killed, and does so for ENOSYS
alone, not for ENOLCK; told not to, it raises what a file that cannot be opened raises, too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from gans.errors import UserError

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def locked(path: Path, held: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of a file, and goes on without, saying so, on a disk that has no locks.

    Args:
      path: the file, made if absent, and never changed.
      held: called if another process has the lock; unless it raises, that one is waited for.

    Raises:
      UserError: the file is a link.
      OSError: it cannot be opened for writing.
    """
    try:
        # What a link leads to is not ours; and a FIFO, or a file that is leased, is not waited for.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path} is a link, where a file is to be locked: delete it.") from None
        raise
    try:
        _take(file, path, held)
        yield
    finally:
        os.close(file)


def _take(file: int, path: Path, held: Callable[[], None]) -> None:
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise
            held()
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        print(
            f"The disk of {path.parent} has no locks ({error.strerror or error}): going on without "
            "one; let no other process write there meanwhile.",
            file=sys.stderr,
        )

"""What to say of errors that are the machine's, and not the program's."""

from __future__ import annotations

import errno
import os
import sys

_OF_FILES = (
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENFILE,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
)
"""What a file system answers though a program does all right."""


def complaint(error: BaseException) -> str | None:
    """One sentence about an error of files, memory or devices; None of any other error."""
    return _of_files(error) or _of_memory(error) or _of_devices()


def _of_files(error: BaseException) -> str | None:
    if not isinstance(error, OSError) or error.errno not in _OF_FILES:
        return None
    name = error.filename if isinstance(error.filename, str | bytes) else ""
    where = f" {os.fsdecode(name)}" if name else ""
    return (
        f"The file system refuses{where}: {error.strerror}; make room or allow it, and start again."
    )


def _of_memory(error: BaseException) -> str | None:
    text = str(error)
    if not isinstance(error, MemoryError) and not text.startswith("RESOURCE_EXHAUSTED"):
        return None
    first = text.splitlines()[0][:200] if text else "no more is to be had"
    return (
        f"There is not enough memory ({first}): take a smaller batch, smaller images or networks, "
        "or, in training, set train.remat to True."
    )


def _of_devices() -> str | None:
    """Whether JAX has no device to compute on, whatever error that led to."""
    if "jax" not in sys.modules:
        return None
    import jax

    try:
        jax.devices()
    except Exception as error:  # which ones, is up to JAX: an AssertionError among them
        reason = f" ({str(error).splitlines()[0]})" if str(error) else ""
        asked = os.environ.get("JAX_PLATFORMS")
        if not asked:
            return f"JAX finds no device{reason}: set JAX_PLATFORMS=cpu to use the processor."
        return (
            f"JAX_PLATFORMS={asked} asks for devices that are not to be had here{reason}: unset "
            "it, or set JAX_PLATFORMS=cpu to use the processor; for a GPU, its driver and "
            "jax[cuda12] must be installed."
        )
    return None

"""What a command sets before JAX starts: where compiled programs and freed memory are kept."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os

from gans import cache

_CACHE_BYTES = 2**30  # of compiled programs; those not used for longest go first

# Parameters of glibc's mallopt, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def prepare() -> None:
    """To be called before JAX is imported, by a program that is this project's alone."""
    keep_programs()
    keep_freed_memory()


def keep_programs() -> None:
    """Lets JAX find its compiled programs again the next time: see `gans.cache`.

    JAX's own variables have their way, and JAX_ENABLE_COMPILATION_CACHE=0 switches it off.
    """
    defaults = {
        "JAX_COMPILATION_CACHE_DIR": str(cache.folder() / "programs"),
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(_CACHE_BYTES),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        for name, value in defaults.items():
            os.environ.setdefault(name, value)


def keep_freed_memory() -> None:
    """Lets this process keep the memory that it frees, where there is no accelerator.

    XLA asks for the memory of a whole step at once, and frees it after the step. glibc hands a
    piece that large back to the system, which clears its pages anew for the next step, each
    with a page fault: 20,000 in a step of a DCGAN of 32 images, a sixth of its time. Pieces of
    one heap that never shrinks are simply used again.

    Threads that JAX has started already have heaps of their own, too small for it. Does nothing
    where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or _has_accelerator():
        return
    mallopt(_ARENA_MAX, 1)
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)


def _has_accelerator() -> bool:
    """Whether JAX may find one: whether more of it is installed than what runs on the CPU."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return bool(plugins) or importlib.util.find_spec("libtpu") is not None

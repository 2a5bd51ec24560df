"""What a command sets before JAX starts: where compiled programs and freed memory are kept."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys

from gans.files import cache

_CACHE_BYTES = 2**30  # of compiled programs; those not used for longest go first

# Of glibc's malloc: the manual's "Memory Allocation Tunables". There are as many heaps as glibc
# makes: one for all threads would never see a page fault, but a step of a CycleGAN asks for
# 100,000 pieces, and threads then wait for each other 3,000 times: the step took up to 1.3 times as
# long, and the heap grew.
_MALLOC = (
    "hugetlb=1",  # asks for large pages, where the system leaves that to programs
    "mmap_max=0",  # pieces of any size are from a heap, where it is large enough for them,
    f"trim_threshold={2**62}",  # and freed ones are never given back from its end
)


def prepare() -> None:
    """To be called first of all, by a program that is this project's alone."""
    keep_freed_memory()
    keep_programs()


def keep_programs() -> None:
    """Lets JAX find its compiled programs again the next time: see `gans.files.cache`.

    JAX's own variables have their way, each of them alone, and JAX_ENABLE_COMPILATION_CACHE=0
    switches it off. A folder of one's own is not limited: JAX would delete what others keep there,
    and where they wrote without a limit it finds no times of access, and keeps nothing.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache.folder() / "programs")
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_CACHE_BYTES))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def keep_freed_memory() -> None:
    """Lets this process keep the memory that it frees, where there is no accelerator.

    XLA asks for the memory of a whole step at once, and frees it after the step. glibc hands a
    piece that large back to the system, which clears its pages anew for the next step, each
    with a page fault: 18,000 in a step of a DCGAN of 32 images, a fifth of its time. Pieces of
    the main heap are used again, and all others are of large pages: some hundred faults.

    glibc reads such settings when a process begins, so the program begins anew, with the same
    arguments: call this first. Does nothing where GLIBC_TUNABLES is set already, under a
    debugger, or where the C library is not glibc.
    """
    glibc = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})
    if not glibc or "GLIBC_TUNABLES" in os.environ or sys.gettrace() or _has_accelerator():
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(f"glibc.malloc.{x}" for x in _MALLOC)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _has_accelerator() -> bool:
    """Whether JAX may find one: whether more of it is installed than what runs on the CPU."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return bool(plugins) or importlib.util.find_spec("libtpu") is not None

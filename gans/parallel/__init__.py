"""Devices and processes: the only package that knows meshes, shardings and hosts.

`gans.parallel.mesh` says where arrays live, `gans.parallel.chunks` compiles a training step over
them, and `gans.parallel.hosts` keeps several processes in step.
"""

from gans.parallel.chunks import (
    Chunk,
    Step,
    ToBatch,
    jit_chunk,
    loop_chunk,
    scan_chunk,
)
from gans.parallel.mesh import (
    DATA,
    Devices,
    check_batch_size,
    check_memory,
    fetch,
    gathered,
    largest,
    make_mesh,
    put,
    replicated,
    shardings,
    share,
    share_out,
)

__all__ = [
    "DATA",
    "Chunk",
    "Devices",
    "Step",
    "ToBatch",
    "check_batch_size",
    "check_memory",
    "fetch",
    "gathered",
    "jit_chunk",
    "largest",
    "loop_chunk",
    "make_mesh",
    "put",
    "replicated",
    "scan_chunk",
    "share",
    "share_out",
    "shardings",
]

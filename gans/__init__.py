"""GANs in JAX, as readable as a paper.

import gans
images = gans.load("runs/digits").sample(64)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gans.sampling import Sampler


def load(workdir: str | Path, *, step: int | None = None) -> Sampler:
    """A sampler of the generator trained in a run folder: see `gans.sampling.load`."""
    # Imported late, so that `import gans` costs nothing.
    from gans import sampling

    return sampling.load(workdir, step=step)

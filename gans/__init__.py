"""GANs in JAX, as readable as a paper.

import gans
images = gans.load("runs/digits").sample(64)
painted = gans.load_translator("runs/monet", direction="b_to_a").translate(photo)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gans.inference.sampling import Sampler, Step
    from gans.inference.translating import Translator


def load(workdir: str | Path, *, step: Step = None) -> Sampler:
    """A sampler of the generator trained in a run folder: see `gans.inference.sampling.load`."""
    # Imported late, so that `import gans` costs nothing.
    from gans.inference import sampling

    return sampling.load(workdir, step=step)


def load_translator(
    workdir: str | Path, *, direction: str = "b_to_a", step: Step = None
) -> Translator:
    """A translator by the generator of one direction: see `gans.inference.translating.load`."""
    from gans.inference import translating

    return translating.load(workdir, direction=direction, step=step)

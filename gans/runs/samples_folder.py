"""The sample pictures of a run folder, and the page that shows them under a slider.

samples/epoch_0001_step_0001875.png    one picture
samples.html                           all of them

There are never more of them than a person would look through: of too many, or too large ones
together, those go that leave the smallest gaps, so that the rest are spread evenly over training,
and the first and the newest stay.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from gans.files.writing import atomic, remove_temporaries
from gans.runs.samples_page import samples_page

FOLDER = "samples"
PAGE = "samples.html"

_PICTURES = "epoch_*_step_*.png"
_MOST = 500
_MOST_BYTES = 256 * 2**20


class SamplesFolder:
    """The pictures of one run.

    Args:
      workdir: the run folder.
    """

    def __init__(self, workdir: Path):
        self._workdir, self._folder = workdir, workdir / FOLDER

    def __iter__(self):
        """The step and path of every picture, in order."""
        numbered = []
        for path in self._folder.glob(_PICTURES):
            with contextlib.suppress(ValueError):  # somebody else's
                numbered.append((int(path.stem.rpartition("_")[2]), path))
        return iter(sorted(numbered))

    def paths(self) -> list[Path]:
        """Of all pictures, in order."""
        return [path for _, path in self]

    def has(self, step: int) -> bool:
        """Whether there is one of a step."""
        return any(at == step for at, _ in self)

    def newest(self) -> int:
        """When the last picture was written, in nanoseconds as files count; 0 if there is none."""
        return max((path.stat().st_mtime_ns for _, path in self), default=0)

    def drop_unfinished(self) -> None:
        """Removes what a killed process left half written."""
        remove_temporaries(self._folder, _PICTURES)

    def drop_after(self, step: int) -> None:
        """Removes the pictures beyond a step.

        Raises:
          OSError: one cannot be removed.
        """
        for at, path in self:
            if at > step:
                path.unlink()

    def add(self, step: int, epoch: float, png: bytes) -> None:
        """Writes a picture, and makes room for it if there are too many.

        Raises:
          UserError, OSError: it cannot be written, or another one cannot be removed.
        """
        with atomic(self._folder / f"epoch_{int(epoch):04d}_step_{step:07d}.png") as file:
            file.write(png)
        kept = [(at, path, path.stat().st_size) for at, path in self]
        total = sum(size for _, _, size in kept)
        while len(kept) > 2 and (len(kept) > _MOST or total > _MOST_BYTES):
            gaps = [after[0] - before[0] for before, after in zip(kept, kept[2:], strict=False)]
            _, path, size = kept.pop(1 + gaps.index(min(gaps)))
            path.unlink()
            total -= size

    def write_page(self) -> None:
        """Writes the page of all pictures.

        Raises:
          UserError: it cannot be written.
        """
        shown = [(step, f"{FOLDER}/{path.name}") for step, path in self]
        with atomic(self._workdir / PAGE) as file:
            file.write(samples_page(self._workdir.resolve().name, shown).encode())

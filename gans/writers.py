"""The files of a run folder: metrics, TensorBoard events, pictures, animation, JSON.

config.json, data.json    what was asked for, and the facts about the data
metrics.jsonl             one JSON object a line, `step` and `time` in each
evaluations.jsonl         see `gans.evaluation`
events.out.tfevents.*     the same for TensorBoard, and the sample grids
samples/*.png             the grids, named by epoch and step
samples.gif               all of them, one after another
samples.html              all of them under a slider
superseded/               what stood here when the run had to begin anew
checkpoints/              see `gans.checkpoints`
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gans import records
from gans.errors import UserError
from gans.files import append_lines, atomic, save_picture
from gans.pages import samples_page

_RECORD = ("metrics.jsonl", "evaluations.jsonl", "samples", "samples.gif", "samples.html")
_FRAME_MS = 150
_LAST_FRAME_MS = 2000


def save_animation(path: Path, pictures: list[Path]) -> None:
    """Writes a GIF with a frame for each picture, in order; without pictures, nothing."""
    if not pictures:
        return
    # A picture wider than the first, because its caption is longer, would be cut.
    sizes = [_size(path) for path in pictures]
    size = (max(width for width, _ in sizes), max(height for _, height in sizes))
    frames = (_frame(path, size) for path in pictures)  # one in memory at a time
    durations = [_FRAME_MS] * (len(pictures) - 1) + [_LAST_FRAME_MS]
    with atomic(path) as file:
        next(frames).save(
            file, "GIF", save_all=True, append_images=frames, duration=durations, loop=0
        )


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def _frame(path: Path, size: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size, "white")
    with Image.open(path) as picture:
        canvas.paste(picture)
    return canvas.quantize(256)


class RunWriter:
    """Writes one run's metrics and sample grids; continues the files of a resumed run.

    Args:
      workdir: the run folder.
      step: where the run starts from. What an earlier start wrote beyond it is dropped,
        because it is about to be written again; all of it, for want of a checkpoint, is
        moved to `superseded/`.
    """

    def __init__(self, workdir: Path, step: int):
        import logging

        from tensorboardX import SummaryWriter

        logging.getLogger("tensorboardX").setLevel(logging.WARNING)
        self._workdir = workdir
        self._samples = workdir / "samples"
        if step == 0:
            _supersede(workdir)
        for name in ("metrics.jsonl", "evaluations.jsonl"):
            _drop_lines_after(workdir / name, step)
        for path, at in self._grids():
            if at > step:
                path.unlink()
        self._metrics = (workdir / "metrics.jsonl").open("a", buffering=1)
        self._events = SummaryWriter(str(workdir), purge_step=step + 1)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_) -> None:
        self._metrics.close()
        self._events.close()

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends one line to metrics.jsonl, and scalars to TensorBoard."""
        line = {"step": step, "time": round(time.time(), 3)}
        line |= {name: float(f"{value:.6g}") for name, value in metrics.items()}
        try:
            self._metrics.write(json.dumps(line) + "\n")
            for name, value in metrics.items():
                self._events.add_scalar(name, value, step)
        except OSError as error:
            raise UserError(
                f"Cannot write {self._metrics.name}: {error.strerror or error}."
            ) from error

    def evaluations(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Appends lines to evaluations.jsonl, and their values to TensorBoard."""
        append_lines(self._workdir / "evaluations.jsonl", lines)
        for line in lines:
            for name, value in line["values"].items():
                self._events.add_scalar(f"{line['evaluator']}/{name}", value, line["step"])

    def samples(self, step: int, epoch: float, picture: Image.Image) -> None:
        """Saves a sample grid as a PNG and for TensorBoard, and puts it on the page of all."""
        save_picture(self._samples / f"epoch_{int(epoch):04d}_step_{step:07d}.png", picture)
        self._events.add_image("samples", np.asarray(picture), step, dataformats="HWC")
        shown = [(step, f"samples/{path.name}") for path, step in self._grids()]
        with atomic(self._workdir / "samples.html") as file:
            file.write(samples_page(self._workdir.resolve().name, shown).encode())

    def animation(self) -> None:
        """Makes the GIF of all sample grids so far."""
        save_animation(self._workdir / "samples.gif", [path for path, _ in self._grids()])

    def _grids(self) -> list[tuple[Path, int]]:
        """Every sample grid with its step, in order."""
        paths = self._samples.glob("epoch_*_step_*.png")
        return sorted(((path, int(path.stem.split("_")[-1])) for path in paths), key=lambda x: x[1])


class NoWriter:
    """What the other processes of a run write, when several train together: nothing."""

    def __enter__(self) -> NoWriter:
        return self

    def __exit__(self, *_) -> None:
        pass

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Does nothing, as all of these."""

    def evaluations(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Nothing."""

    def samples(self, step: int, epoch: float, picture: Image.Image) -> None:
        """Nothing."""

    def animation(self) -> None:
        """Nothing."""


def _supersede(workdir: Path) -> None:
    """Moves the record of a run that is to begin anew out of the way."""
    old = [workdir / name for name in _RECORD]
    old = [path for path in [*old, *workdir.glob("events.out.tfevents.*")] if path.exists()]
    if old:
        aside = workdir / "superseded" / time.strftime("%Y%m%d-%H%M%S")
        aside.mkdir(parents=True, exist_ok=True)
        for path in old:
            path.replace(aside / path.name)


def _drop_lines_after(path: Path, step: int) -> None:
    """Keeps the lines of a file up to `step`; what is no line of a record goes too."""
    if path.exists():
        kept = records.up_to(path, step)
        with atomic(path) as file:
            file.writelines(kept)

"""The files of a run folder that grow with training.

config.json, data.json    what was asked for, and the facts about the data
metrics.jsonl             one JSON object a line, `step` and `time` in each
evaluations.jsonl         see `gans.evaluation.runner`
alarms.jsonl              see `gans.runs.alarm_record`
events.out.tfevents.*     the same for TensorBoard, and the sample grids
samples/*.png             the grids, named by epoch and step: see `gans.runs.samples_folder`
samples.html              all of them under a slider
samples.gif               all of them, one after another; made when training is complete
superseded/               what stood here when the run had to begin anew
checkpoints/              see `gans.runs.checkpoints`

metrics.jsonl and evaluations.jsonl are the record: a run that cannot write them ends. The others
are for looking at, and one that cannot be written is left out.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from gans.errors import UserError
from gans.files.writing import append_lines, atomic, remove_temporaries
from gans.runs import alarm_record, records
from gans.runs.animation import save_animation
from gans.runs.beside import Beside
from gans.runs.events import Events
from gans.runs.samples_folder import SamplesFolder

_METRICS, _EVALUATIONS, _ANIMATION = "metrics.jsonl", "evaluations.jsonl", "samples.gif"
_LINES = (_METRICS, _EVALUATIONS, alarm_record.FILE)
_RECORD = (*_LINES, "samples", _ANIMATION, "samples.html")
TO_LOOK_AT = ("samples.html", _ANIMATION)
"""The files that show how training went."""

_JSON = ("config.json", "data.json")

# TensorBoard shows ten pictures of all it is given: after the first of a start, fewer and fewer
# are, and the large ones smaller.
_DENSE = 50
_EVENT_SIDE = 640  # pixels


def say(sentence: str) -> None:
    """Prints a sentence for the person at the keyboard, if anybody listens."""
    with contextlib.suppress(OSError, ValueError):
        print(sentence, file=sys.stderr, flush=True)


class RunWriter:
    """Writes one run's metrics and sample grids; continues the files of a resumed run.

    Args:
      workdir: the run folder, which nobody else writes to.
      step: where the run starts from. What an earlier start wrote beyond it is dropped,
        because it is about to be written again; all of it, for want of a checkpoint, is
        moved to `superseded/`.
      say: where to put a sentence about files that are left out.

    Raises:
      UserError: the record cannot be written.
    """

    def __init__(self, workdir: Path, step: int, say: Callable[[str], None] = say):
        self._workdir = workdir
        self._samples, self._events = SamplesFolder(workdir), Events(workdir, step)
        self._pictures = Beside("Sample pictures", say)
        self._page = Beside("The pages of sample pictures", say)
        self._tensorboard = Beside("TensorBoard's events", say)
        self._moving = Beside("The animations", say)
        self._alarms = Beside("The alarms", say)
        self._count = 0  # of the pictures of this start
        with _in_words(workdir):
            remove_temporaries(workdir, *_RECORD, *_JSON)
            self._samples.drop_unfinished()
            if step == 0:
                _supersede(workdir)
            for name in _LINES:
                _drop_lines_after(workdir / name, step)
        append_lines(workdir / _METRICS, [])  # so that it is known at once if it cannot be
        with self._pictures.attempt():
            self._samples.drop_after(step)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_) -> None:
        self._events.close()

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends one line to metrics.jsonl, and scalars to TensorBoard.

        Raises:
          UserError: the line cannot be written.
        """
        metrics = records.recorded(metrics)
        append_lines(
            self._workdir / _METRICS, [{"step": step, "time": round(time.time(), 3)} | metrics]
        )
        with self._tensorboard.attempt():
            self._events.scalars(step, metrics)

    def evaluations(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Appends lines to evaluations.jsonl, and their values to TensorBoard.

        Raises:
          UserError: they cannot be written.
        """
        lines = [{**line, "values": _finite(line["values"])} for line in lines]
        append_lines(self._workdir / _EVALUATIONS, lines)
        with self._tensorboard.attempt():
            for line in lines:
                named = {f"{line['evaluator']}/{name}": x for name, x in line["values"].items()}
                self._events.scalars(line["step"], named)

    def alarms(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Appends lines to alarms.jsonl."""
        with self._alarms.attempt():
            append_lines(self._workdir / alarm_record.FILE, lines)

    def has_samples(self, step: int) -> bool:
        """Whether there is a sample grid of a step."""
        return self._samples.has(step)

    def samples(self, step: int, epoch: float, picture: Image.Image) -> None:
        """Saves a sample grid as a PNG and for TensorBoard, and puts it on the page of all."""
        png = b""
        with self._pictures.attempt():
            png = _encoded(picture)
            self._samples.add(step, epoch, png)
        with self._page.attempt():
            self._samples.write_page()
        stride = 2 ** max(0, int(math.log2((self._count + 1) / _DENSE)))
        if self._count % stride == 0:
            with self._tensorboard.attempt():
                small = _shrunk(picture)
                png = _encoded(small) if small is not picture or not png else png
                self._events.picture(step, "samples", small.size, png)
        self._count += 1

    def animation(self) -> None:
        """Makes the GIF of all sample grids, unless it is newer than all of them."""
        path = self._workdir / _ANIMATION
        with self._moving.attempt():
            if not (path.exists() and path.stat().st_mtime_ns >= self._samples.newest()):
                save_animation(path, self._samples.paths())


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

    def alarms(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Nothing."""

    def has_samples(self, step: int) -> bool:
        """There are none."""
        return False

    def samples(self, step: int, epoch: float, picture: Image.Image) -> None:
        """Nothing."""

    def animation(self) -> None:
        """Nothing."""


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """Those that JSON knows."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _encoded(picture: Image.Image) -> bytes:
    """As a PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _shrunk(picture: Image.Image) -> Image.Image:
    """The picture itself, if it is small enough for TensorBoard."""
    if max(picture.size) <= _EVENT_SIDE:
        return picture
    small = picture.copy()
    small.thumbnail((_EVENT_SIDE, _EVENT_SIDE), Image.Resampling.BOX)
    return small


@contextlib.contextmanager
def _in_words(workdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or workdir
        raise UserError(f"Cannot write {place}: {error.strerror or error}.") from error


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

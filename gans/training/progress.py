"""The progress of a run on the terminal: a bar, or plain lines where there is none."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping

from tqdm import tqdm

from gans.training.stopwatch import Lap


class Progress:
    """Shows step, epoch, images/s, time left and the game's summary.

    A terminal that was closed, or a pipe nobody reads any more, is no reason to stop: what cannot
    be shown is not.

    Args:
      name: of the run.
      start: steps done before this start.
      total: steps of the whole run.
      batch_size: images of one step.
      data_size: images of one epoch.
      shown: whether at all; not by the other processes, when several train together.
    """

    def __init__(
        self,
        name: str,
        start: int,
        total: int,
        batch_size: int,
        data_size: int,
        shown: bool = True,
    ):
        self._total, self._batch_size, self._data_size = total, batch_size, data_size
        self._name, self._start, self._shown = name, start, shown
        self._plain = not sys.stderr.isatty()
        self._bar = tqdm(
            desc=name,
            initial=start,
            total=total,
            unit="step",
            disable=self._plain or not shown,
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| {n}/{total} [{elapsed}]{postfix}",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        with _unread():
            self._bar.close()

    def begin(self, every: int) -> None:
        """Says what is to come, because nothing is seen of compiling.

        Args:
          every: steps between two lines; 0 if there are none.
        """
        lines = f", then there is a line every {every} steps" if every else ""
        if self._start < self._total:
            self.note(
                f"{self._name}: at step {self._start} of {self._total}; the first steps are "
                f"compiled{lines}."
            )

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        with _unread():
            self._bar.update(step - self._bar.n)

    def note(self, *lines: str) -> None:
        """Prints lines of their own, above the bar."""
        for line in lines if self._shown else ():
            with _unread():
                tqdm.write(line, file=sys.stderr)
                sys.stderr.flush()

    def report(self, step: int, summary: Mapping[str, float], lap: Lap | None) -> None:
        """Shows where the run is.

        Args:
          step: iterations done.
          summary: of the game.
          lap: how fast it has been, if known.
        """
        parts = [f"epoch {step * self._batch_size / self._data_size:.1f}"]
        if lap is not None:
            parts.append(f"{self._batch_size / lap.training:.0f} img/s")
        for name, value in summary.items():
            shown = f"{value:.0%}" if name.startswith("accuracy") else f"{value:.3f}"
            parts.append(f"{name} {shown}")
        if lap is not None:
            parts.append(f"ETA {tqdm.format_interval((self._total - step) * lap.whole)}")
        if self._shown and self._plain:
            line = " | ".join([f"step {step}/{self._total}", *parts])
            with _unread():
                print(line, file=sys.stderr, flush=True)
        elif self._shown:
            with _unread():
                self._bar.set_postfix_str(" ".join(parts), refresh=True)


def _unread() -> contextlib.suppress:
    # ValueError, if the stream was closed on this side.
    return contextlib.suppress(OSError, ValueError)

"""The progress of a run on the terminal: a bar, or plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm


class Progress:
    """Shows step, epoch, images/s, time left and the game's summary.

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
        self._shown = shown
        # The clock starts at the first boundary, so that compiling does not count.
        self._step, self._then = start, None
        self._plain = not sys.stderr.isatty()
        self._bar = tqdm(
            desc=name,
            initial=start,
            total=total,
            unit="step",
            disable=self._plain or not shown,
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| "
            "{n}/{total} [{elapsed}<{remaining}]{postfix}",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        self._bar.update(step - self._bar.n)
        if self._then is None:
            self._step, self._then = step, time.perf_counter()

    def leave_out(self, seconds: float) -> None:
        """Takes time that went into something else than training out of the next speed."""
        if self._then is not None:
            self._then += seconds

    def note(self, *lines: str) -> None:
        """Prints lines of their own, above the bar."""
        for line in lines if self._shown else ():
            tqdm.write(line, file=sys.stderr)

    def report(self, step: int, summary: Mapping[str, float]) -> float | None:
        """Shows the summary, and the images/s since the last report, which it returns if known."""
        now, done = time.perf_counter(), step - self._step
        seconds_per_step = (now - self._then) / done if done else None
        self._step, self._then = step, now
        parts = [f"epoch {step * self._batch_size / self._data_size:.1f}"]
        speed = self._batch_size / seconds_per_step if seconds_per_step else None
        if speed:
            parts.append(f"{speed:.0f} img/s")
        for name, value in summary.items():
            shown = f"{value:.0%}" if name.startswith("accuracy") else f"{value:.3f}"
            parts.append(f"{name} {shown}")
        if not self._shown:
            return speed
        if self._plain:
            if seconds_per_step:
                left = tqdm.format_interval((self._total - step) * seconds_per_step)
                parts.append(f"ETA {left}")
            print(" | ".join([f"step {step}/{self._total}", *parts]), file=sys.stderr, flush=True)
        else:
            self._bar.set_postfix_str(" ".join(parts), refresh=True)
        return speed

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
    """

    def __init__(self, name: str, start: int, total: int, batch_size: int, data_size: int):
        self._total, self._batch_size, self._data_size = total, batch_size, data_size
        self._step, self._then = start, time.perf_counter()
        self._speed = 0.0
        self._plain = not sys.stderr.isatty()
        self._bar = tqdm(
            desc=name,
            initial=start,
            total=total,
            unit="step",
            disable=self._plain,
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

    def report(self, step: int, summary: Mapping[str, float]) -> float:
        """Shows the numbers of the steps since the last report; returns their images/s."""
        now = time.perf_counter()
        steps_per_second = (step - self._step) / max(now - self._then, 1e-9)
        self._step, self._then = step, now
        speed = steps_per_second * self._batch_size
        parts = [f"epoch {step * self._batch_size / self._data_size:.1f}", f"{speed:.0f} img/s"]
        for name, value in summary.items():
            shown = f"{value:.0%}" if name.startswith("accuracy") else f"{value:.3f}"
            parts.append(f"{name} {shown}")
        if self._plain:
            left = (self._total - step) / steps_per_second
            eta = time.strftime("%H:%M:%S", time.gmtime(left))
            line = f"step {step}/{self._total} | " + " | ".join(parts) + f" | ETA {eta}"
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.set_postfix_str(" ".join(parts), refresh=True)
        return speed

    def say(self, sentence: str) -> None:
        """Prints a line without tearing the bar."""
        tqdm.write(sentence, file=sys.stderr)

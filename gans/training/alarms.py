"""The alarms of one run while it trains: each is said once, when it begins, and recorded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from gans.evaluation import alarms
from gans.evaluation.alarms import Found, Line, Pixels
from gans.inference.previews import Made
from gans.parallel import hosts
from gans.runs import alarm_record, records
from gans.runs.open_run import OpenRun


class Alarms:
    """Looks at what a run has made for other ends, and says what is wrong with it.

    What is on, and the lines of metrics that count, are read from the run folder, so that a run
    that goes on says what one that never stopped does.

    Args:
      run: the open run folder.
      say: is given a sentence where an alarm begins.
    """

    def __init__(self, run: OpenRun, say: Callable[[str], None]):
        self._run, self._say = run, say
        self._on: set[str] = set()
        # As many as one `alarms.stretch` takes if each is of one step.
        self._lines: deque[Line] = deque(maxlen=max(alarms.LINES, alarms.STEPS))
        self._last = 0  # the step of the last line
        self._real: Mapping[str, Pixels] = {}

    def resume(self, step: int, real: Mapping[str, Pixels]) -> None:
        """Goes on with the record up to a step, and looks at the data.

        Args:
          step: where the run starts from.
          real: what images of each domain look like, by its name in a batch.
        """
        self._real = real
        if hosts.is_first():  # the others say nothing
            lasting = (x for x in alarm_record.read(self._run.workdir) if x.ended is None)
            self._on = {alarm.name for alarm in lasting}
            for line in records.metrics(self._run.workdir):
                self._take(line["step"], line)
        for domain, pixels in real.items():
            # Once for all runs that train in one program, which have one data set.
            self._settle(step, alarms.data(domain, pixels), self._run.progress.note)

    def logged(self, step: int, summary: Mapping[str, float]) -> None:
        """Looks at the numbers of a line of metrics."""
        self._take(step, records.recorded(summary))
        self._settle(step, alarms.discriminators(list(self._lines), self._on), self._say)

    def shown(self, step: int, made: Sequence[Made]) -> None:
        """Looks at the images of a preview."""
        known = [each for each in made if each.domain in self._real]
        for each in known if step >= alarms.STEPS else ():
            self._settle(step, _of_images(each, self._real[each.domain], self._on), self._say)

    def evaluated(self, step: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Looks at the lines of evaluators."""
        for line in lines if step >= alarms.STEPS else ():
            after = f"/{line['evaluator']}"
            on = {name.removesuffix(after) for name in self._on if name.endswith(after)}
            found = alarms.diversity(line["values"], on)
            self._settle(step, {f"{name}{after}": x for name, x in found.items()}, self._say)

    def _take(self, step: int, values: Mapping[str, float]) -> None:
        self._lines.append(Line(step, step - self._last, values))
        self._last = step

    def _settle(self, step: int, found: Found, say: Callable[[str], None]) -> None:
        """Says what begins, and records what begins and ends."""
        changed = {name: x for name, x in found.items() if (x is not None) != (name in self._on)}
        self._on ^= changed.keys()
        if not changed:
            return
        now = round(time.time(), 3)
        self._run.writer.alarms(
            [
                {"step": step, "time": now, "alarm": name, "sentence": sentence or ""}
                for name, sentence in changed.items()
            ]
        )
        for sentence in filter(None, changed.values()):
            say(f"Alarm at step {step:,}: {sentence}")


def _of_images(made: Made, real: Pixels, on: Collection[str]) -> Found:
    if made.sources is not None:
        return alarms.translations(made.way, made.images, made.sources, real, on)
    classes = 1 if made.kinds is None else len(set(made.kinds))
    return alarms.samples(alarms.look(made.images, made.kinds), real, classes, on)

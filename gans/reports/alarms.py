"""The alarms of runs, as sentences that say whose they are and when they were."""

from __future__ import annotations

from collections.abc import Iterable

from gans.reports.groups import Run
from gans.runs import alarm_record


def sentences(runs: Iterable[Run]) -> list[str]:
    """A sentence for each alarm; what is the same of several runs is said once."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for alarm in run.alarms:
            found.setdefault(alarm_record.in_words(alarm), []).append(run.name)
    return [f"{', '.join(dict.fromkeys(names))}, {words}" for words, names in found.items()]

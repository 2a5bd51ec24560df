"""The numbers of runs as one long table, from which comparisons and rankings are made.

It is a pandas frame with a row for each number that was recorded, and these columns:

run, group, seed    the run's folder, the group that it is in, and its seed
step, evaluator     when the number was found, and by which evaluator of the config
protocol            how: only numbers of equal protocols may be compared
metric, class       what it is; the class is "" where it is of all images
value               the number
versions, cautions  phrases and sentences on how it was found
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from gans.reports.groups import Run
from gans.runs import evaluation_record

_COLUMNS = ("run", "group", "seed", "step", "evaluator", "protocol", "metric", "class", "value")
_COLUMNS += ("versions", "cautions")
_NO_LOSSES = ("step", "time", "epoch", "images_per_second", "data_wait")

# In the order of the columns, with which way is better; the rest follow.
_BETTER = {
    "fid": "lower",
    "kid": "lower",
    "fcd": "lower",
    "kcd": "lower",
    "inception_score": "higher",
    "classifier_score": "higher",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "vendi": "higher",
    "copied": "lower",
    "nearest_low_ratio": "near 1",
    "class_accuracy": "higher",
    "fid_by_class": "lower",
    "fcd_by_class": "lower",
    "cycle": "lower",
    "identity": "lower",
    "colour": "higher",
    "inverted": "lower",
    "leak_holes": "lower",
    "leak_borders": "lower",
}


def evaluations(groups: Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """The table of what evaluators found, in the order of the groups, their runs and the record.

    Args:
      groups: runs by the name of their group.
    """

    def found(run: Run) -> Iterator[tuple[Any, ...]]:
        for line in run.evaluations:
            protocol = line["protocol"]
            beside = (tuple(_versions(protocol)), tuple(protocol.get("cautions", ())))
            yield line["step"], line["evaluator"], protocol_key(run, line), beside, line["values"]

    return _table(groups, found)


def training(groups: Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """The table of what was logged in training, by no evaluator and no protocol.

    Args:
      groups: runs by the name of their group.
    """

    def logged(run: Run) -> Iterator[tuple[Any, ...]]:
        for line in run.metrics:
            values = {name: x for name, x in line.items() if name not in _NO_LOSSES}
            yield line["step"], "", "", ((), ()), values

    return _table(groups, logged)


def _table(
    groups: Mapping[str, Iterable[Run]], lines: Callable[[Run], Iterable[tuple[Any, ...]]]
) -> pd.DataFrame:
    """The table of what `lines` gives for each run.

    Args:
      groups: runs by the name of their group.
      lines: gives step, evaluator, protocol, a pair of versions and cautions, and values by name.
    """
    rows = [
        (str(run.workdir), group, run.config.seed, step, evaluator, protocol)
        + (*name.partition("/")[::2], float(value), *beside)
        for group, runs in groups.items()
        for run in runs
        for step, evaluator, protocol, beside, values in lines(run)
        for name, value in values.items()
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def curves(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By metric the `mean`, `min` and `max` over runs, indexed by group and step.

    Args:
      rows: of a table of one protocol, or of training.
    """
    rows = rows[rows["class"] == ""]
    found = rows.groupby(["metric", "group", "step"])["value"].agg(["mean", "min", "max"])
    shown = headlines(rows["metric"])
    return {metric: found.loc[metric] for metric in rows["metric"].unique() if metric in shown}


def headlines(names: Iterable[str]) -> list[str]:
    """The metrics among names of values, the known ones first.

    A name that ends in "_deviation" or "_real" belongs to the metric that it begins with.
    """
    names = dict.fromkeys(names)
    shown = []
    for name in names:
        base, _, last = name.rpartition("_")
        if "/" not in name and not (last in ("deviation", "real") and base in names):
            shown.append(name)
    order = list(_BETTER)
    return sorted(shown, key=lambda x: order.index(_kind(x)) if better(x) else len(order))


def better(metric: str) -> str:
    """Which way a metric is better: "lower", "higher", "near 1", or "" if that is not known."""
    return _BETTER.get(_kind(metric), "")


def _kind(metric: str) -> str:
    """A metric's name without the domain or the direction that it is of."""
    base, _, last = metric.rpartition("_")
    return base if last in ("a", "b", "ab", "ba") else metric


def protocol_key(run: Run, line: Mapping[str, Any]) -> str:
    """The protocol of a line of a run's record as JSON: equal for numbers that may be compared."""
    protocol = evaluation_record.essential(line["protocol"])
    if not run.averages and "averaged" in protocol:
        # Without an average, the parameters are the ones that stand for it.
        protocol["averaged"] = True
    return json.dumps(protocol, sort_keys=True)


def _versions(protocol: Mapping[str, Any]) -> list[str]:
    versions = [f"{name} {version}" for name, version in protocol.get("versions", {}).items()]
    return [*versions, *([f"on {protocol['device']}"] if "device" in protocol else ())]

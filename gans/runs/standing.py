"""How far a run has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans.errors import UserError
from gans.runs import evaluation_record, lengths, run_folder
from gans.runs.checkpoints import Checkpoints


def step(workdir: Path) -> int | None:
    """The step of the newest checkpoint of a run, None if there is none."""
    return Checkpoints(workdir / "checkpoints", read_only=True).latest_step()


def is_finished(workdir: Path, config: ConfigDict) -> bool:
    """Whether a run of this config was trained to its last step, and judged there.

    One of another config was not; its training says what differs.
    """
    try:
        config = lengths.as_begun(workdir, config)
        run_folder.check(workdir, config)
    except UserError:
        return False
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    if (checkpoints.latest_step() or 0) < config.train.num_steps:
        return False
    position = checkpoints.position() or {}
    return not unjudged(position, evaluation_record.read(workdir), config.evaluators)


def unjudged(
    position: Mapping[str, Any], record: Sequence[Mapping[str, Any]], evaluators: Iterable[str]
) -> list[str]:
    """The evaluators that a stop or a kill kept from a checkpoint at which they were due.

    Args:
      position: of the checkpoint.
      record: the evaluations so far, as `evaluation_record.read` gives them.
      evaluators: those of the config.
    """
    step = position.get("iteration")
    done = {line["evaluator"] for line in record if line["step"] == step}
    due = position.get("evaluators", ())
    return [name for name in due if name not in done and name in evaluators]

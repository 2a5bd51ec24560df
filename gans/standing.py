"""How far a run has come."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from gans import lengths, runs
from gans.checkpoints import Checkpoints
from gans.errors import UserError


def step(workdir: Path) -> int | None:
    """The step of the newest checkpoint of a run, None if there is none."""
    return Checkpoints(workdir / "checkpoints", read_only=True).latest_step()


def is_finished(workdir: Path, config: ConfigDict) -> bool:
    """Whether a run of this config was trained to its last step.

    One of another config was not; its training says what differs.
    """
    try:
        config = lengths.as_begun(workdir, config)
        runs.check(workdir, config)
    except UserError:
        return False
    return (step(workdir) or 0) >= config.train.num_steps

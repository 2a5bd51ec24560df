"""Evaluation of a run after its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans import parallel
from gans.config import build
from gans.errors import UserError
from gans.evaluation import runner
from gans.evaluation.subject import Reference
from gans.files import paths
from gans.files.writing import append_lines
from gans.runs import evaluation_record, run_folder
from gans.runs.checkpoints import Checkpoints


def checkpoints(workdir: Path) -> list[int]:
    """The steps whose checkpoints a run keeps.

    Raises:
      UserError: there is none, or no run.
    """
    workdir = paths.expanded(workdir)
    run_folder.read_config(workdir)  # which tells where there is no run at all
    steps = Checkpoints(workdir / "checkpoints", read_only=True).steps()
    if not steps:
        raise UserError(f"The run in {workdir} has no checkpoint yet; train it for longer.")
    return steps


def run(
    workdir: Path, steps: Sequence[run_folder.Step], changes: Mapping[tuple[str, ...], Any]
) -> Iterator[str]:
    """Runs the evaluators of a run's config, and appends what they find to its record.

    Args:
      workdir: the run folder.
      steps: of the checkpoints to judge.
      changes: values of evaluators' fields, by the names that a field of the kind may have.

    Yields:
      What each evaluator found, in words, and what to mind.

    Raises:
      UserError: there is no such run or checkpoint, or an evaluator lacks something.
    """
    workdir = paths.expanded(workdir)
    config = run_folder.read_config(workdir)
    made = build.of_run(_changed(config, changes))
    info = run_folder.read_info(workdir)
    reference = Reference(config, parallel.make_mesh())
    evaluation = runner.EvaluationRunner(made, info, reference)
    evaluation.prepare()
    for step in steps:
        restored = run_folder.restore(workdir, made, info, step)
        for line in evaluation.run(restored.state.nets, restored.step):
            yield evaluation_record.in_words(line)
            yield from (f"  {caution}" for caution in line["protocol"].get("cautions", ()))
            append_lines(workdir / evaluation_record.FILE, [line])


def _changed(config: ConfigDict, changes: Mapping[tuple[str, ...], Any]) -> ConfigDict:
    """A config whose evaluators have the changes, none of which may be without effect."""
    evaluators = config.get("evaluators")
    if not evaluators:
        raise UserError(
            "The run's config has no evaluators, so there is nothing to judge it by; add the "
            "section evaluators to its config.json, as in configs/dcgan_cifar10.py."
        )
    for names, value in changes.items():
        having = [(spec, name) for spec in evaluators.values() for name in names if name in spec]
        if not having:
            raise UserError(f"No evaluator of the run has a field {' or '.join(names)}.")
        for spec, name in having:
            spec[name] = value
    return config

"""Several runs in one compiled program, for accelerators that one small run leaves idle.

The runs differ in their seed, in loss weights or in learning rates, and in nothing else. Each has
a run folder of its own, from which it can go on alone, as if it had always been alone.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from gans import parallel
from gans.config import build, schema
from gans.config.build import Experiment
from gans.core.state import GanState
from gans.core.types import Batch, Metrics
from gans.core.update import update
from gans.data.pipeline import Feed, Pipeline
from gans.errors import UserError
from gans.files import paths
from gans.parallel import hosts
from gans.runs import lengths, open_run, run_folder
from gans.runs.checkpoints import Checkpoints, Restored
from gans.runs.open_run import OpenRun
from gans.runs.writers import say
from gans.training import stopping
from gans.training.loop import Loop
from gans.training.program import Program, placed, shardings
from gans.training.recorder import Boundary, Recorder
from gans.training.setup import Setup, set_up, snapshot
from gans.training.train import Interrupted, progress_of


def seeds(config: ConfigDict, count: int) -> dict[str, ConfigDict]:
    """Configs like this one with `count` seeds from its own on, under names for their folders."""
    configs = {}
    for seed in range(config.seed, config.seed + count):
        changed = copy.deepcopy(config)
        changed.seed = seed
        configs[f"seed={seed}"] = changed
    return configs


def run(configs: Sequence[ConfigDict], workdirs: Sequence[Path]) -> None:
    """Trains all runs to the end, from the newest step that all of them have saved.

    A run that diverges is left where it is, and the others go on.

    Args:
      configs: of the runs, the same but for `seed`, `loss.weights` and learning rates.
      workdirs: the run folder of each.

    Raises:
      UserError: as `gans.training.train.run`; the configs differ in more; or a run diverged.
      Interrupted: SIGTERM, SIGHUP or Ctrl-C came.
    """
    if hosts.are_several():
        raise UserError("Several runs in one program take one process: leave out --distributed.")
    workdirs = [paths.expanded(workdir) for workdir in workdirs]
    configs = [lengths.as_begun(*each) for each in zip(workdirs, configs, strict=True)]
    for workdir, config in zip(workdirs, configs, strict=True):
        run_folder.check(workdir, config)
    _check_alike(configs)
    experiments = [build.experiment(config) for config in configs]
    config = configs[0]
    mesh = parallel.make_mesh(config.mesh.data)
    parallel.check_batch_size(config.data.batch_size, mesh)
    say(f"{workdirs[0].parent.name}: reading the data.")
    source = build.data_source(config.data)
    experiments = [made.lasting(lengths.of_data(made.config, source)) for made in experiments]
    alone = [set_up(experiments[0], mesh, source)]
    alone += [set_up(each, mesh, source, like=alone[0]) for each in experiments[1:]]
    together = _side_by_side(alone, mesh)
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(open_run.opened(workdir, made.config, together.program.info))
            for workdir, made in zip(workdirs, experiments, strict=True)
        ]
        loop, failed = _train(together, alone, runs)
    if failed:
        raise UserError("\n".join(f"{workdirs[k]}: {error}" for k, error in failed.items()))
    if loop.stopped_by:
        raise Interrupted(loop, together.program.config.train.num_steps)


def _check_alike(configs: Sequence[ConfigDict]) -> None:
    """Raises UserError if configs differ in what has to be the same."""
    first, *others = (schema.flatten(schema.to_plain(config)) for config in configs)
    for other in others:
        names = sorted(first.keys() | other.keys())
        for name in names:
            if first.get(name) != other.get(name) and not _may_differ(name):
                raise UserError(
                    f"Runs in one program may differ in seed, loss.weights and "
                    f"optim.*.learning_rate, and these differ in {name}: train them one by one."
                )


def _may_differ(name: str) -> bool:
    is_rate = name.startswith("optim.") and name.endswith(".learning_rate")
    return name == "seed" or name.startswith("loss.weights.") or is_rate


def _side_by_side(alone: Sequence[Setup], mesh: parallel.Devices) -> Setup:
    """One setup whose state, feeds and metrics have a further axis, of the runs.

    It comes first in the state, and last in feeds and metrics, whose first are those of steps and
    of images.
    """
    first, pipelines = alone[0].program, [setup.program.pipeline for setup in alone]

    def to_batch(resident: Any, feed: Feed) -> Batch:
        batches = [
            pipeline.batch(resident, jax.tree.map(lambda x, k=k: x[:, k], feed))
            for k, pipeline in enumerate(pipelines)
        ]
        return jax.tree.map(lambda *x: jnp.stack(x), *batches)

    rates = _rates([setup.program.config for setup in alone])

    def step(states: GanState, batches: Batch) -> tuple[GanState, Metrics]:
        return jax.vmap(functools.partial(_update, first.experiment))(states, batches, rates)

    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((len(alone), *x.shape), x.dtype), first.shapes
    )
    shapes = placed(shapes, mesh, fsdp=first.config.mesh.fsdp)
    lives = shardings(shapes)
    chunk, everywhere = parallel.jit_chunk(step, to_batch, mesh, lives), parallel.replicated(mesh)
    program = dataclasses.replace(
        first,
        shapes=shapes,
        pipeline=_Pipelines(pipelines),
        advance=lambda state, feed: chunk(state, first.resident, feed),
    )
    return dataclasses.replace(
        alone[0],
        program=program,
        show=jax.jit(
            lambda nets: jax.vmap(alone[0].preview)(parallel.gathered(nets, mesh)),
            out_shardings=everywhere,
        ),
        snapshot=jax.jit(jax.vmap(snapshot), out_shardings=(lives, everywhere)),
    )


def _rates(configs: Sequence[ConfigDict]) -> dict[str, np.ndarray]:
    """The learning rates that differ, float32 `[K]` by section of `optim`."""
    rates = {
        name: [config.optim[name].learning_rate for config in configs] for name in configs[0].optim
    }
    return {name: np.float32(rate) for name, rate in rates.items() if len(set(rate)) > 1}


def _update(
    experiment: Experiment, state: GanState, batch: Batch, rates: Mapping[str, jax.Array]
) -> tuple[GanState, Metrics]:
    """`update` with learning rates that are values, where alone they are constants."""
    optimizers = experiment.optimizers(rates)
    nets = {name: net.replace(tx=optimizers[name]) for name, net in state.nets.items()}
    moved, metrics = update(state.replace(nets=nets), batch, game=experiment.game)
    nets = {name: net.replace(tx=state.nets[name].tx) for name, net in moved.nets.items()}
    return moved.replace(nets=nets), metrics


@dataclasses.dataclass(frozen=True)
class _Pipelines:
    """The streams of all runs, one beside the other."""

    pipelines: Sequence[Pipeline]

    def feeds(self, start: int, chunks: Iterable[int]) -> Iterator[Feed]:
        """Arrays `[n, batch_size, K, ...]`."""
        for feeds in zip(*(each.feeds(start, chunks) for each in self.pipelines), strict=True):
            yield jax.tree.map(lambda *x: np.stack(x, axis=2), *feeds)


def _train(
    together: Setup, alone: Sequence[Setup], runs: Sequence[OpenRun]
) -> tuple[Loop, dict[int, UserError]]:
    """Trains; gives the loop at its end, and why runs failed, by number."""
    state, positions = _start_or_resume(together.program, alone, [run.checkpoints for run in runs])
    together.evaluation.prepare()
    first = positions[0]["iteration"]
    failed: dict[int, UserError] = {}
    for k, run in enumerate(runs):
        name = run.workdir.parent.name
        run.begin(first, progress_of(alone[k].program, name, first, shown=k == 0))
    runs[0].progress.begin(together.program.config.train.log_every)
    with stopping.watched(together.program.mesh) as watch:
        each = zip(alone, runs, strict=True)
        recorders = {
            k: Recorder(setup, run, watch, functools.partial(_note, runs[0], run))
            for k, (setup, run) in enumerate(each)
        }
        loop = Loop(together, watch, state, first)
        is_stopped = False
        for k, recorder in recorders.items():
            # An entry of an array is a copy.
            copy = functools.partial(jax.tree.map, lambda x, k=k: x[k], state)
            show = functools.partial(_show, alone[k])
            is_stopped |= recorder.resume(positions[k], copy, show, runs[k].evaluations())
        if is_stopped:
            loop.stop(first)
        else:
            _go_on(loop, recorders, [run.workdir for run in runs], failed)
        for run in (run for k, run in enumerate(runs) if k not in failed):
            run.checkpoints.wait()
    for run in (run for k, run in enumerate(runs) if k not in failed and not loop.stopped_by):
        run.writer.animation()
    return loop, failed


def _go_on(
    loop: Loop,
    recorders: Mapping[int, Recorder],
    workdirs: Sequence[Path],
    failed: dict[int, UserError],
) -> None:
    """Trains to the end, or until a signal came or all runs have failed."""
    for boundary in loop.boundaries():
        boundary = boundary._replace(metrics=jax.device_get(boundary.metrics))
        is_stopped = False
        for k in [k for k in recorders if k not in failed]:
            try:
                is_stopped |= recorders[k].record(_of(boundary, k))
            except UserError as error:
                failed[k] = error
                say(f"{workdirs[k]}: {error}")
        if len(failed) == len(recorders):
            return
        if is_stopped:
            for k in [k for k in recorders if k not in failed]:
                recorders[k].keep(_of(boundary, k))
            loop.stop(boundary.step)
            return


def _note(shown: OpenRun, run: OpenRun, sentence: str) -> None:
    """Prints a sentence about a run beside the progress that is shown, which is of another."""
    shown.progress.note(f"{run.workdir.name}: {sentence}")


def _show(setup: Setup, state: GanState) -> jax.Array:
    """The samples of one run alone."""
    return setup.show(state.nets)


def _of(boundary: Boundary, k: int) -> Boundary:
    """What a boundary is to one run."""
    return boundary._replace(
        metrics={name: x[:, k] for name, x in boundary.metrics.items()},
        images=None if boundary.images is None else boundary.images[k],
        snapshot=jax.tree.map(lambda x: x[k], boundary.snapshot),
    )


def _start_or_resume(
    together: Program, alone: Sequence[Setup], folders: Sequence[Checkpoints]
) -> tuple[GanState, list[dict]]:
    """The state of all runs at the newest step that all have saved, and the position of each."""
    step, first = _common_step(folders), alone[0].program
    states, positions = [], []
    for program, folder in zip((setup.program for setup in alone), folders, strict=True):
        # Of one program for all, so that the states differ in nothing but numbers.
        if step is None:
            state = first.begin(jax.random.key(program.config.seed))
            weights = {name: jnp.float32(x) for name, x in program.config.loss.weights.items()}
            restored = Restored(0, state.replace(weights=weights), {"iteration": 0})
        else:
            restored = folder.restore(first.shapes, step=step)
        states.append(restored.state)
        positions.append(restored.position)
    total = together.config.train.num_steps
    if (step or 0) > total:
        raise UserError(
            f"The runs are at step {step} already, beyond train.num_steps {total}; raise it to "
            "train on."
        )
    return jax.device_put(_stack(states), together.shardings), positions


def _common_step(folders: Sequence[Checkpoints]) -> int | None:
    saved = [set(folder.steps()) for folder in folders]
    if not any(saved):
        return None
    if common := set.intersection(*saved):
        return max(common)
    where = ", ".join(f"{folder.directory.parent}: {folder.latest_step()}" for folder in folders)
    raise UserError(
        f"The runs have no step in common to go on from together ({where}); train each with "
        "experiments.train alone."
    )


def _stack(states: Sequence[GanState]) -> GanState:
    return jax.tree.map(lambda *x: jnp.stack(x), *states)

"""Everything a training uses besides its program: preview, snapshots, and evaluators."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gans import parallel
from gans.config import build
from gans.config.build import Experiment
from gans.core.state import GanState, NetState
from gans.data.source import Source
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.evaluation.runner import EvaluationRunner
from gans.evaluation.subject import Reference
from gans.training import program
from gans.training.program import Program


@dataclasses.dataclass(frozen=True)
class Setup:
    """A program with its preview, snapshot function and evaluators.

    Attributes:
      program: see `gans.training.program`.
      preview: makes the sample pictures of a run.
      show: `nets -> images`, the compiled preview.
      snapshot: the compiled function `snapshot` below.
      reference: the real images that evaluators compare with.
      evaluation: runs the evaluators.
    """

    program: Program
    preview: Callable
    show: Callable
    snapshot: Callable
    reference: Reference
    evaluation: EvaluationRunner


def set_up(
    experiment: Experiment,
    mesh: parallel.Devices,
    source: Source | Unpaired,
    like: Setup | None = None,
) -> Setup:
    """Builds everything but the state.

    Args:
      experiment: the experiment.
      mesh: the devices.
      source: the data.
      like: the setup of another run on the same data; the data on the devices and the real images
        of the evaluators are shared with it.

    Raises:
      UserError: the experiment does not fit the data.
    """
    made = program.make(experiment, mesh, source, like and like.program.resident)
    preview, everywhere = experiment.preview(made.info, source.test), parallel.replicated(mesh)
    _check_images(made, preview)
    reference = like.reference if like else Reference(experiment.config, mesh, source)
    return Setup(
        program=made,
        preview=preview,
        show=jax.jit(lambda nets: preview(parallel.gathered(nets, mesh)), out_shardings=everywhere),
        snapshot=jax.jit(snapshot, out_shardings=(made.shardings, everywhere)),
        reference=reference,
        evaluation=EvaluationRunner(experiment, made.info, reference),
    )


def _check_images(made: Program, preview: Callable) -> None:
    """Raises UserError if a generator makes images of another shape than the data has."""
    with build.fitting():
        images = jax.eval_shape(preview, made.shapes.nets)
    if images.shape[1:] != made.info.image_shape:
        raise UserError(
            f"A generator makes images of shape {images.shape[1:]}, but the data has "
            f"{made.info.image_shape}; set data.image_size and data.channels, which the networks "
            "follow."
        )


def snapshot(state: GanState) -> tuple[GanState, dict[str, jax.Array]]:
    """Copies a state, because training donates its buffers, and checks whether networks are finite.

    Returns:
      The copy, and for each network whether all its numbers are finite.
    """

    def is_finite(net: NetState) -> jax.Array:
        numbers = [x for x in jax.tree.leaves(net) if jnp.issubdtype(x.dtype, jnp.inexact)]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in numbers]))

    finite = {name: is_finite(net) for name, net in state.nets.items()}
    return jax.tree.map(jnp.copy, state), finite

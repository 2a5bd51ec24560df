"""One iteration of any adversarial game, on one page."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gans.core.state import GanState
from gans.core.types import Batch, Extras, Game, Metrics, Nets, Player
from gans.ops import axis, spectral


def update(
    state: GanState, batch: Batch, *, game: Game, axis_name: str | None = None
) -> tuple[GanState, Metrics]:
    """Lets every player of the game move once: the players of one round together.

    Args:
      state: where training stands.
      batch: the images of this iteration; this device's share of them under `axis_name`.
      game: who plays, and what each player wants.
      axis_name: the mapped axis to average over when the caller is `jax.pmap` or
        `jax.shard_map`; None under plain `jax.jit`, on one device or on a mesh.

    Returns:
      The next state, and scalars under `player/name`: every loss term, `term_weighted`,
      the `loss` they add up to, and what else the game reports.
    """
    with axis.mapped(axis_name):
        noise = game.draw(jax.random.fold_in(state.key, state.step), batch)
        extras, weights = {"step": state.step, **noise}, game.weigh(state.weights, state.step)
        nets, memory, metrics = state.nets, state.memory, {}
        for players in game.rounds:
            moves, seen = {}, {}
            for player in players:
                memory, extras = player.recall(memory, extras)
                turn = take_turn(player, nets, weights, batch, extras)
                moves, seen, extras = moves | turn.moved, seen | turn.seen, {**extras, **turn.made}
                metrics |= {f"{player.name}/{name}": x for name, x in turn.report.items()}
            nets = {**nets, **seen, **moves}
        memory = game.after(memory, metrics)
    return state.replace(step=state.step + 1, nets=nets, memory=memory), metrics


class Turn(NamedTuple):
    """The result of a player's turn.

    Attributes:
      moved: the player's networks after its optimizer step.
      seen: other networks that it called and whose kernels are spectrally normalised, with the
        vectors of that where this turn has brought them; nothing else of them has changed.
      report: what to log.
      made: what the player made for later ones.
    """

    moved: Nets
    seen: Nets
    report: Metrics
    made: Extras


def take_turn(player: Player, nets: Nets, weights: Metrics, batch: Batch, extras: Extras) -> Turn:
    """The player's move, if it is its turn in this iteration: see `Player.every`."""
    go = functools.partial(move, player, nets, weights, batch, extras)
    if player.every == 1:
        return go()

    def moving() -> Turn:
        turn = go()
        report = {name: player.every * value for name, value in turn.report.items()}
        return turn._replace(report=report)

    def waiting() -> Turn:
        turn = jax.tree.map(jnp.zeros_like, jax.eval_shape(moving))
        stay = ({name: nets[name] for name in each} for each in (turn.moved, turn.seen))
        return Turn(*stay, turn.report, turn.made)

    return jax.lax.cond(extras["step"] % player.every == 0, moving, waiting)


def move(player: Player, nets: Nets, weights: Metrics, batch: Batch, extras: Extras) -> Turn:
    """One optimizer step of one player on `sum(weight * term)`, all other networks held fixed."""

    def loss(params):
        own = {name: nets[name].replace(params=params[name]) for name in player.nets}
        outcome = player.loss({**nets, **own}, batch, extras)
        weighted = {f"{name}_weighted": weights[name] * x for name, x in outcome.terms.items()}
        total = sum(weighted.values())
        report = {"loss": total, **outcome.terms, **weighted, **outcome.metrics}
        model_state = {name: net.model_state for name, net in outcome.nets.items()}
        return total, (report, model_state, outcome.made)

    params = {name: nets[name].params for name in player.nets}
    grads, (report, model_state, made) = jax.grad(loss, has_aux=True)(params)
    grads, report, model_state = jax.tree.map(axis.mean, (grads, report, model_state))
    called = {name: nets[name].replace(model_state=state) for name, state in model_state.items()}
    moved = {name: called[name].descend(grads[name]) for name in player.nets}
    seen = {
        name: nets[name].with_spectral(net)
        for name, net in called.items()
        if name not in moved and spectral.COLLECTION in net.model_state
    }
    return Turn(moved, seen, report, made)

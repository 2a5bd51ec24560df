"""One iteration of any adversarial game, on one page."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from gans.core.state import GanState
from gans.core.types import Batch, Extras, Game, Metrics, Nets, Player
from gans.ops import axis


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
            moves = {}
            for player in players:
                memory, extras = player.recall(memory, extras)
                moved, report, made = take_turn(player, nets, weights, batch, extras)
                moves, extras = {**moves, **moved}, {**extras, **made}
                metrics |= {f"{player.name}/{name}": value for name, value in report.items()}
            nets = {**nets, **moves}
        memory = game.after(memory, metrics)
    return state.replace(step=state.step + 1, nets=nets, memory=memory), metrics


def take_turn(
    player: Player, nets: Nets, weights: Metrics, batch: Batch, extras: Extras
) -> tuple[Nets, Metrics, Extras]:
    """The player's move, if it is its turn in this iteration: see `Player.every`."""
    go = functools.partial(move, player, nets, weights, batch, extras)
    if player.every == 1:
        return go()

    def moving() -> tuple[Nets, Metrics, Extras]:
        moved, report, made = go()
        return moved, {name: player.every * value for name, value in report.items()}, made

    def waiting() -> tuple[Nets, Metrics, Extras]:
        _, *rest = jax.tree.map(jnp.zeros_like, jax.eval_shape(moving))
        return {name: nets[name] for name in player.nets}, *rest

    return jax.lax.cond(extras["step"] % player.every == 0, moving, waiting)


def move(
    player: Player, nets: Nets, weights: Metrics, batch: Batch, extras: Extras
) -> tuple[Nets, Metrics, Extras]:
    """One optimizer step of one player on `sum(weight * term)`, all other networks held fixed.

    Returns:
      The player's networks after the step, what to log, and what the player made.
    """

    def loss(params):
        own = {name: nets[name].replace(params=params[name]) for name in player.nets}
        outcome = player.loss({**nets, **own}, batch, extras)
        weighted = {f"{name}_weighted": weights[name] * x for name, x in outcome.terms.items()}
        total = sum(weighted.values())
        report = {"loss": total, **outcome.terms, **weighted, **outcome.metrics}
        model_state = {name: outcome.nets[name].model_state for name in player.nets}
        return total, (report, model_state, outcome.made)

    params = {name: nets[name].params for name in player.nets}
    grads, (report, model_state, made) = jax.grad(loss, has_aux=True)(params)
    grads, report, model_state = jax.tree.map(axis.mean, (grads, report, model_state))
    moved = {
        name: nets[name].replace(model_state=model_state[name]).descend(grads[name])
        for name in player.nets
    }
    return moved, report, made

"""One iteration of any adversarial game, on one page."""

from __future__ import annotations

import jax

from gans.core.state import GanState
from gans.core.types import Batch, Game, Given, Metrics, Nets, Player
from gans.models.layers import synchronised


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
    given = game.draw(jax.random.fold_in(state.key, state.step), batch, axis_name)
    nets, memory, metrics = state.nets, state.memory, {}
    for players in game.rounds:
        moves = {}
        for player in players:
            memory, given = player.recall(memory, given, axis_name)
            moved, report, made = move(player, nets, state.weights, batch, given, axis_name)
            moves, given = {**moves, **moved}, {**given, **made}
            metrics |= {f"{player.name}/{name}": value for name, value in report.items()}
        nets = {**nets, **moves}
    return state.replace(step=state.step + 1, nets=nets, memory=memory), metrics


def move(
    player: Player,
    nets: Nets,
    weights: Metrics,
    batch: Batch,
    given: Given,
    axis_name: str | None,
) -> tuple[Nets, Metrics, Given]:
    """One optimizer step of one player on `sum(weight * term)`, all other networks held fixed.

    Returns:
      The player's networks after the step, what to log, and what the player made.
    """

    def loss(params):
        own = {name: nets[name].replace(params=params[name]) for name in player.nets}
        outcome = player.loss({**nets, **own}, batch, given)
        weighted = {f"{name}_weighted": weights[name] * x for name, x in outcome.terms.items()}
        total = sum(weighted.values())
        report = {"loss": total, **outcome.terms, **weighted, **outcome.metrics}
        model_state = {name: outcome.nets[name].model_state for name in player.nets}
        return total, (report, model_state, outcome.made)

    with synchronised(axis_name):
        params = {name: nets[name].params for name in player.nets}
        grads, (report, model_state, made) = jax.grad(loss, has_aux=True)(params)
    if axis_name is not None:
        grads, report, model_state = jax.lax.pmean((grads, report, model_state), axis_name)
    moved = {
        name: nets[name].replace(model_state=model_state[name]).descend(grads[name])
        for name in player.nets
    }
    return moved, report, made

"""The project's own game, losses and update, played on a line; looked at from outside."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.theory import densities
from experiments.studies.theory.networks import Discriminator, Rising
from gans.core.optim import optimizer
from gans.core.state import GanState, NetState, create_state
from gans.core.types import Batch, Game
from gans.core.update import update
from gans.games import latent
from gans.losses import adversarial as losses

# Beyond these a standard normal number comes once in 10^23 draws.
_LATENT = np.linspace(-10.0, 10.0, 20001)


RATES = {
    # Slower, so that the discriminator stays close to the best one.
    "generator": {"name": "adam", "learning_rate": 3e-3, "b1": 0.5},
    "discriminator": {"name": "adam", "learning_rate": 1e-2, "b1": 0.5},
}


class Match:
    """A rising generator against a discriminator, on draws from a density that is known.

    Args:
      data: the density of the data.
      generator: before training.
      game: what is played.
      num_steps: until the learning rates have fallen to 0.
      batch_size: numbers of each kind in one iteration.
      rates: keyword arguments of `gans.core.optim.optimizer` by network.
    """

    def __init__(
        self,
        data: densities.Mixture,
        generator: Rising,
        game: Game,
        *,
        num_steps: int,
        batch_size: int,
        rates: Mapping[str, Mapping] = RATES,
    ):
        def batch(key: jax.Array) -> Batch:
            return {"image": data.sample(key, batch_size).reshape(-1, 1, 1, 1)}

        def step(state: GanState, _) -> tuple[GanState, dict]:
            # Not the key that the game draws its latent numbers with.
            key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 1)
            return update(state, batch(key), game=game)

        start = functools.partial(
            create_state,
            game=game,
            nets={"generator": generator, "discriminator": Discriminator()},
            optimizers={
                name: optimizer(**rate, schedule="linear", num_steps=num_steps)
                for name, rate in rates.items()
            },
            # All 1, so that the discriminator's loss is -V.
            weights={"real": 1.0, "fake": 1.0, "adversarial": 1.0},
        )
        self._start = jax.jit(lambda key: start(key, batch=batch(key)))
        self._advance = jax.jit(
            lambda state, count: jax.lax.scan(step, state, length=count), static_argnums=1
        )

    def start(self, seed: int, **nets: NetState) -> GanState:
        """The state before training, with the parameters of these networks for its own."""
        state = self._start(jax.random.key(seed))
        given = {name: state.nets[name].replace(params=net.params) for name, net in nets.items()}
        return state.replace(nets={**state.nets, **given})

    def advance(self, state: GanState, count: int) -> tuple[GanState, dict[str, np.ndarray]]:
        """`count` iterations in one call; their metrics as arrays `[count]`."""
        state, metrics = self._advance(state, count)
        return state, jax.tree.map(np.asarray, metrics)


def game(adversarial: str) -> Game:
    """Both players move in turn."""
    return latent.joint(adversarial=getattr(losses, adversarial), latent_dim=1)


def without_generator() -> Game:
    """The same game in which the generator never moves."""
    both = game("minimax")
    return dataclasses.replace(both, rounds=both.rounds[:1])


def generated_density(generator: NetState, x: np.ndarray) -> np.ndarray:
    """The exact density at `x` of what a rising generator makes."""
    with jax.enable_x64(True):
        image, slope = _image_and_slope(generator, jnp.asarray(_LATENT))
    return densities.change_of_variables(x, _LATENT, np.asarray(image), np.asarray(slope))


@jax.jit
def _image_and_slope(generator: NetState, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    def g(z):
        return generator(z[:, None], train=False)[0].reshape(-1)

    return jax.jvp(g, (z,), (jnp.ones_like(z),))


def logits(discriminator: NetState, x: np.ndarray) -> np.ndarray:
    """What a discriminator says of the numbers `x`, float64 `[N]`."""
    images = jnp.asarray(x, jnp.float32).reshape(-1, 1, 1, 1)
    return np.asarray(discriminator(images, train=False)[0], np.float64).reshape(-1)

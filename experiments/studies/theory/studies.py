"""Three things that theory says of the game, each tried out: what they find, not how it looks.

All arrays are float64. Densities and logits `[N]` belong to the points `LINE`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.theory import densities
from experiments.studies.theory.networks import Rising
from experiments.studies.theory.training import (
    Match,
    game,
    generated_density,
    logits,
    without_generator,
)
from gans.core.state import GanState, NetState
from gans.core.types import Nets
from gans.losses import adversarial as losses

DATA = densities.Mixture(
    weights=(0.3, 0.45, 0.25), means=(-2.2, 0.0, 2.2), deviations=(0.5, 0.6, 0.45)
)
LINE = np.linspace(-16.0, 16.0, 6401)
MASS = 0.999
COMPARED = ("minimax", "non_saturating")

Tick = Callable[[int], None]
"""Called with the number of iterations just done."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How long all this takes.

    Attributes:
      batch_size: numbers of each kind in one iteration.
      fixed_steps: iterations of a discriminator against a generator that does not move.
      duel_steps: the same against each generator that is looked at more closely.
      steps: iterations of both.
      every: iterations between two looks at both.
      far_steps: iterations from a start far from the data, with each loss.
      far_head_start: iterations of the discriminator alone before these.
    """

    batch_size: int = 2048
    fixed_steps: int = 6000
    duel_steps: int = 1500
    steps: int = 3000
    every: int = 25
    far_steps: int = 750
    far_head_start: int = 300

    @property
    def frames(self) -> list[int]:
        """Steps at which the densities are shown, closer together where they move faster."""
        return [round(part * self.steps / self.every) * self.every for part in _FRAMES]

    @property
    def total(self) -> int:
        """Iterations of everything."""
        alone = self.fixed_steps + len(self.frames) * self.duel_steps
        return alone + self.steps + self.far_head_start + 2 * self.far_steps


_FRAMES = (0, 1 / 60, 1 / 20, 1 / 6, 1 / 2, 1)


@dataclasses.dataclass(frozen=True)
class Duel:
    """A discriminator trained to the end against one generator.

    Attributes:
      q: density of what the generator makes.
      logit: of the discriminator.
      step: of the generator's training.
    """

    q: np.ndarray
    logit: np.ndarray
    step: int = 0

    @property
    def value(self) -> float:
        """`V(D, G)` of this discriminator."""
        return densities.value(LINE, p(), self.q, self.logit)

    @property
    def jensen_shannon(self) -> float:
        return densities.jensen_shannon(LINE, p(), self.q)

    @property
    def best_value(self) -> float:
        """What theory says of the best discriminator: `-log 4 + 2 JSD`."""
        return densities.best_value(LINE, p(), self.q)

    @property
    def inside(self) -> np.ndarray:
        """Which points hold the middle `MASS` of real and generated numbers together."""
        return densities.central(LINE, 0.5 * (p() + self.q), MASS)

    @property
    def error(self) -> np.ndarray:
        """`D - D*` at all points."""
        best = densities.optimal_logit(p(), self.q)
        return densities.sigmoid(self.logit) - densities.sigmoid(best)


@dataclasses.dataclass(frozen=True)
class Course:
    """A game played from beginning to end; arrays `[looks]` but for the duels.

    Attributes:
      steps: iterations done at each look; the first is 0.
      jensen_shannon: the divergence there.
      estimated_steps: the middles between two looks, `[looks - 1]`.
      estimated: mean of V on the training batches between two looks, `[looks - 1]`.
      duels: against the generators of some of the steps, the discriminators trained on.
    """

    steps: np.ndarray
    jensen_shannon: np.ndarray
    estimated_steps: np.ndarray
    estimated: np.ndarray
    duels: tuple[Duel, ...] = ()

    @property
    def best_value(self) -> np.ndarray:
        """`-log 4 + 2 JSD` at each look."""
        return -densities.LOG_4 + 2.0 * self.jensen_shannon


def p() -> np.ndarray:
    """The density of the data."""
    return DATA.density(LINE)


def fixed_generator(seed: int, sizes: Sizes, tick: Tick) -> Duel:
    """A discriminator against a generator of N(0.3, 1.9^2) that does not move."""
    generator = Rising(shift=0.3, scale=1.9, steps=0)
    alone = Match(
        DATA,
        generator,
        without_generator(),
        num_steps=sizes.fixed_steps,
        batch_size=sizes.batch_size,
    )
    return _duel(alone, seed, sizes.fixed_steps, sizes, tick)


def both(seed: int, sizes: Sizes, tick: Tick) -> Course:
    """The minimax game from N(-3, 0.5^2) on, and what its discriminators were on the way to.

    At some steps the generator is stopped, and the discriminator trained on to the end.
    """
    generator, batch_size = Rising(shift=-3.0, scale=0.5), sizes.batch_size
    match = Match(DATA, generator, game("minimax"), num_steps=sizes.steps, batch_size=batch_size)
    alone = Match(
        DATA,
        generator,
        without_generator(),
        num_steps=sizes.duel_steps,
        batch_size=batch_size,
    )
    course, seen = _play(match, match.start(seed), sizes.steps, sizes, tick)
    duels = [
        _duel(alone, seed, sizes.duel_steps, sizes, tick, step, **seen[step])
        for step in sizes.frames
    ]
    return dataclasses.replace(course, duels=tuple(duels))


def far_away(seed: int, sizes: Sizes, tick: Tick) -> dict[str, Course]:
    """Both losses of the generator from N(-6, 0.5^2) on, against a discriminator that is ahead.

    The generator descends by its gradient alone: Adam would divide the gradient's size out.
    """
    rates = {
        "generator": {"name": "sgd", "learning_rate": 0.02},
        "discriminator": {"name": "adam", "learning_rate": 3e-3, "b1": 0.5},
    }

    def match(game):
        # No rate falls noticeably, so that a generator that stands still is stuck for good.
        return Match(
            DATA,
            Rising(shift=-6.0, scale=0.5),
            game,
            num_steps=1_000_000,
            batch_size=sizes.batch_size,
            rates=rates,
        )

    alone = match(without_generator())
    ahead, _ = alone.advance(alone.start(seed), sizes.far_head_start)
    tick(sizes.far_head_start)
    courses = {}
    for name in COMPARED:
        playing = match(game(name))
        start = playing.start(seed, discriminator=ahead.nets["discriminator"])
        courses[name], _ = _play(playing, start, sizes.far_steps, sizes, tick)
    return courses


def pulls(distances: np.ndarray) -> dict[str, np.ndarray]:
    """How strongly each loss pulls a generator of N(d, 1) to data of N(0, 1).

    Args:
      distances: d, `[M]`.

    Returns:
      By loss, the mean over generated x of `|d loss / dx|` under the best discriminator, `[M]`.
    """

    def pull(name, distance):
        # D* = p / (p + q) has the logit log p - log q, of slope -d.
        logit = jnp.asarray(0.5 * distance**2 - distance * LINE)
        slope = jax.vmap(jax.grad(getattr(losses, name).generator))(logit) * -distance
        q = densities.normal(LINE - distance)
        return float(np.trapezoid(np.abs(np.asarray(slope, np.float64)) * q, LINE))

    return {name: np.array([pull(name, d) for d in distances]) for name in COMPARED}


def _duel(
    alone: Match,
    seed: int,
    num_steps: int,
    sizes: Sizes,
    tick: Tick,
    step: int = 0,
    **nets: NetState,
) -> Duel:
    state = alone.start(seed, **nets)
    for count in _portions(num_steps, sizes.every):
        state, _ = alone.advance(state, count)
        tick(count)
    return Duel(
        q=generated_density(state.nets["generator"], LINE),
        logit=logits(state.nets["discriminator"], LINE),
        step=step,
    )


def _play(
    match: Match, state: GanState, num_steps: int, sizes: Sizes, tick: Tick
) -> tuple[Course, dict[int, Nets]]:
    """The whole game, and the networks at each look, by step."""
    steps, divergences, estimated, seen = [0], [], [], {0: state.nets}

    def look():
        q = generated_density(state.nets["generator"], LINE)
        divergences.append(densities.jensen_shannon(LINE, p(), q))

    look()
    for count in _portions(num_steps, sizes.every):
        state, metrics = match.advance(state, count)
        tick(count)
        look()
        estimated.append(-np.mean(metrics["discriminator/loss"], dtype=np.float64))
        steps.append(steps[-1] + count)
        seen[steps[-1]] = state.nets
    steps = np.array(steps)
    course = Course(
        steps=steps,
        jensen_shannon=np.array(divergences),
        estimated_steps=0.5 * (steps[1:] + steps[:-1]),
        estimated=np.array(estimated),
    )
    return course, seen


def _portions(total: int, size: int) -> list[int]:
    """`total` in portions of `size`, and what is left."""
    whole, rest = divmod(total, size)
    return [size] * whole + [rest] * bool(rest)

"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gans.errors import UserError


class Turns(NamedTuple):
    """When in an iteration an optimizer takes its steps.

    Attributes:
      own: places of its steps among those that are taken in an iteration, ascending from 1.
      all: how many those are.
    """

    own: tuple[int, ...]
    all: int

    def count(self, own_count: jax.Array) -> jax.Array:
        """The steps that all have taken by the time of one's own step of a number, from 1."""
        done, place = jnp.divmod(own_count - 1, len(self.own))
        return self.all * done + jnp.asarray(self.own, own_count.dtype)[place]


def adam(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: optax.ScalarOrSchedule = 0.999,
    eps: float = 1e-8,
    turns: Turns | None = None,
) -> optax.GradientTransformation:
    """Adam as in the paper's algorithm 1, PyTorch and optax (Kingma and Ba 2015, arXiv:1412.6980).

    `m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)`: epsilon is added to what was corrected.
    With `turns`, t counts the steps of all whose turns they are. A `b2` that follows a schedule is
    that of the present step in the correction too, as where PyTorch's `betas` are set anew.
    """
    return optax.chain(
        _scale_by_adam(b1, b2, lambda correction: eps * correction, turns),
        optax.scale_by_learning_rate(learning_rate),
    )


def keras_adam(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: optax.ScalarOrSchedule = 0.999,
    eps: float = 1e-7,
    turns: Turns | None = None,
) -> optax.GradientTransformation:
    """Adam with the epsilon where Keras and the closing remark of the paper's section 2 have it.

    `sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`: it differs from `adam` in the first
    steps, where gradients are small. With `turns`, t counts the steps of all whose turns they
    are, as the one object does by which several models were compiled in Keras 2.
    """
    return optax.chain(
        _scale_by_adam(b1, b2, lambda correction: eps, turns),
        optax.scale_by_learning_rate(learning_rate),
    )


def _scale_by_adam(
    b1: float,
    b2: optax.ScalarOrSchedule,
    eps: Callable[[jax.Array], jax.Array | float],
    turns: Turns | None,
) -> optax.GradientTransformation:
    """Both forms of Adam, with the state of optax'; `eps` is given `sqrt(1 - b2^t)`."""

    def update(grads, state, params=None):
        del params
        # Keras' way to write an average. XLA's compiler for the CPU regards b1 * m + (1 - b1) * g
        # as cheap to repeat where b1 is 1/2, computes it twice and copies the old m for that.
        mu = jax.tree.map(lambda m, g: m + (1.0 - b1) * (g - m), state.mu, grads)
        decay = b2(state.count) if callable(b2) else b2
        nu = jax.tree.map(lambda v, g: v + (1.0 - decay) * (g * g - v), state.nu, grads)
        count = optax.safe_increment(state.count)
        t = (turns.count(count) if turns else count).astype(jnp.float32)
        correction = jnp.sqrt(1.0 - decay**t)
        rate, offset = correction / (1.0 - b1**t), eps(correction)
        updates = jax.tree.map(lambda m, v: rate * m / (jnp.sqrt(v) + offset), mu, nu)
        return updates, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": adam,
    "keras_adam": keras_adam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
}

SCHEDULES: dict[str, Callable[[float, int], optax.ScalarOrSchedule]] = {
    "constant": lambda rate, steps: rate,
    "linear": lambda rate, steps: optax.linear_schedule(rate, 0.0, steps),
    # CycleGAN's: constant for the first half, then linearly to zero (arXiv:1703.10593, section 4).
    "constant_linear": lambda rate, steps: optax.linear_schedule(
        rate, 0.0, steps - steps // 2, transition_begin=steps // 2
    ),
}


_OF_ADAM = {"b1", "b2", "eps"}


def optimizer(
    name: str | Callable[..., optax.GradientTransformation],
    *,
    learning_rate: float,
    schedule: str,
    num_steps: int,
    turns: Turns | None = None,
    schedules: Mapping[str, Callable[[jax.Array], jax.Array | float]] | None = None,
    **constants: float,
) -> optax.GradientTransformation:
    """The optimizer called `name`, its rate following a schedule over `num_steps` iterations.

    Args:
      name: a key of `OPTIMIZERS`, or a function of `learning_rate` and constants.
      learning_rate: at the start.
      schedule: a key of `SCHEDULES`.
      num_steps: optimizer steps until a falling schedule ends.
      turns: see `adam`; left out where the optimizer counts nothing, or each its own steps.
      schedules: of `learning_rate`, in place of `schedule`, and of constants that may follow one,
        as `b2` of Adam; functions of the optimizer's own steps done.
      **constants: of the optimizer. `b1`, `b2` and `eps` are left out where it has none, so
        that a config can change `name` alone.

    Raises:
      UserError: no optimizer or schedule of that name, a constant it does not have, or one that can
        follow no schedule, or two schedules of the learning rate.
    """
    if not callable(name) and name not in OPTIMIZERS:
        raise UserError(f"No optimizer is called {name!r}; choose one of {', '.join(OPTIMIZERS)}.")
    if schedule not in SCHEDULES:
        raise UserError(
            f"No schedule is called {schedule!r}; choose one of {', '.join(SCHEDULES)}."
        )
    make = name if callable(name) else OPTIMIZERS[name]
    known = inspect.signature(make).parameters
    if unknown := set(constants) - set(known) - _OF_ADAM:
        raise UserError(f"The optimizer {name!r} has no {', '.join(sorted(unknown))}.")
    constants = {key: value for key, value in constants.items() if key in known}
    if turns and "turns" in known:
        constants["turns"] = turns
    if schedule != "constant" and "learning_rate" in (schedules or {}):
        raise UserError(
            f"The learning rate follows schedule {schedule!r} and another in schedules: set "
            "schedule to constant, or leave out schedules.learning_rate."
        )
    rate = SCHEDULES[schedule](learning_rate, num_steps)
    values = {"learning_rate": rate, **constants, **(schedules or {})}
    for key in schedules or {}:
        kind = str(known[key].annotation) if key in known else ""
        if key != "learning_rate" and "Schedule" not in kind and "Callable" not in kind:
            raise UserError(f"The optimizer {name!r} has no {key} that could follow a schedule.")
    return make(values.pop("learning_rate"), **values)

"""What the numbers of a config may be.

Checked before anything is loaded, so that a wrong one is refused in the first seconds. The upper
bounds are far beyond what anybody trains: they are for slips of the keyboard, which would otherwise
fill the memory.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import numbers
from collections.abc import Mapping
from typing import Any

from gans.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`; without `most` itself if it is `open`."""

    least: float
    most: float
    whole: bool = False
    open: bool = False

    def holds(self, value: Any) -> bool:
        kind = numbers.Integral if self.whole else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            return False
        return self.least <= value < self.most or (value == self.most and not self.open)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        least, most = (
            f"{bound:,}" if self.whole else f"{bound:g}" for bound in (self.least, self.most)
        )
        return f"{kind} from {least} to {'below ' if self.open else ''}{most}"


def _count(least: int, most: int) -> Range:
    return Range(least, most, whole=True)


SEED = _count(0, 2**32 - 1)
"""Of seeds: JAX takes the lower 32 bits of any other."""

_SIDE = _count(1, 2**14)
_EVERY = _count(0, 2**31 - 1)  # 0 for never
_FEATURES = _count(1, 2**16)
_SHARE = Range(0.0, 1.0, open=True)
_CHANCE = Range(0.0, 1.0)
_WEIGHT = Range(0.0, 1e9)
# Of ADA.
_OPERATIONS = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac", "brightness")
_OPERATIONS += ("contrast", "lumaflip", "hue", "saturation", "cutout")

RANGES: Mapping[str, Range] = {
    "seed": SEED,
    "data.batch_size": _count(1, 2**20),
    "data.image_size": _SIDE,
    "data.load_size": _SIDE,
    "data.channels": _count(1, 3),
    "data.test_images": _count(1, 2**20),
    "data.max_megapixels": Range(1e-6, 1e6),
    "data.resident_mib": _count(0, 2**30),
    "game.latent_dim": _FEATURES,
    "game.discriminator_steps": _count(1, 1000),
    "game.generator_batch": _count(0, 2**20),
    "game.pool_size": _count(0, 2**20),
    "nets.*.image_size": _SIDE,
    "nets.*.channels": _FEATURES,
    "nets.*.stem_features": _FEATURES,
    "nets.*.features": _FEATURES,
    "nets.*.hidden_features": _FEATURES,
    "nets.*.condition_features": _FEATURES,
    "nets.*.group_features": _FEATURES,
    "nets.*.expansion": _FEATURES,
    "nets.*.strides": _count(1, 2**10),
    "nets.*.classes": _count(1, 2**20),
    "nets.*.blocks": _count(0, 1000),
    "nets.*.depth": _count(0, 100),
    "nets.*.slope": Range(0.0, 1.0),
    "nets.*.dropout": _SHARE,
    "optim.*.learning_rate": Range(0.0, 1000.0),
    "optim.*.b1": _SHARE,
    "optim.*.b2": _SHARE,
    "optim.*.eps": Range(0.0, 1000.0),
    "optim.*.ema_decay": _SHARE,
    "optim.*.ema_half_life": Range(0.0, 1e9),  # 0 for none, or to begin a schedule with
    "optim.*.ema_warmup": Range(0.0, 1e9),
    "optim.*.schedules.b2.begin": _SHARE,
    "optim.*.schedules.b2.end": _SHARE,
    "optim.*.schedules.*.begin": Range(0.0, 1e9),
    "optim.*.schedules.*.end": Range(0.0, 1e9),
    "optim.*.schedules.*.steps": _EVERY,
    "optim.*.schedules.*.warmup": _EVERY,
    "optim.*.momentum": _SHARE,
    "optim.*.decay": Range(0.0, 1.0),
    **{f"augment.{name}": _CHANCE for name in _OPERATIONS},
    "augment.probability": _CHANCE,
    "augment.schedule.begin": _CHANCE,
    "augment.schedule.end": _CHANCE,
    "augment.schedule.steps": _EVERY,
    "augment.schedule.warmup": _EVERY,
    "augment.adaptive.target": Range(-1.0, 1.0),
    "augment.adaptive.images": _count(1, 10**12),
    "augment.adaptive.every": _count(1, 10**6),
    "loss.cycle": _WEIGHT,
    "loss.identity": _WEIGHT,
    "loss.weights.*": _WEIGHT,
    "loss.penalties.*.every": _count(1, 10**6),
    "loss.penalties.*.decay": _SHARE,
    "loss.penalties.*.start": _EVERY,
    "loss.penalties.*.spread": Range(0.0, 1e6),
    "loss.schedule.*.begin": _WEIGHT,
    "loss.schedule.*.end": _WEIGHT,
    "loss.schedule.*.steps": _EVERY,
    "loss.schedule.*.warmup": _EVERY,
    "train.num_epochs": Range(0.0, 1e8),
    "train.epoch_steps": _count(1, 10**8),
    "train.num_steps": _count(1, 10**8),
    "train.steps_per_call": _count(1, 10**6),
    "train.log_every": _EVERY,
    "train.sample_every": _EVERY,
    "preview.rows": _count(1, 1000),
    "preview.columns": _count(1, 1000),
    "checkpoint.every_steps": _EVERY,
    "checkpoint.keep": _count(1, 2**31 - 1),
    "evaluators.*.every_steps": _EVERY,
    "evaluators.*.num_fake": _count(1, 10**7),
    "evaluators.*.num_real": _count(0, 10**7),  # 0 for all
    "evaluators.*.num": _count(1, 10**7),
    "evaluators.*.seed": SEED,
    "mesh.data": _count(0, 2**20),
}
"""By paths of fields, in which * stands for any name. Of a tuple, every entry."""

_NAMES = ("evaluators.*.comparisons",)  # tuples of names
_NUMBERS = 2**36  # in the images of a batch
_CALLS = 10**7  # of the compiled steps


def check(fields: Mapping[str, Any]) -> None:
    """Raises UserError for a number that is out of its range.

    Args:
      fields: of a config, by their paths.
    """
    for path, value in fields.items():
        for pattern, allowed in RANGES.items():
            if fnmatch.fnmatchcase(path, pattern):
                require(path, value, allowed)
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in _NAMES):
            _require_names(path, value)
    _check_together(fields)


def require(path: str, value: Any, allowed: Range) -> None:
    """Raises UserError unless a number, or each of a tuple, is in a range."""
    entries = value if isinstance(value, list | tuple) else [value]
    if not all(allowed.holds(entry) for entry in entries):
        each = "each must be" if isinstance(value, list | tuple) else "it must be"
        raise UserError(f"{path} is {value!r}; {each} {allowed}.")


def _require_names(path: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise UserError(
            f"{path} is {value!r}; it must be names, as in ('comparisons.frechet',), or ()."
        )


def _check_together(fields: Mapping[str, Any]) -> None:
    """Raises UserError for numbers that are right alone, and together fill the memory."""
    names = ("data.batch_size", "data.image_size", "data.channels")
    if all(name in fields for name in names):
        batch, side, channels = (fields[name] for name in names)
        if batch * side**2 * channels > _NUMBERS:
            raise UserError(
                f"data.batch_size {batch:,} and data.image_size {side:,} make batches of "
                f"{batch * side**2 * channels:,} numbers; no more than {_NUMBERS:,} can be."
            )
    steps, size = fields.get("train.num_steps", 1), fields.get("train.steps_per_call", 1)
    if steps > _CALLS * size:
        raise UserError(
            f"train.num_steps {steps:,} is too many for train.steps_per_call {size:,}; raise that "
            f"to {math.ceil(steps / _CALLS):,} at least."
        )

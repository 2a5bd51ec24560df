"""What an evaluator finds: numbers by name, and what to mind when they are read.

A number that these images do not allow, or that is not finite, is left out and said so. So no
evaluation ends a training, and no record holds what JSON cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Missing(str):
    """In place of a number: why there is none, a sentence."""


class Suspect(float):
    """A number that tells of something wrong.

    Attributes:
      caution: what that is, a sentence.
    """

    def __new__(cls, value: float, caution: str) -> Suspect:
        made = super().__new__(cls, value)
        made.caution = caution
        return made


Numbers = Mapping[str, float | Missing]


class Findings:
    """Numbers, and cautions about them.

    Attributes:
      numbers: finite ones, by name.
      cautions: a sentence each.
      left_out: what has no number: names of values, or of functions that gave none at all.
    """

    def __init__(self, cautions: Sequence[str] = (), left_out: Sequence[str] = ()):
        self.numbers: dict[str, float] = {}
        self.cautions, self.left_out = list(cautions), list(left_out)

    def warn(self, cautions: Sequence[str]) -> None:
        """Takes in cautions, each once."""
        self.cautions += [caution for caution in cautions if caution not in self.cautions]

    def ask(self, name: str, function: Callable[..., Numbers], *args) -> None:
        """Takes in what a function returns; where it raises ValueError, it is left out."""
        try:
            found = function(*args)
        except ValueError as error:
            found = {name: Missing(error)}
        self.take(found)

    def take(self, found: Numbers) -> None:
        """Takes in numbers as far as there are any."""
        for name, value in found.items():
            if not isinstance(value, Missing) and not math.isfinite(value):
                value = Missing(f"it is {'not a number' if math.isnan(value) else 'infinite'}.")
            if isinstance(value, Missing):
                self.warn([f"{name} is left out: {value}"])
                self.left_out += [name] if name not in self.left_out else []
                continue
            self.warn([value.caution] if isinstance(value, Suspect) else [])
            self.numbers[name] = float(value)

    @property
    def notes(self) -> dict[str, Any]:
        """What a protocol says beside how numbers were found."""
        left_out = {"left_out": self.left_out} if self.left_out else {}
        return {"cautions": self.cautions} | left_out

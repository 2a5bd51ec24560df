"""Feature networks: the frozen networks whose outputs metrics compare images by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Seen(NamedTuple):
    """The outputs of a feature network for images.

    Attributes:
      features: float32 `[B, D]`.
      logits: float32 `[B, K]`.
    """

    features: jax.Array
    logits: jax.Array


@dataclasses.dataclass(frozen=True)
class FeatureNet:
    """A frozen network with its weights.

    Scores are comparable only where name, weights and resize are the same.

    Attributes:
      name: the name of the architecture, e.g. "classifier".
      weights: SHA-256 of the file of its weights, hexadecimal.
      resize: one phrase that says how images are brought to the network's size.
      classes: names of the logits' classes, () where those are not the data's.
      apply: the pure function `(variables, images) -> Seen`, for uint8 images `[B, H, W, C]` of any
        size.
      variables: a tree of arrays.
    """

    name: str
    weights: str
    resize: str
    classes: tuple[str, ...]
    apply: Callable[[Any, jax.Array], Seen]
    variables: Any

    def __call__(self, images: jax.Array) -> Seen:
        """`apply` to uint8 `[B, H, W, C]`, compiled once for each shape."""
        return _apply(self.apply, self.variables, images)


@jax.jit(static_argnums=0)
def _apply(apply: Callable[[Any, jax.Array], Seen], variables: Any, images: jax.Array) -> Seen:
    return apply(variables, images)

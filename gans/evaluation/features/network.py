"""What metrics know of the networks through which they look at images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Seen(NamedTuple):
    """What a network makes of images.

    Attributes:
      features: float32 `[B, D]`.
      logits: float32 `[B, K]`.
    """

    features: jax.Array
    logits: jax.Array


@dataclasses.dataclass(frozen=True)
class FeatureNet:
    """A network that is trained no further.

    Scores are comparable only where name, weights and resize are the same.

    Attributes:
      name: of the kind of network.
      weights: SHA-256 of the file of its weights, hexadecimal.
      resize: one phrase that says how images are brought to the network's size.
      classes: names of the logits' classes, () where those are not the data's.
      apply: pure; from `variables` and uint8 images `[B, H, W, C]` of any size to what it sees.
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

"""A frozen network through which metrics look at images."""

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
    """A frozen network.

    Attributes:
      name: what metrics of its features are called after: "inception", "classifier".
      weights: SHA-256 of its weights, hexadecimal.
      resize: how images are brought to its size, "none" if they are not.
      classes: names of the logits' classes, empty if they are not those of a data set.
      apply: `apply(variables, images) -> Seen`, pure, of uint8 `[B, H, W, C]`.
      variables: a pytree.
    """

    name: str
    weights: str
    resize: str
    classes: tuple[str, ...]
    apply: Callable[[Any, jax.Array], Seen]
    variables: Any

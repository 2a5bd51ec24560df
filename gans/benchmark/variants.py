"""The ways to run a program in PyTorch that are tried. Plain data, for all processes."""

from __future__ import annotations

from typing import NamedTuple


class Variant(NamedTuple):
    """A way to run the same in PyTorch.

    Attributes:
      layout: "contiguous", that is NCHW, or "channels_last".
      compiled: the mode of `torch.compile`, empty for eager execution.
      mixed: whether convolutions are in bfloat16 by autocast.
    """

    layout: str
    compiled: str = ""
    mixed: bool = False

    @property
    def name(self) -> str:
        """In tables."""
        how = {"": "eager", "default": "compiled"}.get(self.compiled, f"compiled {self.compiled}")
        return ", ".join([how, self.layout, *(["bfloat16"] if self.mixed else [])])

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


def variants(dtypes: set[str], *, compiled: bool, on_gpu: bool) -> list[Variant]:
    """All that are worth a try, the plainest first.

    Args:
      dtypes: what our networks compute in; bfloat16 is tried only where they do.
      compiled: whether `torch.compile` is tried.
      on_gpu: whether there is a GPU, where a program can be replayed as a graph.
    """
    modes = ["", *(["default"] if compiled else [])]
    if compiled and on_gpu:
        modes.append("reduce-overhead")
    return [
        Variant(layout, mode, mixed)
        for mixed in ([False, True] if "bfloat16" in dtypes else [False])
        for mode in modes
        for layout in ("contiguous", "channels_last")
    ]

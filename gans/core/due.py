"""When what is done every so many steps is due."""

from __future__ import annotations


def is_due(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in `(before, after]`; never, if `every` is 0."""
    return every > 0 and before // every < after // every

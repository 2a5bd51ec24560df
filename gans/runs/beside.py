"""What a run writes beside its record, and can do without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from gans.errors import UserError


class Beside:
    """One kind of files whose writing may fail: a sentence says so, and training goes on.

    Each is tried again whenever there is something new to write, so that a disk that was full for
    a while costs what would have been written meanwhile. The sentence comes once: where a disk has
    room for some and not for others, it would come again and again.

    Args:
      what: is written, as in "Sample pictures".
      say: where to put the sentence.
    """

    def __init__(self, what: str, say: Callable[[str], None]):
        self._what, self._say = what, say
        self._is_said = False

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """A context of writing, which no failure leaves."""
        try:
            yield
        except Exception as error:  # of whatever library
            if not self._is_said:
                self._say(
                    f"{self._what} are left out where they cannot be written: {_cause(error)} "
                    "Nothing else is lost."
                )
            self._is_said = True


def _cause(error: Exception) -> str:
    """A sentence."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}."
    return f"{type(error).__name__}: {error}."

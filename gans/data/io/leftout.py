"""Files in folders of images that are none: counted, so that none goes missing unnoticed."""

from __future__ import annotations

import collections
import os

from gans.files import paths

_ENDINGS = 8  # Kinds of files spelt out in one message.


class LeftOut:
    """Files that are no images by their names, counted by how the names end."""

    def __init__(self):
        self._counts = collections.Counter()

    def add(self, name: str) -> None:
        """Counts a file."""
        self._counts[os.path.splitext(name)[1].lower()] += 1

    def __str__(self) -> str:
        """A sentence on all of them without its end, or nothing if there are none."""
        if not self._counts:
            return ""
        total = self._counts.total()
        kinds = [
            f"{paths.readable(ending) or 'without an ending'}: {count}"
            for ending, count in self._counts.most_common(_ENDINGS)
        ]
        rest = total - sum(count for _, count in self._counts.most_common(_ENDINGS))
        kinds += [f"others: {rest}"] if rest else []
        files = "1 file is no picture" if total == 1 else f"{total} files are no pictures"
        heic = self._counts.keys() & {".heic", ".heif"}
        advice = "; convert those in HEIC to JPEG to have them read" if heic else ""
        return f"{files} that this reads ({', '.join(kinds)}){advice}"

    @property
    def clause(self) -> str:
        """What a sentence that finds no images may end with."""
        return f"; {self}" if str(self) else ""

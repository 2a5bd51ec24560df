"""Finding picture files in folders, and counting the files that are none."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Sequence

from gans import paths
from gans.data.opening import EXTENSIONS
from gans.errors import UserError

_NAMED = 20  # File names spelt out in one message.
_ENDINGS = 8  # Kinds of files spelt out in one message.


class LeftOut:
    """Files in folders of images that are none by their names, counted by how the names end."""

    def __init__(self):
        self._counts = collections.Counter()

    def add(self, name: str) -> None:
        """Counts a file, unless it is hidden."""
        if not _hidden(name):
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


def check_folder(data_dir: str) -> pathlib.Path:
    """Returns the folder that the user named, or raises `UserError` when it is none."""
    if not data_dir:
        raise UserError("data_dir is empty: give the folder that holds your images.")
    root = paths.expanded(data_dir)
    shown = paths.readable(root)
    if not os.path.exists(root):
        raise UserError(f"There is no folder {shown}: check data_dir.")
    if not os.path.isdir(root):
        raise UserError(f"{shown} is a file: give data_dir the folder that holds your images.")
    return root


def child_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the sub-folders that are not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def loose_images(folder: pathlib.Path, left_out: LeftOut) -> list[pathlib.Path]:
    """Returns the images right in a folder, sorted, and counts its other files."""
    names = [entry.name for entry in os.scandir(folder) if not _is_folder(entry)]
    return sorted(folder / name for name in _images(names, left_out))


def find_images(folder: pathlib.Path, left_out: LeftOut) -> list[pathlib.Path]:
    """Returns the images at any depth, sorted, through links and each folder visited once."""

    def fail(error: OSError) -> None:
        raise error

    found, visited = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        visited.add(os.path.realpath(parent))
        folders[:] = [
            name
            for name in sorted(folders)
            if not _hidden(name) and os.path.realpath(os.path.join(parent, name)) not in visited
        ]
        found += [pathlib.Path(parent, name) for name in _images(files, left_out)]
    return sorted(found)


def is_image(name: str) -> bool:
    """Whether a file of this name counts as an image: by its extension, unless it is hidden.

    What is no file, a pipe or a broken link, counts too: it cannot be read, and is named then.
    """
    return name.lower().endswith(EXTENSIONS) and not _hidden(name)


def shorten(names: Sequence[str]) -> str:
    """Joins names, of which those beyond the first `_NAMED` are only counted."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _images(names: Sequence[str], left_out: LeftOut) -> list[str]:
    for name in names:
        if not is_image(name):
            left_out.add(name)
    return [name for name in names if is_image(name)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # The latter comes out of macOS archives.

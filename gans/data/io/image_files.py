"""Image files: finding them, and reading them at once or on access."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Protocol, SupportsIndex

import numpy as np
from absl import logging
from PIL import Image

from gans.data.io import images, threads
from gans.data.io.leftout import LeftOut
from gans.data.io.opening import EXTENSIONS, MAX_MEGAPIXELS, UnreadableImage
from gans.errors import UserError
from gans.files.paths import expanded, readable

MEMORY_LIMIT = 2**31  # Bytes of decoded images held in memory; above, they are read on access.

_NAMED = 20  # File names spelt out in one message.


@dataclasses.dataclass(frozen=True)
class FileImages(Sequence[np.ndarray]):
    """Images decoded each time they are accessed, from any number of threads.

    Items are uint8 `[image_size, image_size, channels]`, as `images.decode`
    returns them. An item whose file has become unreadable raises `UserError`.
    """

    paths: tuple[pathlib.Path, ...]
    image_size: int
    channels: int
    resample: Image.Resampling = Image.Resampling.LANCZOS
    max_megapixels: float = MAX_MEGAPIXELS

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: SupportsIndex) -> np.ndarray:
        try:
            return self.decode(index)
        except UnreadableImage as error:
            name = readable(self.paths[index])
            raise UserError(f"{name} can no longer be read: {error}.") from error

    def decode(self, index: SupportsIndex) -> np.ndarray:
        """Returns an item, or raises `UnreadableImage`."""
        return images.decode(
            self.paths[index],
            image_size=self.image_size,
            channels=self.channels,
            resample=self.resample,
            max_megapixels=self.max_megapixels,
        )


# Finding them.


def check_folder(data_dir: str) -> pathlib.Path:
    """Returns the folder that the user named, or raises `UserError` when it is none."""
    if not data_dir:
        raise UserError("data_dir is empty: give the folder that holds your images.")
    root = expanded(data_dir)
    shown = readable(root)
    if not os.path.exists(root):
        raise UserError(f"There is no folder {shown}: check data_dir.")
    if not os.path.isdir(root):
        raise UserError(f"{shown} is a file: give data_dir the folder that holds your images.")
    return root


def child_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the sub-folders that are not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def loose_images(folder: pathlib.Path, left_out: LeftOut | None = None) -> list[pathlib.Path]:
    """Returns the images right in a folder, sorted; `left_out` counts its other files."""
    names = [entry.name for entry in os.scandir(folder) if not _is_folder(entry)]
    return sorted(folder / name for name in _images(names, left_out))


def find_images(folder: pathlib.Path, left_out: LeftOut | None = None) -> list[pathlib.Path]:
    """Returns the images at any depth, sorted, through links, each folder visited once."""

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


def _images(names: Sequence[str], left_out: LeftOut | None) -> list[str]:
    for name in names:
        if left_out is not None and not is_image(name) and not _hidden(name):
            left_out.add(name)
    return [name for name in names if is_image(name)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # The latter comes out of macOS archives.


# Reading them.


class Decodable(Protocol):
    """Images that threads may decode, at any time and one by one."""

    image_size: int
    channels: int

    def __len__(self) -> int: ...

    def decode(self, index: int) -> np.ndarray:
        """Returns uint8 `[image_size, image_size, channels]`, or raises `UnreadableImage`."""


def read(
    files: FileImages, *, root: pathlib.Path, unreadable: str
) -> tuple[np.ndarray | FileImages, np.ndarray]:
    """Decodes every image once, and keeps them where they fit into memory.

    Args:
      files: the images.
      root: a folder that holds all of them; messages give their paths from there.
      unreadable: "fail" to raise when a file cannot be read, "skip" to warn and
        leave it out.

    Returns:
      The images that can be read, uint8 `[N, image_size, image_size, channels]` up to
      `MEMORY_LIMIT` bytes and `FileImages` beyond, and their indices in `files`.

    Raises:
      UserError: if a file cannot be read and `unreadable` is "fail", or none can.
    """
    if unreadable not in ("fail", "skip"):
        raise UserError(f"unreadable is '{unreadable}': give 'fail' or 'skip'.")
    pixels, errors = decode_all(files)
    kept = np.arange(len(files))
    if errors:
        _report(root, files.paths, errors, unreadable)
        kept = np.delete(kept, list(errors))
        files = dataclasses.replace(files, paths=tuple(files.paths[i] for i in kept))
        pixels = None if pixels is None else pixels[kept]
    return files if pixels is None else pixels, kept


def decode_all(files: Decodable) -> tuple[np.ndarray | None, dict[int, str]]:
    """Decodes every image, into memory where all of them fit.

    Returns:
      uint8 `[N, image_size, image_size, channels]`, or None when that exceeds
      `MEMORY_LIMIT`, and for each image that cannot be read its index and why.
    """
    shape = (len(files), files.image_size, files.image_size, files.channels)
    pixels = np.empty(shape, np.uint8) if math.prod(shape) <= MEMORY_LIMIT else None
    errors = {}

    def read(start: int, stop: int) -> None:
        for index in range(start, stop):
            try:
                image = files.decode(index)
            except UnreadableImage as error:
                errors[index] = str(error)
                continue
            if pixels is not None:
                pixels[index] = image

    threads.for_each_chunk(read, len(files), chunk=16, description="Reading images")
    return pixels, dict(sorted(errors.items()))


def _report(
    root: pathlib.Path,
    paths: Sequence[pathlib.Path],
    errors: Mapping[int, str],
    unreadable: str,
) -> None:
    """Names the unreadable images, in an error or, when skipping, a warning."""
    names = [f"{readable(paths[i].relative_to(root))} ({why})" for i, why in errors.items()]
    summary = f"{len(names)} of {len(paths)} images in {readable(root)} cannot be read"
    summary += f": {shorten(names)}"
    if unreadable == "fail":
        raise UserError(f"{summary}; repair or delete them, or set unreadable=skip.")
    if len(errors) == len(paths):
        raise UserError(f"{summary}; none is left to train on.")
    logging.warning("%s; going on without them.", summary)

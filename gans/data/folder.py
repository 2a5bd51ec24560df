"""A user's own folder of images, with or without classes and splits."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import SupportsIndex

import numpy as np
from absl import logging

from gans.data import images, splits, threads
from gans.data.source import Source
from gans.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MEMORY_LIMIT = 2**30  # Bytes of decoded images held in memory; above, they are read on access.

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

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: SupportsIndex) -> np.ndarray:
        try:
            return self.decode(index)
        except images.UnreadableImage as error:
            raise UserError(f"{self.paths[index]} can no longer be read: {error}.") from error

    def decode(self, index: SupportsIndex) -> np.ndarray:
        """Returns an item, or raises `images.UnreadableImage`."""
        return images.decode(self.paths[index], image_size=self.image_size, channels=self.channels)


@dataclasses.dataclass(frozen=True)
class _Listing:
    """The images of one split: their paths, and their labels when there are classes."""

    paths: list[pathlib.Path]
    labels: list[int]
    classes: tuple[str, ...]


def load(*, data_dir: str, split: str, image_size: int, channels: int, unreadable: str) -> Source:
    """Loads the images of a folder, every one decoded once before this returns.

    The folder holds either images, which then have no labels, or one sub-folder
    a class, whose name is the class and whose images may be nested deeper. Where
    it has a sub-folder `train`, its sub-folders are splits instead, each laid out
    as above with the same classes; otherwise all of it is the split `train`.
    Images are those named *.png, jpg, jpeg, webp, bmp, gif, tif or tiff, in any
    case; hidden files and folders are ignored. They come in the order of their
    sorted paths, and `images.decode` says how each becomes a square of pixels.

    Args:
      data_dir: the folder.
      split: a split expression; its ranges count unreadable files too, so that
        repairing or skipping one moves no other image into another split.
      image_size: side of the images in pixels.
      channels: 1 for grey, 3 for RGB.
      unreadable: "fail" to raise when a file cannot be read, "skip" to warn and
        leave it out.

    Returns:
      The source: uint8 `[N, image_size, image_size, channels]` in [0, 255], in
      memory up to `MEMORY_LIMIT` bytes and `FileImages` beyond.

    Raises:
      UserError: if the folder is not laid out as above, a file cannot be read
        and `unreadable` is "fail", or an argument is out of range.
    """
    images.check_shape(image_size, channels)
    if unreadable not in ("fail", "skip"):
        raise UserError(f"unreadable is '{unreadable}': give 'fail' or 'skip'.")
    root = _check_folder(data_dir)
    listing = _select(_list_splits(root), split)
    files = FileImages(tuple(listing.paths), image_size, channels)
    labels = np.array(listing.labels, np.int32) if listing.classes else None

    pixels, errors = _verify(files)
    if errors:
        _report(root, files.paths, errors, unreadable)
        good = np.delete(np.arange(len(files)), list(errors))
        files = dataclasses.replace(files, paths=tuple(files.paths[i] for i in good))
        pixels = None if pixels is None else pixels[good]
        labels = None if labels is None else labels[good]
    shape = (image_size, image_size, channels)
    return Source(files if pixels is None else pixels, labels, listing.classes, shape)


# Finding the images.


def _check_folder(data_dir: str) -> pathlib.Path:
    if not data_dir:
        raise UserError("data_dir is empty: give the folder that holds your images.")
    root = os.path.expanduser(data_dir)
    if not os.path.exists(root):
        raise UserError(f"There is no folder {root}: check data_dir.")
    if not os.path.isdir(root):
        raise UserError(f"{root} is a file: give data_dir the folder that holds your images.")
    return pathlib.Path(root)


def _list_splits(root: pathlib.Path) -> dict[str, _Listing]:
    """Lists the images of every split; a folder without split folders is all `train`."""
    train = root / "train"
    try:
        if train.is_dir():
            folders = _folders(root)
            _refuse_loose(root, folders)
        else:
            folders, train = [root], root
        listings = {folder: _list_split(folder) for folder in folders}
    except OSError as error:
        raise UserError(f"Cannot list the images of {root} ({error}).") from error
    if not listings[train].paths:
        raise UserError(
            f"{train} holds no images: put some there, or into one sub-folder a class, as "
            f"{', '.join(EXTENSIONS)}."
        )
    # A folder without images, of annotations say, is no split.
    by_name = {
        "train" if folder == train else folder.name: listing
        for folder, listing in listings.items()
        if listing.paths
    }
    _check_classes(root, by_name)
    return by_name


def _check_classes(root: pathlib.Path, listings: Mapping[str, _Listing]) -> None:
    expected = listings["train"].classes
    for name, listing in listings.items():
        if listing.classes != expected:
            differing = sorted(set(expected) ^ set(listing.classes))
            raise UserError(
                f"The splits of {root} need the same class folders, but only one of train and "
                f"{name} has {_shorten(differing)}."
            )


def _list_split(folder: pathlib.Path) -> _Listing:
    by_class = {child.name: _find_images(child) for child in _folders(folder)}
    if not any(by_class.values()):
        return _Listing(_loose_images(folder), [], ())
    _refuse_loose(folder, [folder / name for name in by_class])
    empty = [name for name, paths in by_class.items() if not paths]
    if empty:
        raise UserError(
            f"Every sub-folder of {folder} is a class, but {_shorten(empty)} holds no images: "
            "add some or move the sub-folder elsewhere."
        )
    return _Listing(
        paths=[path for paths in by_class.values() for path in paths],
        labels=[label for label, paths in enumerate(by_class.values()) for _ in paths],
        classes=tuple(by_class),
    )


def _refuse_loose(folder: pathlib.Path, subfolders: Sequence[pathlib.Path]) -> None:
    loose = _loose_images(folder)
    if loose:
        raise UserError(
            f"{folder} mixes images ({_shorten([path.name for path in loose])}) with folders of "
            f"images ({_shorten([path.name for path in subfolders])}): move the images into the "
            "folders, or the folders elsewhere."
        )


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def _loose_images(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if _is_image(path.name) and path.is_file())


def _find_images(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the images at any depth, through symbolic links, each folder visited once."""

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
        found += [pathlib.Path(parent, name) for name in files if _is_image(name)]
    return sorted(found)


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not _hidden(name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # The latter comes out of macOS archives.


def _select(listings: dict[str, _Listing], split: str) -> _Listing:
    """Joins the parts of the splits that a split expression names."""
    sizes = {name: len(listing.paths) for name, listing in listings.items()}
    parts = splits.resolve(split, sizes)
    return _Listing(
        paths=[path for name, part in parts for path in listings[name].paths[part]],
        labels=[label for name, part in parts for label in listings[name].labels[part]],
        classes=listings["train"].classes,
    )


# Reading them.


def _verify(files: FileImages) -> tuple[np.ndarray | None, dict[int, str]]:
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
            except images.UnreadableImage as error:
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
    names = [f"{paths[index].relative_to(root)} ({why})" for index, why in errors.items()]
    summary = f"{len(names)} of {len(paths)} images in {root} cannot be read: {_shorten(names)}"
    if unreadable == "fail":
        raise UserError(f"{summary}; repair or delete them, or set unreadable=skip.")
    if len(errors) == len(paths):
        raise UserError(f"{summary}; none is left to train on.")
    logging.warning("%s; going on without them.", summary)


def _shorten(names: Sequence[str]) -> str:
    """Joins names, of which those beyond the first `_NAMED` are only counted."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")

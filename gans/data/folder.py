"""A user's own folder of images, with or without classes and splits."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from gans.data import flips
from gans.data.io import image_files, images, opening, splits
from gans.data.io.leftout import LeftOut
from gans.data.source import Source
from gans.errors import UserError
from gans.files.paths import readable


@dataclasses.dataclass(frozen=True)
class _Listing:
    """The images of one split: their paths, and their labels when there are classes."""

    paths: list[pathlib.Path]
    labels: list[int]
    classes: tuple[str, ...]


def load(
    *,
    data_dir: str,
    split: str,
    image_size: int,
    channels: int,
    unreadable: str,
    max_megapixels: float = opening.MAX_MEGAPIXELS,
    flip: bool = False,
) -> Source:
    """Loads the images of a folder, every one decoded once before this returns.

    The folder holds either images, which then have no labels, or one sub-folder
    a class, whose name is the class and whose images may be nested deeper. Where
    it has a sub-folder `train`, its sub-folders are splits instead, each laid out
    as above with the same classes; otherwise all of it is the split `train`.
    Images are files named as `opening.FORMATS` says, in any case; other files are
    counted in a warning, and hidden files and folders ignored. They come in the
    order of their sorted paths, and `images.decode` says how each becomes a
    square of pixels.

    Args:
      data_dir: the folder.
      split: a split expression; its ranges count unreadable files too, so that
        repairing or skipping one moves no other image into another split.
      image_size: side of the images in pixels.
      channels: 1 for grey, 3 for RGB.
      unreadable: "fail" to raise when a file cannot be read, "skip" to warn and
        leave it out.
      max_megapixels: millions of pixels that an image may have; a larger one
        counts as a file that cannot be read.
      flip: whether training sees half of the images mirrored, drawn anew each time.

    Returns:
      The source: uint8 `[N, image_size, image_size, channels]` in [0, 255], in
      memory up to `files.MEMORY_LIMIT` bytes and `files.FileImages` beyond.

    Raises:
      UserError: if the folder is not laid out as above, a file cannot be read
        and `unreadable` is "fail", or an argument is out of range.
    """
    images.check_shape(image_size, channels)
    opening.check_limit(max_megapixels)
    root, left_out = image_files.check_folder(data_dir), LeftOut()
    listing = _select(_list_splits(root, left_out), split)
    if str(left_out):
        logging.warning("%s: %s.", readable(root), left_out)
    listed = image_files.FileImages(
        tuple(listing.paths), image_size, channels, max_megapixels=max_megapixels
    )
    pixels, kept = image_files.read(listed, root=root, unreadable=unreadable)
    labels = np.array(listing.labels, np.int32)[kept] if listing.classes else None
    shape = (image_size, image_size, channels)
    return Source(pixels, labels, listing.classes, shape, flips.augment(flip))


# Finding the images.


def _list_splits(root: pathlib.Path, left_out: LeftOut) -> dict[str, _Listing]:
    """Lists the images of every split; a folder without split folders is all `train`."""
    train = root / "train"
    try:
        if train.is_dir():
            folders = image_files.child_folders(root)
            _refuse_loose(root, folders, left_out)
        else:
            folders, train = [root], root
        listings = {folder: _list_split(folder, left_out) for folder in folders}
    except OSError as error:
        raise UserError(
            f"Cannot list the images of {readable(root)} ({error.strerror or error})."
        ) from error
    if not listings[train].paths:
        raise UserError(
            f"{readable(train)} holds no images: put some there, or into one sub-folder a class, "
            f"as {opening.DESCRIPTION}{left_out.clause}."
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
                f"The splits of {readable(root)} need the same class folders, but only one of "
                f"train and {readable(name)} has {image_files.shorten(differing)}."
            )


def _list_split(folder: pathlib.Path, left_out: LeftOut) -> _Listing:
    by_class = {
        child.name: image_files.find_images(child, left_out)
        for child in image_files.child_folders(folder)
    }
    if not any(by_class.values()):
        return _Listing(image_files.loose_images(folder, left_out), [], ())
    _refuse_loose(folder, [folder / name for name in by_class], left_out)
    empty = [name for name, paths in by_class.items() if not paths]
    if empty:
        raise UserError(
            f"Every sub-folder of {readable(folder)} is a class, but "
            f"{image_files.shorten([*map(readable, empty)])} holds no images: add some or move the "
            f"sub-folder elsewhere{left_out.clause}."
        )
    return _Listing(
        paths=[path for paths in by_class.values() for path in paths],
        labels=[label for label, paths in enumerate(by_class.values()) for _ in paths],
        classes=tuple(map(readable, by_class)),  # They need not be UTF-8.
    )


def _refuse_loose(
    folder: pathlib.Path, subfolders: Sequence[pathlib.Path], left_out: LeftOut
) -> None:
    loose = image_files.loose_images(folder, left_out)
    if loose:
        names, folders = ([readable(path.name) for path in found] for found in (loose, subfolders))
        raise UserError(
            f"{readable(folder)} mixes images ({image_files.shorten(names)}) with folders of "
            f"images ({image_files.shorten(folders)}): move the images into the folders, or the "
            "folders elsewhere."
        )


def _select(listings: dict[str, _Listing], split: str) -> _Listing:
    """Joins the parts of the splits that a split expression names."""
    sizes = {name: len(listing.paths) for name, listing in listings.items()}
    parts = splits.resolve(split, sizes)
    return _Listing(
        paths=[path for name, part in parts for path in listings[name].paths[part]],
        labels=[label for name, part in parts for label in listings[name].labels[part]],
        classes=listings["train"].classes,
    )

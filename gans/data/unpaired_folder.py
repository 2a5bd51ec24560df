"""A user's own folder of images of two domains: trainA, trainB and, if wanted, testA and testB."""

from __future__ import annotations

import pathlib

import numpy as np
from absl import logging

from gans.data import unpaired
from gans.data.io import image_files, images, opening
from gans.data.io.leftout import LeftOut
from gans.data.unpaired import Unpaired
from gans.errors import UserError
from gans.files.paths import readable

_LAYOUT = (
    "put the training images of the two domains into trainA and trainB, and test images, if you "
    "have any, into testA and testB"
)


def load(
    *,
    data_dir: str,
    image_size: int,
    load_size: int,
    channels: int,
    resize: str,
    flip: bool,
    test_images: int,
    unreadable: str,
    max_megapixels: float = opening.MAX_MEGAPIXELS,
) -> Unpaired:
    """Loads the images of two domains, every training image decoded once before this returns.

    The folder holds the sub-folders `trainA` and `trainB`, and may hold `testA` and
    `testB`, in upper or lower case; images may lie deeper in them. Where there is no
    test folder, the centres of the first training images are shown instead. `folder.load`
    says which files count as images, and `images.decode` how each becomes a square.

    Args:
      data_dir: the folder.
      unreadable: "fail" to raise when a file cannot be read, "skip" to warn and
        leave it out.
      max_megapixels: millions of pixels that an image may have; a larger one counts as a
        file that cannot be read.
      The others: as `gans.data.unpaired` says.

    Returns:
      The domains "A" and "B", each in memory up to `files.MEMORY_LIMIT` bytes and as
      `files.FileImages` beyond.

    Raises:
      UserError: if the folder is not laid out as above, a file cannot be read and
        `unreadable` is "fail", or an argument is out of range.
    """
    unpaired.check_sizes(
        image_size=image_size, load_size=load_size, channels=channels, test_images=test_images
    )
    resample = images.resampling(resize)
    opening.check_limit(max_megapixels)
    root, left_out = image_files.check_folder(data_dir), LeftOut()
    try:
        listing = _list(root, left_out)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"Cannot list the images of {readable(root)} ({reason}).") from error
    if str(left_out):
        logging.warning("%s: %s.", readable(root), left_out)

    def read(name: str, size: int, count: int | None = None):
        folder, paths = listing[name]
        listed = image_files.FileImages(
            tuple(paths[:count]), size, channels, resample, max_megapixels
        )
        return image_files.read(listed, root=folder, unreadable=unreadable)[0]

    train, test = {}, {}
    for domain in ("A", "B"):
        train[domain] = read(f"train{domain}", load_size)
        if f"test{domain}" in listing:
            test[domain] = np.asarray(read(f"test{domain}", image_size, test_images))
    return unpaired.source(
        train["A"],
        train["B"],
        image_size=image_size,
        flip=flip,
        test_a=test.get("A"),
        test_b=test.get("B"),
        test_images=test_images,
    )


def _list(
    root: pathlib.Path, left_out: LeftOut
) -> dict[str, tuple[pathlib.Path, list[pathlib.Path]]]:
    """The folder and the images of `trainA`, `trainB` and those of `testA`, `testB` there are."""
    listing = {}
    for name in ("trainA", "trainB", "testA", "testB"):
        folder = _find(root, name)
        if folder is None:
            continue
        paths = image_files.find_images(folder, left_out)
        if not paths:
            advice = "put some there" if name.startswith("train") else "put some there or remove it"
            raise UserError(
                f"{readable(folder)} holds no images: {advice}, as {opening.DESCRIPTION}"
                f"{left_out.clause}."
            )
        listing[name] = folder, paths
    missing = [name for name in ("trainA", "trainB") if name not in listing]
    if missing:
        raise UserError(
            f"{readable(root)} lacks the folder {' and the folder '.join(missing)} (it has "
            f"{_describe(root)}): {_LAYOUT}."
        )
    return listing


def _find(root: pathlib.Path, name: str) -> pathlib.Path | None:
    """The sub-folder of that name, in upper or lower case."""
    found = [path for path in image_files.child_folders(root) if path.name.lower() == name.lower()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"{root} has {names}, which only differ in case: merge or rename them.")
    return found[0] if found else None


def _describe(root: pathlib.Path) -> str:
    """What a folder holds instead."""
    folders = [readable(path.name) for path in image_files.child_folders(root)]
    loose = [path.name for path in image_files.loose_images(root, LeftOut())]
    held = [f"folders {image_files.shorten(folders)}"] if folders else []
    held += [f"{len(loose)} images"] if loose else []
    return " and ".join(held) or "no images"

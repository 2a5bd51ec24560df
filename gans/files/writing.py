"""Files as this project writes them: whole or not at all, and a sentence where that fails.

Whole files appear at once: they are written under another name and renamed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import types
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gans.errors import UserError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` once it is complete.

    Raises:
      UserError: the folder cannot be made or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            # mkstemp makes private files; these are meant to be shared as the user's umask says.
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # which must not hide why
                Path(name).unlink()
            raise
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error


def remove_temporaries(folder: Path, *names: str) -> None:
    """Removes what a killed process left of files that `atomic` was to write.

    Nobody else may be writing them.

    Args:
      folder: of the files.
      names: theirs, as patterns like "step_*.png".
    """
    for name in names:
        for path in folder.glob(f".{name}.*"):
            if re.fullmatch(r"[a-z0-9_]{8}", path.name.rpartition(".")[2]):
                with contextlib.suppress(OSError):
                    path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON."""
    with atomic(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def append_lines(path: Path, lines: Iterable[Any]) -> None:
    """Appends JSON values to a file, one a line; all of them or none.

    They begin on a line of their own, also after one that a kill cut short.

    Raises:
      UserError: the file cannot be written, or the disk is full.
    """
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    try:
        # Without a buffer, so that closing has nothing to write, and so nothing to fail at.
        with open(path, "ab+", buffering=0, opener=_open_at_once) as file:
            write_whole(file, content if _ends_a_line(file) else b"\n" + content)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for a reader of what turns out to be a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _ends_a_line(file: BinaryIO) -> bool:
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return True
    file.seek(end - 1)
    return file.read(1) == b"\n"


def write_whole(file: BinaryIO, content: bytes) -> None:
    """Appends to a file opened without a buffer; if that fails, the file is as it was.

    Raises:
      OSError: it failed.
    """
    end = file.seek(0, os.SEEK_END)
    try:
        while content:
            content = content[file.write(content) :]
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(end)
        raise


def save_picture(
    path: Path,
    picture: Image.Image,
    *,
    dpi: int | None = None,
    text: Mapping[str, str] = types.MappingProxyType({}),
) -> None:
    """Writes a PNG that says its colours are those of sRGB.

    Args:
      path: the file.
      picture: what it shows.
      dpi: pixels to the inch, for print.
      text: what it says about itself under keywords such as "Software", in ASCII.
    """
    info = PngInfo()
    info.add(b"sRGB", b"\0")  # rendered for perception; PNG, third edition, 11.3.2.5
    for key, value in text.items():
        info.add_text(key, value)
    with atomic(path) as file:
        # Not the profile of the file that the picture was made from, if it still has that.
        picture.save(file, "PNG", dpi=dpi and (dpi, dpi), pnginfo=info, icc_profile=None)


def save_npz(path: Path, count: int, shape: tuple[int, ...], blocks: Iterable[dict]) -> None:
    """Writes an `.npz` of `images` uint8 `[count, *shape]` and, if given, `labels` int32 `[count]`.

    Args:
      path: the file.
      count: how many images the blocks have in all.
      shape: of one image.
      blocks: dicts of arrays, one block in memory at a time.
    """
    labels = []
    with atomic(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open("images.npy", "w", force_zip64=True) as images:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(images, header)
            for block in blocks:
                images.write(np.ascontiguousarray(block["images"]).tobytes())
                labels += list(block.get("labels", ()))
        if labels:
            with archive.open("labels.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(labels, np.int32))

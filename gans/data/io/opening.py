"""Opening picture files from anywhere: what is opened, how large, and how much at once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from gans.data.io.threads import Budget
from gans.errors import UserError
from gans.files import paths

# Pillow's formats for photographs and paintings, and how such files are called. It knows others,
# which run programs (PostScript is handed to Ghostscript), are no pictures or icons alone.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
    "PCX": (".pcx",),
    "TGA": (".tga",),  # known by no mark in the file, so tried last
}
EXTENSIONS = tuple(extension for names in FORMATS.values() for extension in names)
DESCRIPTION = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PPM"
"""The formats that most pictures have, for messages."""

MAX_MEGAPIXELS = 256
"""The most of one picture by default: 2 GiB while it is read, and more where it is transparent."""

_AT_ONCE = 2**28  # pixels of all pictures that are being read; a larger one is read alone
_DECODING = Budget(_AT_ONCE)

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class UnreadableImage(Exception):
    """A file that is no picture, is damaged, or is too large to decode; the message says which."""


def check_limit(max_megapixels: float) -> None:
    """Raises `UserError` unless it is a number above 0."""
    if not max_megapixels > 0:
        raise UserError(f"max_megapixels is {max_megapixels}: give a number above 0.")


@contextlib.contextmanager
def opened(
    file: str | os.PathLike[str] | BinaryIO, max_megapixels: float = MAX_MEGAPIXELS
) -> Iterator[Image.Image]:
    """A picture file, whose pixels are to be read, and all work on them done, inside the context.

    Many threads may be in it, but wait for each other where all their pictures together would take
    too much memory.

    Args:
      file: a path or a binary file, in one of `FORMATS`.
      max_megapixels: millions of pixels that the picture may have.

    Raises:
      UnreadableImage: it cannot be opened, or an error was raised inside the context, as it is
        for files that are damaged behind their beginning.
    """
    try:
        if isinstance(file, str | os.PathLike):
            _refuse_what_is_no_file(file)
        limit = round(max_megapixels * 1e6)
        with _LIMIT.raised_to(limit), Image.open(file, formats=tuple(FORMATS)) as image:
            pixels = image.width * image.height
            if not 0 < pixels <= limit:
                raise UnreadableImage(
                    f"its {image.width} x {image.height} pixels are more than "
                    f"max_megapixels={max_megapixels:g} allows"
                )
            with _DECODING.taken(pixels):
                yield image
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:  # Its own message is the path.
        raise UnreadableImage(_unidentified(file)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(
            f"its pixels are far more than max_megapixels={max_megapixels:g} allows"
        ) from error
    except MemoryError as error:
        raise UnreadableImage("there is too little memory for it") from error
    except Exception as error:  # Pillow raises errors of many types for bad files.
        raise UnreadableImage(_reason(error)) from error


def is_animated(path: str | os.PathLike[str], max_megapixels: float = MAX_MEGAPIXELS) -> bool:
    """Whether a picture file has more frames or pages that can be read than the first."""
    with contextlib.suppress(UnreadableImage), opened(path, max_megapixels) as image:
        # The second picture of an MPO file is another view for special screens.
        return image.format != "MPO" and getattr(image, "is_animated", False)
    return False


def _refuse_what_is_no_file(path: str | os.PathLike[str]) -> None:
    """Opening a pipe would wait for whoever writes into it, and a device may have no end."""
    if kind := paths.other_than_file(os.stat(path).st_mode):
        raise UnreadableImage(f"it is {kind}, no picture file")


def _unidentified(file: str | os.PathLike[str] | BinaryIO) -> str:
    with contextlib.ExitStack() as stack:
        if isinstance(file, str | os.PathLike):
            file = stack.enter_context(open(file, "rb"))
        file.seek(0)
        head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        return "HEIC is not read: convert it to JPEG, or have the camera save JPEG"
    return "not an image"


def _reason(error: Exception) -> str:
    """What an error says, in one line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(said.split())


class _Limit:
    """Pillow's own limit, which is the same for the whole program, out of the way while needed."""

    def __init__(self):
        self._lock, self._asked, self._usual = threading.Lock(), [], None

    @contextlib.contextmanager
    def raised_to(self, pixels: int) -> Iterator[None]:
        """Lets Pillow open this many pixels, without a warning."""
        self._change(self._asked.append, pixels)
        try:
            yield
        finally:
            self._change(self._asked.remove, pixels)

    def _change(self, change, pixels: int) -> None:
        with self._lock:
            if not self._asked:
                self._usual = Image.MAX_IMAGE_PIXELS
            change(pixels)
            if self._usual is not None:
                Image.MAX_IMAGE_PIXELS = max([self._usual, *self._asked])


_LIMIT = _Limit()

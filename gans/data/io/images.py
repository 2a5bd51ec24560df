"""Turning encoded pictures of any kind into uint8 arrays of one size, in the colours of sRGB."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from gans.data.io import colours
from gans.data.io.opening import MAX_MEGAPIXELS, opened
from gans.errors import UserError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def check_shape(image_size: int, channels: int) -> None:
    """Raises `UserError` unless `image_size` is positive and `channels` is 1 or 3."""
    if image_size < 1:
        raise UserError(f"image_size is {image_size}: give a positive number of pixels.")
    if channels not in (1, 3):
        raise UserError(f"channels is {channels}: give 1 for grey or 3 for RGB images.")


def resampling(name: str) -> Image.Resampling:
    """The filter that a config calls `name`, one of `FILTERS`, or a `UserError`."""
    if name not in FILTERS:
        raise UserError(f"resize is {name!r}: choose one of {', '.join(FILTERS)}.")
    return FILTERS[name]


def decode(
    file: str | os.PathLike[str] | BinaryIO,
    *,
    image_size: int,
    channels: int,
    resample: Image.Resampling = Image.Resampling.LANCZOS,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> np.ndarray:
    """Reads a picture as a square of pixels.

    The picture is turned the way its EXIF orientation says, converted from the
    colours of its profile to sRGB, laid over white where it is transparent,
    resized so that its shorter side is `image_size` and cropped at its centre.
    Only the first frame of an animation is read.

    Args:
      file: a path or a binary file, in one of `opening.FORMATS`.
      image_size: side of the result in pixels.
      channels: 1 for grey, 3 for RGB.
      resample: the filter used where the size changes.
      max_megapixels: millions of pixels that the picture may have.

    Returns:
      uint8 `[image_size, image_size, channels]` in [0, 255].

    Raises:
      UnreadableImage: if the file cannot be decoded in full, or has more pixels.
    """
    with opened(file, max_megapixels) as image:
        return resize(upright(image, channels), image_size, resample)


def read(
    file: str | os.PathLike[str] | BinaryIO,
    channels: int,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Image.Image:
    """Reads a picture at its own size: "L" for 1 channel, "RGB" for 3, as `upright` makes it.

    Raises:
      UnreadableImage: as `decode`.
    """
    with opened(file, max_megapixels) as image:
        return upright(image, channels)


def upright(image: Image.Image, channels: int) -> Image.Image:
    """A picture of any mode as "L" or "RGB", in sRGB, over white, turned as its EXIF data says.

    Done twice, it is the same as done once.
    """
    image = colours.to_srgb(_of_8_bits(_turned(image)))
    return _over_white(image).convert("L" if channels == 1 else "RGB")


def resize(image: Image.Image, image_size: int, resample: Image.Resampling) -> np.ndarray:
    """Covers a square with a grey ("L") or "RGB" image and crops what sticks out.

    Args:
      image: the picture, of any size.
      image_size: side of the square in pixels.
      resample: the filter used where the size changes.

    Returns:
      uint8 `[image_size, image_size, C]` with C = 1 for "L" and 3 for "RGB".
    """
    if image.size != (image_size, image_size):
        image = ImageOps.fit(image, (image_size, image_size), resample)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def resize_all(
    images: np.ndarray, *, image_size: int, channels: int, resample: Image.Resampling
) -> np.ndarray:
    """Resizes uint8 `[N, H, W, C]` to `[N, image_size, image_size, channels]`, C being 1 or 3."""
    if images.shape[1:] == (image_size, image_size, channels):
        return images
    mode = "L" if channels == 1 else "RGB"
    out = np.empty((len(images), image_size, image_size, channels), np.uint8)
    for i, pixels in enumerate(images):
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        out[i] = resize(image.convert(mode), image_size, resample)
    return out


def _turned(image: Image.Image) -> Image.Image:
    """The picture the way its EXIF orientation says, if it has one."""
    image.load()
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises errors of many types for damaged EXIF data.
        return image
    return image if orientation == 1 else ImageOps.exif_transpose(image)


def _of_8_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # "I;16" and kin; "I" is how some 16-bit files open
        return _from_16_bit(image)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    return image


def _over_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scales 0..65535 to 0..255; Pillow's own conversion to "L" clips at 255 instead."""
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("pixels lie outside the 16-bit range")
    scaled = Image.fromarray(np.round(pixels / 257).astype(np.uint8))
    scaled.info = {key: image.info[key] for key in ("icc_profile",) if key in image.info}
    return scaled

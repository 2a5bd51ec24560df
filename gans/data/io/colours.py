"""Colours of pictures: what their profiles say they are, as the sRGB of networks and screens.

sRGB is IEC 61966-2-1; profiles are those of the International Color Consortium, ISO 15076-1.
LittleCMS, which comes with Pillow, reads them and converts.
"""

from __future__ import annotations

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms

# How far, in levels of 255, the colours of a profile may be from those of sRGB to count as such:
# its makers round the curve and the primaries differently.
_NEAR = 2

# What a profile is for, and the mode of the numbers it explains.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: Image.Image) -> Image.Image:
    """A picture with the colours that its embedded profile gives it, in sRGB.

    The very picture is returned if it has no profile, that of sRGB, or one that is damaged or
    belongs to another kind of picture. CIELAB needs no profile. Transparency is kept.

    Args:
      image: of 8 bits a channel, in any mode.

    Returns:
      The picture itself, or one in "RGB" or "RGBA".
    """
    profile = image.info.get("icc_profile") or b""
    if not (profile or image.mode == "LAB") or image.mode == "1":
        return image
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    mode = transform.input_mode
    converted = transform.apply(image if image.mode == mode else image.convert(mode))
    del converted.info["icc_profile"]  # of sRGB, which needs no saying
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def srgb_profile() -> bytes:
    """A profile of sRGB to embed, the same bytes every time."""
    profile = bytearray(_srgb().tobytes())
    # Version 4.2, the last that PDF 1.7 knows, in place of LittleCMS's newest, of whose novelties
    # this has none; and that version's date in place of now.
    profile[8:12] = bytes([4, 0x20, 0, 0])
    profile[24:36] = struct.pack(">6H", 2004, 10, 22, 0, 0, 0)
    return bytes(profile)


@functools.lru_cache(1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.lru_cache(32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What converts a picture of this mode, for any number of threads, if anything need be done."""
    try:
        if mode == "LAB":
            return _to_srgb(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")
        read = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        meant = _MODES.get(read.profile.xcolor_space.strip())
        if not _explains(meant, mode):
            return None
        made = _to_srgb(read, meant)
        return None if meant != "CMYK" and _changes_little(made) else made
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # damaged


def _to_srgb(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    # Without a cache of the last colour, as threads need that share a transform.
    flags = ImageCms.Flags.NOCACHE
    return ImageCms.ImageCmsTransform(profile, _srgb(), mode, "RGB", flags=flags)


def _explains(meant: str | None, mode: str) -> bool:
    """Whether a profile for pictures of one mode can be that of a picture of another."""
    if meant == "L":
        return mode in ("L", "LA", "La")
    if meant == "CMYK" or mode == "CMYK":
        return meant == mode
    return meant == "RGB"  # grey and paletted pictures are often tagged with one for RGB


def _changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether it leaves all greys, and a cube of colours, where they were."""
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    is_grey = transform.input_mode == "L"
    probe = greys if is_grey else np.concatenate([greys, cube], axis=1)
    given = Image.fromarray(probe[..., 0] if is_grey else probe)
    seen = np.asarray(transform.apply(given)).astype(int)
    return np.abs(seen - probe).max() <= _NEAR

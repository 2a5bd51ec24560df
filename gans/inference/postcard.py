"""A picture laid out as a postcard for a printer's shop: A6 with bleed, as pixels and as PDF.

The picture covers the card and 3 mm more on each side, which the shop cuts off: a cut that
is a little off shows no white edge then. A card is as wide as high, or higher, unless the
picture is wider than high.

The PDF is written here: Pillow's own would compress the picture with loss, and pypdf has no place
for a picture without loss either, only the objects of a file, to be put together as here.
"""

from __future__ import annotations

import zlib

from PIL import Image, ImageOps

from gans.data.io import colours

DPI = 300
TRIM_MM = (105, 148)  # A6, ISO 216; the shorter side first
BLEED_MM = 3
_LONGEST = 2  # length of the part of a picture that is painted, in lengths of the card

_MM = 25.4  # to the inch
_PT = 72.0  # to the inch, PDF's unit


def size(picture: tuple[int, int]) -> tuple[int, int]:
    """Width and height in pixels of the card of a picture of this width and height, with bleed."""
    sides = [round((side + 2 * BLEED_MM) / _MM * DPI) for side in TRIM_MM]
    return (sides[1], sides[0]) if picture[0] > picture[1] else (sides[0], sides[1])


def part(picture: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture that is worth painting: left, upper, right and lower edge.

    All of it, unless so much of a long and narrow one sticks out of its card that the card shows
    less than half.
    """
    scale = _LONGEST * max(size(picture)) / min(size(picture))
    sides = [min(side, max(1, round(scale * min(picture)))) for side in picture]
    left, upper = ((whole - kept) // 2 for whole, kept in zip(picture, sides, strict=True))
    return left, upper, left + sides[0], upper + sides[1]


def covering(picture: tuple[int, int]) -> tuple[int, int]:
    """The least width and height that a picture must have to cover its card undistorted."""
    width, height = size(picture)
    scale = max(width / picture[0], height / picture[1])
    return max(width, round(scale * picture[0])), max(height, round(scale * picture[1]))


def lay_out(picture: Image.Image) -> Image.Image:
    """The card as `size` says: what sticks out of it is cut off, on both sides alike."""
    return ImageOps.fit(picture, size(picture.size), Image.Resampling.LANCZOS)


def pdf(card: Image.Image, producer: str) -> bytes:
    """A PDF file of one page, with the boxes that tell the shop where to cut.

    Its colours are said to be those of sRGB; ISO 32000-1, 8.6.5.5.

    Args:
      card: as `lay_out` makes it, "L" or "RGB" in sRGB; kept without loss.
      producer: the program that the file names as its maker, in ASCII without brackets.
    """
    sides = TRIM_MM[::-1] if card.width > card.height else TRIM_MM
    trim, bleed = [side / _MM * _PT for side in sides], BLEED_MM / _MM * _PT
    width, height = (side + 2 * bleed for side in trim)
    whole = f"[0 0 {width:.3f} {height:.3f}]"
    cut = f"[{bleed:.3f} {bleed:.3f} {width - bleed:.3f} {height - bleed:.3f}]"
    space = "[/ICCBased 7 0 R]"
    if card.mode == "L":  # a table of greys
        space = f"[/Indexed {space} 255 <{bytes(i // 3 for i in range(768)).hex()}>]"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {whole} /BleedBox {whole} /TrimBox {cut} "
        "/Resources << /XObject << /Card 5 0 R >> >> /Contents 4 0 R >>".encode(),
        _stream("", f"{width:.3f} 0 0 {height:.3f} 0 0 cm /Card Do".encode()),
        _stream(
            f"/Type /XObject /Subtype /Image /Width {card.width} /Height {card.height} "
            f"/ColorSpace {space} /BitsPerComponent 8 /Filter /FlateDecode ",
            zlib.compress(card.tobytes()),
        ),
        f"<< /Producer ({producer}) >>".encode(),
        _stream(
            "/N 3 /Alternate /DeviceRGB /Filter /FlateDecode ",
            zlib.compress(colours.srgb_profile()),
        ),
    ]
    return _file(objects, info=6)


def _stream(entries: str, content: bytes) -> bytes:
    head = f"<< {entries}/Length {len(content)} >>\nstream\n".encode()
    return head + content + b"\nendstream"


def _file(objects: list[bytes], info: int) -> bytes:
    """The objects, numbered from 1, with the table of where they are; ISO 32000-1, 7.5."""
    body, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n"
        f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {info} 0 R >>\n"
        f"startxref\n{len(body)}\n%%EOF\n"
    )
    return body + end.encode()

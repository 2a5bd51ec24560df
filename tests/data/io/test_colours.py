"""Colour profiles against formulas: made by hand here, byte by byte, and read by what we ship."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from gans.data.io import colours, images

# Columns: the primaries' XYZ relative to D50, of Display P3 and of sRGB (ISO 15076-1, annex E, and
# B. Lindbloom's "RGB/XYZ matrices").
P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
GAMMA = 563 / 256  # as near 2.2 as the profile's 8.8 fixed point is
PIXELS = np.random.default_rng(0).integers(40, 200, (8, 6, 3), np.uint8)


def s15(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(space, tags, pcs=b"XYZ "):
    """An ICC profile of version 2.4 for a display, or for a printer if it has inks."""
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags = {b"desc": text + bytes(-len(text) % 4), b"cprt": b"text\0\0\0\0none\0\0\0\0"} | tags
    tags |= {b"wtpt": b"XYZ \0\0\0\0" + s15(0.9642, 1, 0.8249)}
    at, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for sign, blob in tags.items():
        table += sign + struct.pack(">II", at + len(data), len(blob))
        data += blob
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"none", 0x02400000, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + s15(0.9642, 1, 0.8249)
    return head + bytes(128 - len(head)) + table + data


def curve(*table):
    """A gamma times 256, or a table of 16-bit numbers."""
    blob = b"curv\0\0\0\0" + struct.pack(f">I{len(table)}H", len(table), *table)
    return blob + bytes(-len(blob) % 4)


def rgb_profile(primaries, tone):
    columns = zip(b"rgb", primaries.T, strict=True)
    tags = {b"%cXYZ" % letter: b"XYZ \0\0\0\0" + s15(*xyz) for letter, xyz in columns}
    return profile(b"RGB ", tags | {b"%cTRC" % letter: tone for letter in b"rgb"})


def encode(linear):
    """IEC 61966-2-1, in levels of 255."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decode(levels):
    value = np.asarray(levels) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def from_p3(levels):
    return encode((np.asarray(levels) / 255) ** GAMMA @ P3.T @ np.linalg.inv(SRGB).T)


WIDE = rgb_profile(P3, curve(563))


def reread(picture, kind="PNG", channels=3, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return np.asarray(images.read(buffer, channels)).astype(float)


def assert_near(found, expected, levels=1):
    """LittleCMS rounds to levels, from curves and matrices in fixed point."""
    np.testing.assert_allclose(found, expected, atol=0.5 + levels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_wide_profile_is_converted_to_srgb(kind):
    given = Image.fromarray(PIXELS)
    found = reread(given, kind, icc_profile=WIDE)
    assert_near(found, from_p3(PIXELS))
    assert np.abs(found - PIXELS).max() > 10  # what was seen where profiles are ignored
    grey = reread(given, kind, channels=1, icc_profile=WIDE)
    assert_near(grey, from_p3(PIXELS) @ [0.299, 0.587, 0.114])


def test_jpeg_and_webp_have_profiles_too():
    green = Image.new("RGB", (32, 32), (30, 220, 40))
    for kind in ("JPEG", "WEBP"):
        found = reread(green, kind, icc_profile=WIDE, quality=95)[16, 16]
        assert_near(found, from_p3([30, 220, 40]), levels=6)  # with what compression does


def test_srgb_and_no_profile_leave_every_bit_alone():
    table = np.round(65535 * decode(np.linspace(0, 255, 1024))).astype(int)
    for made in (
        None,
        b"",
        colours.srgb_profile(),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(SRGB, curve(*table)),  # as its first makers wrote it
    ):
        np.testing.assert_array_equal(reread(Image.fromarray(PIXELS), icc_profile=made), PIXELS)
        picture = Image.fromarray(PIXELS)
        picture.info["icc_profile"] = made
        assert colours.to_srgb(picture) is picture


@pytest.mark.parametrize(
    "broken",
    [
        WIDE[:200],
        b"x" * 300,
        WIDE[:128] + bytes(400),
        WIDE.replace(b"RGB ", b"CMYK"),
        WIDE.replace(b"RGB ", b"GRAY"),
        WIDE.replace(b"mntr", b"link"),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "LA", "1"])
def test_damaged_profiles_and_those_of_other_pictures_are_passed_over(broken, mode):
    picture = Image.fromarray(PIXELS).convert(mode)
    expected = np.asarray(images.upright(picture, 3))
    picture.info["icc_profile"] = broken
    np.testing.assert_array_equal(images.upright(picture, 3), expected)


def test_transparency_is_over_white_once_colours_are_converted():
    alpha = np.full((8, 6), 255, np.uint8)
    alpha[0], alpha[1] = 0, 128
    found = reread(Image.fromarray(np.dstack([PIXELS, alpha])), icc_profile=WIDE)
    opaque = alpha[..., None] / 255
    assert_near(found, opaque * from_p3(PIXELS) + (1 - opaque) * 255, levels=2)


def test_palettes_are_resolved_before_colours_are_converted():
    index = np.arange(48).reshape(8, 6) % 3
    palette = np.array([[30, 220, 40], [200, 60, 50], [60, 70, 230]], np.uint8)
    picture = Image.fromarray(index.astype(np.uint8))
    picture.putpalette(palette.tobytes())
    assert_near(reread(picture, icc_profile=WIDE), from_p3(palette[index]))
    clear = reread(picture, icc_profile=WIDE, transparency=1)
    assert (clear[index == 1] == 255).all()
    assert_near(clear[index == 2], from_p3(palette[index])[index == 2])


def test_a_turned_picture_is_turned_and_converted():
    exif = Image.Exif()
    exif[0x0112] = 6
    found = reread(Image.fromarray(PIXELS), icc_profile=WIDE, exif=exif)
    assert_near(found, np.rot90(from_p3(PIXELS), -1))


def test_grey_profiles():
    grey = Image.fromarray(PIXELS[..., 0])
    linear = profile(b"GRAY", {b"kTRC": curve(256)})
    expected = encode(PIXELS[..., 0] / 255)
    assert_near(reread(grey, channels=1, icc_profile=linear), expected)
    assert_near(reread(grey, icc_profile=linear), np.dstack([expected] * 3))
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    assert_near(reread(deep, channels=1, icc_profile=linear), expected)
    alpha = Image.new("L", grey.size, 255)
    both = Image.merge("LA", [grey, alpha])
    assert_near(reread(both, channels=1, icc_profile=linear), expected)
    tagged = reread(grey, channels=1, icc_profile=WIDE)  # one for RGB on a grey picture
    assert_near(tagged, from_p3(PIXELS[..., [0, 0, 0]]) @ [0.299, 0.587, 0.114])


def lab(lightness, a, b):
    """sRGB in levels of 255 of CIELAB relative to D50 (ISO 15076-1, annex D)."""
    y = (lightness + 16) / 116
    f = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1, 0.8249]
    return encode(xyz @ np.linalg.inv(SRGB).T)


def test_inks_are_what_their_profile_says():
    """A printer of muted inks, where conversion without its profile gives screaming ones."""
    inks = {0b0000: (100, 0, 0), 0b1000: (60, -20, -30), 0b0100: (50, 40, 0), 0b0010: (85, 0, 50)}
    corners = bytearray()
    for corner in range(16):  # cyan changes slowest
        lightness, a, b = inks.get(corner, (0, 0, 0))
        corners += bytes([round(lightness * 2.55), a + 128, b + 128])
    straight = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += straight * 4 + corners + straight * 3
    cmyk = profile(b"CMYK", {b"A2B0": lut + bytes(-len(lut) % 4)}, pcs=b"Lab ")
    for ink, colour in [((0, 0, 0, 0), 0b0000), ((255, 0, 0, 0), 0b1000), ((0, 255, 0, 0), 0b0100)]:
        picture = Image.new("CMYK", (16, 16), ink)
        for kind, levels in (("TIFF", 3), ("JPEG", 6)):
            found = reread(picture, kind, icc_profile=cmyk)[8, 8]
            assert_near(found, lab(*inks[colour]), levels)  # L, a and b have 8 bits
    naive = reread(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "TIFF")[8, 8]
    assert (naive == [0, 255, 255]).all()


def test_cielab_needs_no_profile():
    picture = Image.new("LAB", (1, 1), (204, 138, 118))
    assert_near(np.asarray(images.upright(picture, 3))[0, 0], lab(80, 10, -10))
    assert images.upright(picture, 1).mode == "L"


def test_done_twice_is_done_once():
    picture = Image.fromarray(PIXELS)
    picture.info["icc_profile"] = WIDE
    once = images.upright(picture, 3)
    np.testing.assert_array_equal(images.upright(once, 3), once)
    assert picture.info["icc_profile"] == WIDE  # what was given is left alone


def test_the_profile_to_embed_is_srgb_and_the_same_every_time():
    made = colours.srgb_profile()
    colours._srgb.cache_clear()
    assert colours.srgb_profile() == made
    assert made[24:36] == struct.pack(">6H", 2004, 10, 22, 0, 0, 0)  # not the time of this test
    given = Image.fromarray(PIXELS)
    read = ImageCms.ImageCmsProfile(io.BytesIO(made))
    # From gamma 2.2 and P3's primaries into it, as by the formula.
    seen = ImageCms.profileToProfile(given, ImageCms.ImageCmsProfile(io.BytesIO(WIDE)), read)
    assert_near(seen, from_p3(PIXELS))

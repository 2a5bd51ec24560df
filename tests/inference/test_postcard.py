"""Cards that a printer's shop takes: pixels, resolution, boxes, and no distortion."""

import re
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gans.data.io import colours
from gans.files import writing
from gans.inference import postcard


@pytest.mark.parametrize(
    "picture, card",
    [((300, 200), (1819, 1311)), ((200, 300), (1311, 1819)), ((90, 90), (1311, 1819))],
)
def test_a_card_is_a6_with_bleed_at_300_dpi_the_way_the_picture_is(picture, card):
    assert postcard.size(picture) == card  # 154 and 111 mm
    assert postcard.lay_out(Image.new("RGB", picture)).size == card


@pytest.mark.parametrize("picture", [(4000, 3000), (3000, 4000), (640, 427), (10, 900), (7, 7)])
def test_covering_is_the_least_size_of_the_same_shape_that_covers_the_card(picture):
    covering, card = postcard.covering(picture), postcard.size(picture)
    assert covering[0] >= card[0] and covering[1] >= card[1]
    assert covering[0] == card[0] or covering[1] == card[1]
    assert covering[0] / covering[1] == pytest.approx(picture[0] / picture[1], rel=1e-3)


@pytest.mark.parametrize("picture", [(1, 1000), (1000, 1), (30000, 100), (4000, 3000), (2, 1)])
def test_what_is_painted_is_at_most_twice_the_card(picture):
    """And the middle of the picture, all of it where less than half would be cut off."""
    left, upper, right, lower = postcard.part(picture)
    part = right - left, lower - upper
    assert part[0] >= 1 and part[1] >= 1
    assert abs(left - (picture[0] - right)) <= 1 and abs(upper - (picture[1] - lower)) <= 1
    card, painted = postcard.size(picture), postcard.covering(part)
    if max(picture) / min(picture) <= 2:
        assert part == picture
    assert min(part) == min(picture)
    # A part of three pixels cannot have just the shape that is wanted.
    assert painted[0] * painted[1] <= 2 * card[0] * card[1] * (1 + 0.5 / min(part))


@pytest.mark.parametrize("size", [(2400, 600), (1900, 1400), (500, 1700)])
def test_a_square_stays_a_square_in_the_middle_and_no_edge_is_white(size):
    picture = Image.new("RGB", size, "navy")
    centre = np.array(size) / 2
    ImageDraw.Draw(picture).rectangle([*(centre - 100), *(centre + 100)], fill="yellow")
    card = np.asarray(postcard.lay_out(picture))
    assert (card[:, [0, -1], 0] < 10).all() and (card[[0, -1], :, 0] < 10).all()
    rows, columns = np.nonzero(card[..., 0] > 127)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 2
    assert abs(rows.mean() - card.shape[0] / 2) <= 2 and abs(columns.mean() - card.shape[1] / 2) < 3


def test_the_png_says_its_resolution(tmp_path):
    card = postcard.lay_out(Image.new("RGB", (30, 20)))
    writing.save_picture(tmp_path / "card.png", card, dpi=postcard.DPI, text={"Software": "us"})
    with Image.open(tmp_path / "card.png") as picture:
        width, height = (
            round(n / dpi * 25.4) for n, dpi in zip(picture.size, picture.info["dpi"], strict=True)
        )
        assert (width, height) == (154, 111)
        assert picture.info["Software"] == "us"


def stream(number, file):
    """What an object of a PDF file holds."""
    return re.search(rb"\n%d 0 obj.*?stream\n(.*?)\nendstream\nendobj" % number, file, re.S)[1]


@pytest.mark.parametrize(
    "mode, size, millimetres", [("RGB", (30, 20), (154, 111)), ("L", (20, 30), (111, 154))]
)
def test_the_pdf_has_the_boxes_of_the_card_and_its_pixels_without_loss(mode, size, millimetres):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], len(mode)), dtype=np.uint8)
    card = postcard.lay_out(Image.fromarray(noise.squeeze(), mode))
    file = postcard.pdf(card, "us")
    boxes = {
        name: np.array(values.split(), float) / 72 * 25.4
        for name, values in re.findall(r"/(\w+Box) \[(.*?)\]", file[:2000].decode("latin1"))
    }
    full = [0, 0, *millimetres]
    np.testing.assert_allclose(boxes["MediaBox"], full, atol=0.01)
    np.testing.assert_allclose(boxes["BleedBox"], full, atol=0.01)
    np.testing.assert_allclose(boxes["TrimBox"], [3, 3, *np.subtract(full[2:], 3)], atol=0.01)
    assert file == postcard.pdf(card, "us")
    pixels = zlib.decompress(
        re.search(
            rb"BitsPerComponent 8 /Filter /FlateDecode .*?stream\n(.*)\nendstream", file, re.S
        )[1]
    )
    assert pixels == card.tobytes()


def test_png_and_pdf_say_that_their_colours_are_srgb(tmp_path):
    tagged = Image.new("RGB", (30, 20), "red")
    tagged.info["icc_profile"] = b"of the file that it was made from"
    writing.save_picture(tmp_path / "a.png", tagged)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["srgb"] == 0 and "icc_profile" not in picture.info
    profile = zlib.compress(colours.srgb_profile())
    for mode, space in [
        ("RGB", rb"/ColorSpace \[/ICCBased 7 0 R\]"),
        ("L", rb"/ColorSpace \[/Indexed \[/ICCBased 7 0 R\] 255 <000000010101.*fefefeffffff>\]"),
    ]:
        file = postcard.pdf(Image.new(mode, (30, 20)), "us")
        assert re.search(space, file)
        assert (
            re.search(rb"\n7 0 obj\n<< /N 3 .*?stream\n(.*?)\nendstream", file, re.S)[1] == profile
        )


def test_the_pdf_can_be_read_from_its_end_as_readers_do():
    file = postcard.pdf(Image.new("RGB", (13, 18), "red"), "us")
    table = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", file)[1])
    assert file[table:].startswith(b"xref\n0 8\n0000000000 65535 f \n")
    offsets = [int(line.split()[0]) for line in file[table:].splitlines()[3:10]]
    for number, offset in enumerate(offsets, 1):
        assert file[offset:].startswith(b"%d 0 obj\n" % number)
    for length, content in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", file, re.S):
        assert len(content) == int(length)

"""Cards that a printer's shop takes: pixels, resolution, boxes, and no distortion."""

import re
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gans import files, postcard


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
    files.save_picture(tmp_path / "card.png", card, dpi=postcard.DPI, text={"Software": "us"})
    with Image.open(tmp_path / "card.png") as picture:
        width, height = (
            round(n / dpi * 25.4) for n, dpi in zip(picture.size, picture.info["dpi"], strict=True)
        )
        assert (width, height) == (154, 111)
        assert picture.info["Software"] == "us"


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
    pixels = zlib.decompress(re.search(rb"FlateDecode .*?stream\n(.*)\nendstream", file, re.S)[1])
    assert pixels == card.tobytes()


def test_the_pdf_can_be_read_from_its_end_as_readers_do():
    file = postcard.pdf(Image.new("RGB", (13, 18), "red"), "us")
    table = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", file)[1])
    assert file[table:].startswith(b"xref\n0 7\n0000000000 65535 f \n")
    offsets = [int(line.split()[0]) for line in file[table:].splitlines()[3:9]]
    for number, offset in enumerate(offsets, 1):
        assert file[offset:].startswith(b"%d 0 obj\n" % number)
    for length, content in re.findall(rb"/Length (\d+) >>\nstream\n(.*?)\nendstream", file, re.S):
        assert len(content) == int(length)

import io
import os
import socket
import threading

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from gans.data.io import images, opening
from gans.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def refused(path, **limits):
    """Why a file is not read; a reader that waits for ever fails instead of waiting too."""
    said = []

    def read():
        try:
            images.read(path, 3, **limits)
        except opening.UnreadableImage as error:
            said.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive() and len(said) == 1
    assert "\n" not in said[0]
    return said[0]


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "circle.png").symlink_to("circle.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.png"))
    for name, sentence in [
        ("pipe", "it is a pipe, no picture file"),
        ("folder", "it is a folder, no picture file"),
        ("zero", "it is a device, no picture file"),
        ("socket", "it is a socket, no picture file"),
        ("broken", "No such file or directory"),
        ("circle", "Too many levels of symbolic links"),
    ]:
        assert refused(tmp_path / f"{name}.png") == sentence


@pytest.mark.parametrize("kind", opening.FORMATS)
def test_every_format_that_is_listed_is_read(kind, tmp_path):
    for ending in opening.FORMATS[kind]:
        path = tmp_path / f"a{ending}"
        Image.fromarray(PIXELS).save(path, kind)
        assert images.read(path, 3).size == (16, 16)


def test_programs_are_kept_from_being_run_on_pictures(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **kwargs: started.append(args))
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    )
    assert refused(tmp_path / "a.jpg") == "not an image"
    assert not started


def test_heic_says_what_to_do(tmp_path):
    (tmp_path / "IMG_1.jpg").write_bytes(HEIC)
    assert "convert it to JPEG" in refused(tmp_path / "IMG_1.jpg")
    with pytest.raises(opening.UnreadableImage, match="convert it to JPEG"):
        images.read(io.BytesIO(HEIC), 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("pillows", [100, None, 10**9])
def test_the_limit_is_the_callers_and_pillows_own_is_as_before(picture, monkeypatch, pillows):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows)
    np.testing.assert_array_equal(images.read(picture, 3, 256e-6), PIXELS)
    for limit in (255e-6, 100e-6, 20e-6):
        assert f"max_megapixels={limit:g}" in refused(picture, max_megapixels=limit)
    assert pillows == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_is_above_0(limit):
    with pytest.raises(UserError, match="max_megapixels"):
        opening.check_limit(limit)


def test_pictures_read_at_once_are_bounded_together(picture, monkeypatch):
    """Of pictures of 256 pixels, two fit into a budget of 600."""
    monkeypatch.setattr(opening, "_DECODING", opening.Budget(600))
    inside, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=20)

    def read():
        nonlocal inside, most
        with opening.opened(picture):
            with lock:
                inside += 1
                most = max(most, inside)
            both.wait()
            with lock:
                inside -= 1

    workers = [threading.Thread(target=read) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert (inside, most) == (0, 2)


def test_an_error_inside_is_about_the_picture(picture):
    for error, sentence in [(OSError("cut\noff"), "cut off"), (MemoryError(), "too little memory")]:
        with pytest.raises(opening.UnreadableImage, match=sentence), opening.opened(picture):
            raise error
    with opening.opened(picture) as image:  # the budget was given back
        assert image.size == (16, 16)


def test_only_the_first_frame_is_read_and_others_are_noticed(tmp_path, picture):
    frames = [Image.fromarray(np.roll(PIXELS, 8 * i, axis=0)) for i in range(3)]
    for kind, ending in [("GIF", "gif"), ("PNG", "apng"), ("WEBP", "webp"), ("TIFF", "tif")]:
        path = tmp_path / f"moving.{ending}"
        frames[0].save(path, kind, save_all=True, append_images=frames[1:])
        assert opening.is_animated(path)
    assert not opening.is_animated(picture)
    (tmp_path / "none.png").write_text("no picture")
    assert not opening.is_animated(tmp_path / "none.png")

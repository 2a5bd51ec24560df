"""The GIF: every picture in order, and of too many or too large ones a bounded file."""

from PIL import Image

from gans.runs import animation
from gans.runs.animation import save_animation


def save(folder, count, size):
    paths = []
    for i in range(count):
        paths.append(folder / f"{i:04d}.png")
        Image.new("RGB", size(i), (i % 256,) * 3).save(paths[-1])
    return paths


def test_an_animation_has_every_picture_in_order_and_the_widest_fits(tmp_path):
    save_animation(tmp_path / "a.gif", save(tmp_path, 70, lambda i: (4 + i % 3, 4)))
    with Image.open(tmp_path / "a.gif") as opened:
        assert opened.n_frames == 70
        assert opened.size == (6, 4)
        assert opened.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
        opened.seek(69)
        assert opened.convert("RGB").getpixel((0, 0)) == (69, 69, 69)


def test_of_too_many_frames_the_first_and_the_last_are_among_those_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "_PIXELS", 7 * 16 + 5)
    save_animation(tmp_path / "a.gif", save(tmp_path, 70, lambda i: (4, 4)))
    with Image.open(tmp_path / "a.gif") as opened:
        assert opened.n_frames == 7
        shown = []
        for frame in range(7):
            opened.seek(frame)
            shown.append(opened.convert("RGB").getpixel((0, 0))[0])
    assert shown == [0, 12, 23, 34, 46, 58, 69]  # of 69 / 6 = 11.5 each


def test_pictures_wider_than_a_gif_can_be_are_made_smaller(tmp_path):
    save_animation(tmp_path / "a.gif", save(tmp_path, 2, lambda i: (66_002, 66)))
    with Image.open(tmp_path / "a.gif") as opened:
        assert opened.size == (800, 1) and opened.n_frames == 2


def test_without_pictures_there_is_none(tmp_path):
    save_animation(tmp_path / "a.gif", [])
    assert not list(tmp_path.iterdir())

"""The command from photographs to paintings: what it writes, keeps, reports and refuses."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]


def translate(cycle_run, *arguments):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.translate",
            f"--workdir={cycle_run}",
            *map(str, arguments),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def picture(path, size=(40, 30), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], len(mode)), dtype=np.uint8)
    Image.fromarray(pixels, mode).save(path, **options)
    return path


def size_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


def test_good_pictures_are_translated_and_bad_ones_reported(cycle_run, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "out"
    picture(folder / "clear.png", mode="RGBA")
    moving = Image.open(picture(folder / "frame.png"))
    moving.save(folder / "moving.gif", save_all=True, append_images=[moving.rotate(180)])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture(folder / "turned.jpg", exif=exif)
    whole = picture(folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "letter.jpg").write_text("Dear aunt,")
    (folder / "notes.txt").write_text("no picture")
    (folder / "IMG_1.HEIC").write_bytes(b"")
    os.mkfifo(folder / "pipe.png")
    (folder / "line\nbreak.png").write_bytes((folder / "frame.png").read_bytes())
    strange = os.fsdecode(b"caf\xe9")
    (folder / f"{strange}.png").write_bytes(b"")
    out.mkdir()
    os.mkfifo(out / "frame.png")  # not opened to see who made it
    picture(folder / "deeper" / "below.png")
    # Of the same name as another; the flags come last.
    twin = picture(tmp_path / "more" / "clear.jpg", (33, 50))
    result = translate(
        cycle_run, folder, tmp_path / "mo*" / "*", twin, "--direction=b_to_a", f"--out={out}"
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "6 of 10 pictures are in" in result.stdout and "step 4" in result.stdout
    lines = result.stderr.splitlines()
    assert f"{folder}: 2 files are no pictures that this reads (.heic: 1, .txt: 1)" in result.stderr
    assert f"{folder / 'moving.gif'} has several frames: the first is translated" in lines
    assert sum("cannot be read" in line for line in lines) == 4
    assert any("pipe.png cannot be read: it is a pipe" in line for line in lines)
    assert any(r"caf\xe9.png cannot be read: not an image" in line for line in lines)
    assert any("cut.jpg cannot be read" in line for line in lines)
    assert any("letter.jpg cannot be read: not an image" in line for line in lines)
    assert {path.name: size_of(path) for path in out.iterdir() if path.is_file()} == {
        "clear.png": (40, 30),
        "clear_2.png": (33, 50),
        "frame_2.png": (40, 30),
        "line\nbreak.png": (40, 30),
        "moving.png": (40, 30),
        "turned.png": (30, 40),
    }


def test_nothing_is_overwritten_but_what_the_command_made(cycle_run, tmp_path):
    photo = picture(tmp_path / "a.png")
    foreign = picture(tmp_path / "b.png", (8, 8))
    other = picture(tmp_path / "from" / "b.jpg")
    before = photo.read_bytes(), foreign.read_bytes()
    for _ in range(2):
        result = translate(cycle_run, photo, other, f"--out={tmp_path}", "--resize=20")
        assert result.returncode == 0, result.stderr
    assert before == (photo.read_bytes(), foreign.read_bytes())
    made = {path.name for path in tmp_path.glob("*_*.png")}
    assert made == {"a_2.png", "b_2.png"}
    assert size_of(tmp_path / "a_2.png") == (20, 15)


def test_a_postcard_is_made_as_png_and_pdf(cycle_run, tmp_path):
    photo = picture(tmp_path / "holiday.jpg", (60, 40))
    result = translate(cycle_run, photo, f"--out={tmp_path}", "--postcard", "--resize=30")
    assert result.returncode == 0, result.stderr
    assert size_of(tmp_path / "holiday.png") == (1819, 1311)
    # Larger than allowed: left alone.
    result = translate(cycle_run, photo, f"--out={tmp_path}", "--resize=3000", "--max_megapixels=1")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "resized to 3000 x 2000 pixels it has more than max_megapixels=1" in result.stderr
    with Image.open(tmp_path / "holiday.png") as card:
        assert card.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert (tmp_path / "holiday.pdf").read_bytes().startswith(b"%PDF")


def test_a_mistake_is_one_sentence_and_status_2(cycle_run, tmp_path):
    (tmp_path / "empty").mkdir()
    photo = picture(tmp_path / "a.png")
    out = f"--out={tmp_path / 'out'}"
    for arguments, sentence in [
        ([tmp_path / "empty", out], "empty holds no pictures"),
        ([tmp_path / "*.jpg", out], "none matches it"),
        ([out], "No picture is named"),
        ([photo], "out"),
        ([photo, f"--out={photo}"], "is a file; give a folder"),
        ([photo, out, "--direction=b_to_c"], "direction is 'b_to_c'"),
        ([photo, out, "--step=3"], "available: 2, 4"),
        ([photo, out, "--resise=3"], "did you mean --resize?"),
        ([photo, out, "--max_megapixels=0"], "max_megapixels is 0.0"),
        ([photo, "--out=~nouser42/x"], "home folder of nouser42"),
        ([photo, out, f"--workdir={tmp_path}"], "There is no run in"),
    ]:
        result = translate(cycle_run, *arguments)
        assert result.returncode == 2 or (sentence == "out" and result.returncode), result.stderr
        assert sentence in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()

"""Files of a run folder: whole or absent, continued without repetition."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from gans import animation, files, pictures, reading, writers
from gans.errors import UserError


def test_a_grid_shows_each_image_enlarged_in_its_place():
    images = np.zeros((5, 2, 2, 3), np.uint8)
    images[:, ..., 0] = np.array([50, 100, 150, 200, 250])[:, None, None]
    picture = np.asarray(pictures.grid(images, 3))
    zoom, gap = 32, 2
    assert picture.shape == (2 * (2 * zoom + gap) + gap, 3 * (2 * zoom + gap) + gap, 3)
    for i in range(5):
        row, column = divmod(i, 3)
        y, x = (gap + n * (2 * zoom + gap) for n in (row, column))
        cell = picture[y : y + 2 * zoom, x : x + 2 * zoom]
        np.testing.assert_array_equal(cell[..., 0], 50 * (i + 1))
    assert (picture[-10:, -10:] == 255).all()  # no sixth image


def test_a_grid_of_grey_images_with_title_and_labels_keeps_the_pixels():
    images = np.full((2, 64, 64, 1), 7, np.uint8)
    picture = np.asarray(pictures.grid(images, 2, title="step 1", labels=("cat", "an aeroplane")))
    assert ((picture == 7).all(axis=-1)).sum() >= 2 * 64 * 64
    header = picture[: picture.shape[0] - 68]
    assert (header < 100).any()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), files.atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_place_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write .*file/a.json"):
        files.write_json(tmp_path / "file" / "a.json", {})


def test_broken_json_is_a_clear_error(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        reading.read_json(tmp_path / "a.json")


def test_lines_begin_after_one_that_a_kill_cut_short(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"step": 1}\n{"st')
    files.append_lines(path, [{"step": 2}, {"step": 3}])
    assert path.read_text() == '{"step": 1}\n{"st\n{"step": 2}\n{"step": 3}\n'


def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="Cannot write .*a.jsonl"):
        files.append_lines(tmp_path / "a.jsonl", [1])


@pytest.mark.parametrize("line", ["[]", "null", "3", "{}", '{"step": "4"}', '{"step": null}'])
def test_a_line_without_a_step_does_not_keep_a_run_from_going_on(tmp_path, line):
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        (tmp_path / name).write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with writers.RunWriter(tmp_path, 2):
        pass
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        assert (tmp_path / name).read_text() == '{"step": 1}\n{"step": 2}\n'


def test_resuming_drops_what_lies_beyond_the_step_and_cut_lines(tmp_path):
    picture = Image.new("RGB", (4, 4))
    with writers.RunWriter(tmp_path, 0) as writer:
        for step in (10, 20, 30):
            writer.metrics(step, {"d_loss": 0.123456789})
            writer.samples(step, step / 10, picture)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "cut')
    with writers.RunWriter(tmp_path, 20) as writer:
        writer.metrics(30, {"d_loss": 0.5})
        writer.animation()
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [10, 20, 30]
    assert [line["d_loss"] for line in logged] == [0.123457, 0.123457, 0.5]
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["epoch_0001_step_0000010.png", "epoch_0002_step_0000020.png"]


def test_tensorboard_events_hold_scalars_and_images(tmp_path):
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401  (the format read below)

    with writers.RunWriter(tmp_path, 0) as writer:
        writer.metrics(5, {"d_loss": 0.25})
        writer.samples(5, 0.0, Image.new("RGB", (3, 2)))
    (path,) = tmp_path.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), {}
    while content:
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            found[value.tag] = (event.step, value)
        content = content[16 + length :]
    assert found["d_loss"][0] == 5 and found["d_loss"][1].simple_value == 0.25
    image = found["samples"][1].image
    assert (image.width, image.height) == (3, 2)


def test_an_animation_has_every_picture_in_order_and_the_widest_fits(tmp_path):
    paths = []
    for i in range(70):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (4 + i % 3, 4), (i, i, i)).save(paths[-1])
    animation.save_animation(tmp_path / "a.gif", paths)
    with Image.open(tmp_path / "a.gif") as opened:
        assert opened.n_frames == 70
        assert opened.size == (6, 4)
        assert opened.convert("RGB").getpixel((0, 0)) == (0, 0, 0)
        opened.seek(69)
        assert opened.convert("RGB").getpixel((0, 0)) == (69, 69, 69)


def test_a_run_that_begins_anew_moves_the_old_record_aside(tmp_path):
    for value in (1.0, 2.0):
        with writers.RunWriter(tmp_path, 0) as writer:
            writer.metrics(10, {"d_loss": value})
            writer.samples(10, 1.0, Image.new("RGB", (4, 4)))
    (old,) = (tmp_path / "superseded").glob("*/metrics.jsonl")
    assert json.loads(old.read_text())["d_loss"] == 1.0
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["d_loss"] == 2.0
    assert len(list(old.parent.glob("samples/*.png"))) == 1

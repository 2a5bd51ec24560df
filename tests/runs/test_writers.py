"""Files of a run folder: whole or absent, continued without repetition."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from gans.errors import UserError
from gans.files import reading, writing
from gans.inference import grids
from gans.runs import writers


def test_a_grid_shows_each_image_enlarged_in_its_place():
    images = np.zeros((5, 2, 2, 3), np.uint8)
    images[:, ..., 0] = np.array([50, 100, 150, 200, 250])[:, None, None]
    picture = np.asarray(grids.grid(images, 3))
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
    picture = np.asarray(grids.grid(images, 2, title="step 1", labels=("cat", "an aeroplane")))
    assert ((picture == 7).all(axis=-1)).sum() >= 2 * 64 * 64
    header = picture[: picture.shape[0] - 68]
    assert (header < 100).any()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    writing.write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), writing.atomic(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_place_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write .*file/a.json"):
        writing.write_json(tmp_path / "file" / "a.json", {})


def test_broken_json_is_a_clear_error(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        reading.read_json(tmp_path / "a.json")


def test_lines_begin_after_one_that_a_kill_cut_short(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"step": 1}\n{"st')
    writing.append_lines(path, [{"step": 2}, {"step": 3}])
    assert path.read_text() == '{"step": 1}\n{"st\n{"step": 2}\n{"step": 3}\n'


def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="Cannot write .*a.jsonl"):
        writing.append_lines(tmp_path / "a.jsonl", [1])


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


def test_numbers_that_are_not_finite_are_in_no_record(tmp_path):
    found = {"good": 1.0, "bad": float("inf"), "worse": float("nan")}
    with writers.RunWriter(tmp_path, 0) as writer:
        writer.metrics(5, found)
        writer.evaluations([{"step": 5, "evaluator": "quality", "values": found}])
    (logged,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(logged).keys() == {"step", "time", "good"}
    (line,) = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(line)["values"] == {"good": 1.0}


def full(*_, **__):
    raise OSError(28, "No space left on device", "disk")


@pytest.mark.parametrize(
    "owner, method, what",
    [
        (writers.Events, "scalars", "TensorBoard's events"),
        (writers.Events, "picture", "TensorBoard's events"),
        (writers.SamplesFolder, "add", "Sample pictures"),
        (writers.SamplesFolder, "write_page", "The pages of sample pictures"),
        (writers, "save_animation", "The animations"),
        (writers, "_shrunk", "TensorBoard's events"),
    ],
)
def test_what_is_for_looking_at_and_fails_is_left_out_with_one_sentence(
    tmp_path, monkeypatch, owner, method, what
):
    said = []
    with monkeypatch.context() as broken, writers.RunWriter(tmp_path, 0, said.append) as writer:
        broken.setattr(owner, method, full)
        for step in (1, 2):
            writer.metrics(step, {"d_loss": 0.5})
            writer.samples(step, 0.0, Image.new("RGB", (4, 4)))
            writer.animation()
    sentence = f"{what} are left out where they cannot be written: No space left on device (disk)."
    assert said == [f"{sentence} Nothing else is lost."]
    with writers.RunWriter(tmp_path, 2, said.append) as writer:
        writer.metrics(3, {"d_loss": 0.5})
        writer.samples(3, 0.0, Image.new("RGB", (4, 4)))
        writer.animation()
    assert len(said) == 1 and (tmp_path / "samples.gif").exists()
    assert "step_0000003.png" in (tmp_path / "samples.html").read_text()
    logged = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [1, 2, 3]


def test_pictures_are_tried_again_after_a_disk_was_full(tmp_path, monkeypatch):
    said = []
    with writers.RunWriter(tmp_path, 0, said.append) as writer:
        for step, is_full in ((1, False), (2, True), (3, True), (4, False), (5, True)):
            with monkeypatch.context() as broken:
                if is_full:
                    broken.setattr(writers.SamplesFolder, "add", full)
                writer.samples(step, 0.0, Image.new("RGB", (4, 4)))
    assert [step for step, _ in writers.SamplesFolder(tmp_path)] == [1, 4]
    assert len(said) == 1


@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluations.jsonl"])
def test_a_record_that_cannot_be_written_is_one_sentence(tmp_path, name):
    with writers.RunWriter(tmp_path, 0) as writer:
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match=f"Cannot write .*{name}: Is a directory"):
            writer.metrics(1, {"d_loss": 0.5})
            writer.evaluations([{"step": 1, "evaluator": "quality", "values": {}}])


def test_lines_are_appended_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    writing.append_lines(path, [{"a": 1}])

    class Short(io.FileIO):
        """A file that takes five bytes, and then no more."""

        def write(self, content):
            return super().write(content[:5]) if self.tell() == 9 else full()

    with monkeypatch.context() as broken:
        broken.setattr(writing, "open", lambda path, *_, **__: Short(path, "ab+"), raising=False)
        with pytest.raises(UserError, match=r"a\.jsonl: No space left"):
            writing.append_lines(path, [{"a": 2}, {"a": 3}])
    writing.append_lines(path, [{"a": 4}])
    assert path.read_text() == '{"a": 1}\n{"a": 4}\n'


def test_what_a_killed_process_left_half_written_goes(tmp_path):
    torn = [".metrics.jsonl.abcd1234", ".samples.gif.a_cd1234", ".config.json.abcdefgh"]
    mine = [".metrics.jsonl.swp", ".other.json.abcdefgh", ".lock"]
    for name in torn + mine:
        (tmp_path / name).write_text("")
    with writers.RunWriter(tmp_path, 0):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {*mine, "metrics.jsonl"}


def test_a_run_that_begins_anew_moves_the_old_record_aside(tmp_path):
    for value in (1.0, 2.0):
        with writers.RunWriter(tmp_path, 0) as writer:
            writer.metrics(10, {"d_loss": value})
            writer.samples(10, 1.0, Image.new("RGB", (4, 4)))
    (old,) = (tmp_path / "superseded").glob("*/metrics.jsonl")
    assert json.loads(old.read_text())["d_loss"] == 1.0
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["d_loss"] == 2.0
    assert len(list(old.parent.glob("samples/*.png"))) == 1

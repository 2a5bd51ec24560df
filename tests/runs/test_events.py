"""TensorBoard's event files, read back with the checksums of the format."""

import io
import struct

import pytest
from PIL import Image

from gans.runs import events, writers


def read(path):
    """Every event of a file; what is torn or of another checksum fails."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
        record, checksum = content[12 : 12 + length], content[12 + length : 16 + length]
        assert struct.unpack("<I", checksum) == (masked_crc32c(record),)
        found.append(Event.FromString(record))
        content = content[16 + length :]
    return found


def values(path):
    return {(event.step, value.tag): value for event in read(path) for value in event.summary.value}


def test_scalars_and_pictures_are_there_at_once_and_earlier_files_are_cut(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, "PNG")
    writer = events.Events(tmp_path, 4)
    assert not list(tmp_path.iterdir())
    writer.scalars(5, {"d_loss": 0.25, "accuracy/a b": 1.0})
    writer.picture(6, "samples", (3, 2), file.getvalue())
    (path,) = tmp_path.glob("events.out.tfevents.*")
    version, start, *_ = read(path)
    assert version.file_version == "brain.Event:2"
    assert start.session_log.status == start.session_log.START and start.step == 5
    found = values(path)
    assert found[5, "d_loss"].simple_value == 0.25
    assert found[5, "accuracy/a_b"].simple_value == 1.0
    image = found[6, "samples"].image
    assert (image.width, image.height) == (3, 2)
    assert Image.open(io.BytesIO(image.encoded_image_string)).size == (3, 2)
    writer.close()


def test_a_disk_that_is_full_for_a_while_leaves_no_torn_event(tmp_path, monkeypatch):
    writer = events.Events(tmp_path, 0)
    writer.scalars(1, {"a": 1.0})

    class Full:
        """A file on a disk that has room for ten bytes more."""

        def __init__(self, file):
            self.file, self.room = file, 10

        def write(self, content):
            if not self.room:
                raise OSError(28, "No space left on device")
            written, self.room = self.file.write(content[: self.room]), 0
            return written

        def __getattr__(self, name):
            return getattr(self.file, name)

    file = writer._file
    monkeypatch.setattr(writer, "_file", Full(file))
    with pytest.raises(OSError, match="No space"):
        writer.scalars(2, {"a": 2.0})
    monkeypatch.setattr(writer, "_file", file)
    writer.scalars(3, {"a": 3.0})
    (path,) = tmp_path.glob("events.out.tfevents.*")
    assert [step for step, _ in values(path)] == [1, 3]


def test_tensorboard_gets_metrics_evaluations_and_pictures(tmp_path):
    line = {"step": 5, "evaluator": "quality", "values": {"fcd": 2.0}}
    with writers.RunWriter(tmp_path, 0) as writer:
        writer.metrics(5, {"d_loss": 0.25})
        writer.evaluations([line])
        writer.samples(5, 0.0, Image.new("RGB", (1280, 100)))
    (path,) = tmp_path.glob("events.out.tfevents.*")
    found = values(path)
    assert found[5, "d_loss"].simple_value == 0.25
    assert found[5, "quality/fcd"].simple_value == 2.0
    image = found[5, "samples"].image
    assert (image.width, image.height) == (640, 50)


def test_fewer_and_fewer_pictures_go_to_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_DENSE", 2)
    with writers.RunWriter(tmp_path, 0) as writer:
        for step in range(1, 18):
            writer.samples(step, 0.0, Image.new("RGB", (4, 4)))
    (path,) = tmp_path.glob("events.out.tfevents.*")
    assert [step for step, _ in values(path)] == [1, 2, 3, 5, 7, 9, 13, 17]
    assert len(list((tmp_path / "samples").iterdir())) == 17

"""The archive is a small one of the official layout, served from this machine."""

import hashlib
import http.server
import io
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time

import numpy as np
import pytest
from PIL import Image

from gans.data import cifar10
from gans.data.io import prepared
from gans.errors import UserError
from gans.files import download

PER_FILE = 4  # Examples in each of the five training files and the test file.
NAME = "cifar-10-binary.tar.gz"


def make_examples():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6 * PER_FILE, 32, 32, 3), np.uint8)
    labels = rng.permutation(np.arange(6 * PER_FILE) % 10).astype(np.uint8)
    return pixels, labels


def make_archive(pixels, labels):
    planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    records = np.concatenate([labels[:, None], planes], axis=1)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    files = {f"cifar-10-batches-bin/{name}": records[i::6] for i, name in enumerate(names)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in [("../escaped.txt", records[:1]), *files.items()]:
            info = tarfile.TarInfo(name)
            info.size = content.nbytes
            tar.addfile(info, io.BytesIO(content.tobytes()))
    return buffer.getvalue()


PIXELS, LABELS = make_examples()
ARCHIVE = make_archive(PIXELS, LABELS)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
# Example i of the archive's reading order is number ORDER[i] of PIXELS.
ORDER = np.concatenate([np.arange(i, 6 * PER_FILE, 6) for i in range(6)])


class Server:
    """Serves bytes; `announced` is the length it claims, `stall` leaves connections open."""

    def __init__(self):
        self.content, self.announced, self.stall, self.requests = ARCHIVE, len(ARCHIVE), False, 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", str(server.announced))
                self.end_headers()
                self.wfile.write(server.content)
                self.wfile.flush()
                while server.stall:
                    time.sleep(0.02)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/{NAME}"

    def close(self):
        self.stall = False
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def prepare(root, server, **overrides):
    arguments = {"url": server.url, "size": len(ARCHIVE), "sha256": SHA256} | overrides
    return cifar10.prepare(str(root), **arguments)


def assert_complete(root):
    """The stock reader gives back every example, pixel for pixel."""
    import tensorflow_datasets as tfds

    sources = tfds.data_source("cifar10", data_dir=root, download=False)
    assert {name: len(source) for name, source in sources.items()} == {
        "train": 5 * PER_FILE,
        "test": PER_FILE,
    }
    for split, order in [("train", ORDER[: 5 * PER_FILE]), ("test", ORDER[5 * PER_FILE :])]:
        seen = set()
        for example in sources[split]:
            name, number = example["id"].decode().split("_")
            index = order[int(number)]
            np.testing.assert_array_equal(example["image"], PIXELS[index])
            assert (name, example["label"]) == (split, LABELS[index])
            seen.add(index)
        assert seen == set(order)


def leftovers(root):
    """Files below a folder, other than the lock and the archive."""
    files = {path.name for path in root.rglob("*") if path.is_file()}
    return files - {".lock", NAME}


def test_prepared_data_is_what_the_stock_reader_expects(tmp_path, server):
    import tensorflow_datasets as tfds

    folder = prepare(tmp_path / "data", server)
    assert folder == tmp_path / "data" / "cifar10" / "3.0.2"
    assert_complete(tmp_path / "data")
    builder, stock = (
        tfds.builder("cifar10", data_dir=tmp_path / "data"),
        tfds.builder_cls("cifar10"),
    )
    assert (builder.name, str(builder.version)) == ("cifar10", str(stock.VERSION))
    assert builder.info.features["label"].names == list(cifar10.CLASSES)
    assert builder.info.features.keys() == {"id", "image", "label"}
    assert builder.info.features["image"].shape == (32, 32, 3)
    assert "tensorflow" not in sys.modules


def test_images_are_stored_as_png(tmp_path, server):
    import tensorflow_datasets as tfds

    prepare(tmp_path, server)
    source = tfds.data_source(
        "cifar10",
        data_dir=tmp_path,
        split="test",
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    assert all(example["image"].startswith(b"\x89PNG") for example in source)


def test_official_archive_is_the_one_tfds_knows():
    import tensorflow_datasets as tfds

    checksums = pathlib.Path(tfds.__file__).parent / "url_checksums" / "cifar10.txt"
    assert checksums.read_text().split("\t")[:3] == [
        cifar10.URL,
        str(cifar10.SIZE),
        cifar10.SHA256,
    ]


def test_archive_is_never_unpacked(tmp_path, server):
    prepare(tmp_path / "deep" / "data", server)
    assert not list(tmp_path.rglob("escaped.txt"))


def test_load_matches_the_archive(tmp_path, server):
    prepare(tmp_path, server)
    source = cifar10.load(data_dir=str(tmp_path), split="train+test", image_size=32, channels=3)
    assert source.images.dtype == np.uint8
    assert source.images.shape == (24, *source.image_shape) == (24, 32, 32, 3)
    assert source.labels.dtype == np.int32
    original = {PIXELS[i].tobytes(): LABELS[i] for i in range(24)}
    loaded = {
        pixels.tobytes(): label for pixels, label in zip(source.images, source.labels, strict=True)
    }
    assert loaded == original
    test = {PIXELS[i].tobytes() for i in ORDER[-PER_FILE:]}
    assert {pixels.tobytes() for pixels in source.images[-PER_FILE:]} == test


def test_load_takes_slices_in_the_stock_order(tmp_path, server):
    import tensorflow_datasets as tfds

    prepare(tmp_path, server)
    source = cifar10.load(
        data_dir=str(tmp_path), split="test[-1:]+train[5:7]", image_size=32, channels=3
    )
    stock = tfds.data_source("cifar10", data_dir=tmp_path)
    expected = [stock["test"][PER_FILE - 1], stock["train"][5], stock["train"][6]]
    np.testing.assert_array_equal(source.images, [example["image"] for example in expected])
    np.testing.assert_array_equal(source.labels, [example["label"] for example in expected])


def test_a_data_set_that_tfds_prepared_from_jpeg_is_read(tmp_path, server, monkeypatch):
    def as_jpeg(pixels):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        return buffer.getvalue()

    monkeypatch.setattr(cifar10, "_encode_png", as_jpeg)
    prepare(tmp_path, server)
    source = cifar10.load(data_dir=str(tmp_path), split="test", image_size=32, channels=3)
    expected = {
        np.asarray(Image.open(io.BytesIO(as_jpeg(PIXELS[i])))).tobytes() for i in ORDER[-PER_FILE:]
    }
    assert {pixels.tobytes() for pixels in source.images} == expected


def test_load_resizes_and_greys(tmp_path, server):
    prepare(tmp_path, server)
    arguments = {"data_dir": str(tmp_path), "split": "test"}
    colour = cifar10.load(**arguments, image_size=32, channels=3).images
    grey = cifar10.load(**arguments, image_size=48, channels=1)
    assert grey.image_shape == (48, 48, 1)
    expected = Image.fromarray(colour[0]).convert("L").resize((48, 48), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(grey.images[0, ..., 0], np.asarray(expected))


def test_environment_names_the_default_folder(tmp_path, server, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "env"))
    cifar10.prepare(url=server.url, size=len(ARCHIVE), sha256=SHA256)
    assert_complete(tmp_path / "env")
    assert len(cifar10.load(data_dir="", split="test", image_size=32, channels=3)) == PER_FILE
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = cifar10.prepare(url=server.url, size=len(ARCHIVE), sha256=SHA256)
    assert folder == tmp_path / "tensorflow_datasets" / "cifar10" / "3.0.2"


def test_load_prepares_what_is_absent(tmp_path, server, monkeypatch):
    monkeypatch.setattr(
        cifar10.prepare,
        "__kwdefaults__",
        {"url": server.url, "size": len(ARCHIVE), "sha256": SHA256},
    )
    source = cifar10.load(data_dir=str(tmp_path), split="train", image_size=32, channels=3)
    assert len(source) == 5 * PER_FILE


def test_second_run_touches_neither_network_nor_files(tmp_path, server):
    folder = prepare(tmp_path, server)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert prepare(tmp_path, server) == folder
    assert server.requests == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_concurrent_runs_download_once(tmp_path, server):
    runs = [threading.Thread(target=prepare, args=(tmp_path, server)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert server.requests == 1
    assert_complete(tmp_path)


def test_archive_fetched_by_hand_needs_no_network(tmp_path, server):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / NAME).write_bytes(ARCHIVE)
    prepare(tmp_path, server)
    assert server.requests == 0
    assert_complete(tmp_path)


def test_wrong_archive_put_by_hand_is_refused_and_kept(tmp_path, server):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / NAME).write_bytes(b"precious")
    with pytest.raises(UserError, match="is not the expected file .* delete it"):
        prepare(tmp_path, server)
    assert (tmp_path / "downloads" / NAME).read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("content", "announced", "message"),
    [
        (ARCHIVE[: len(ARCHIVE) // 2], len(ARCHIVE) // 2, "stopped after .* of .* bytes"),
        (ARCHIVE[: len(ARCHIVE) // 2], len(ARCHIVE), "stopped after .* of .* bytes"),
        (ARCHIVE[:-1] + b"!", len(ARCHIVE), "other than the expected one"),
        (ARCHIVE + b"!", len(ARCHIVE) + 1, "other than the expected one"),
    ],
)
def test_bad_download_is_discarded_and_the_next_run_works(
    tmp_path, server, content, announced, message
):
    server.content, server.announced = content, announced
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, server)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    server.content, server.announced = ARCHIVE, len(ARCHIVE)
    prepare(tmp_path, server)
    assert_complete(tmp_path)


def test_message_without_network_says_what_to_do(tmp_path, server):
    server.close()
    with pytest.raises(UserError) as caught:
        prepare(tmp_path / "my data", server)
    message = str(caught.value)
    root = tmp_path / "my data"
    assert f"python -m experiments.prepare --name=cifar10 --data_dir='{root}'" in message
    assert f"put it at {root / 'downloads' / NAME}" in message
    assert server.url in message
    assert "\n" not in message


def test_http_error_is_a_user_error(tmp_path, server):
    server.http.RequestHandlerClass.do_GET = lambda handler: handler.send_error(503)
    with pytest.raises(UserError, match="Cannot download"):
        prepare(tmp_path, server)


def killed_run(root, server, before=""):
    """Starts `prepare` in a process of its own."""
    code = f"""
        import os, signal
        from gans.data import cifar10
        {before}
        cifar10.prepare({str(root)!r}, url={server.url!r}, size={len(ARCHIVE)}, sha256={SHA256!r})
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=pathlib.Path(cifar10.__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )


def test_killed_download_is_repeated(tmp_path, server):
    server.content, server.stall = ARCHIVE[: len(ARCHIVE) // 2], True
    process = killed_run(tmp_path, server)
    deadline = time.time() + 60
    while not list((tmp_path / "downloads").glob("*.part")) and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    server.stall = False
    assert not (tmp_path / "downloads" / NAME).exists()
    server.content = ARCHIVE
    prepare(tmp_path, server)
    assert_complete(tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_killed_preparation_is_repeated(tmp_path, server):
    suicide = "cifar10._encode_png = lambda pixels: os.kill(os.getpid(), signal.SIGKILL)"
    process = killed_run(tmp_path, server, before=suicide)
    assert process.wait(60) == -signal.SIGKILL
    assert list((tmp_path / "cifar10").glob("incomplete*"))
    assert not (tmp_path / "cifar10" / "3.0.2").exists()
    prepare(tmp_path, server)
    assert server.requests == 1  # The archive was complete.
    assert_complete(tmp_path)
    assert not list((tmp_path / "cifar10").glob("incomplete*"))


def test_interrupted_preparation_leaves_nothing(tmp_path, server, monkeypatch):
    def interrupt(pixels):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cifar10, "_encode_png", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(tmp_path, server)
    assert not leftovers(tmp_path)
    prepare(tmp_path, server)
    assert_complete(tmp_path)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("No space")]
)
def test_full_disk_is_a_user_error(tmp_path, server, monkeypatch, error):
    def fail(pixels):
        raise error

    monkeypatch.setattr(cifar10, "_encode_png", fail)
    with pytest.raises(UserError, match=r"Cannot prepare CIFAR-10 in .*No space.*make room"):
        prepare(tmp_path, server)
    assert not leftovers(tmp_path)


def test_little_space_is_found_out_before_the_download(tmp_path, server, monkeypatch):
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="10 MB free"):
        prepare(tmp_path, server)
    assert server.requests == 0


def test_folder_that_cannot_be_written_is_a_user_error(tmp_path, server):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot prepare CIFAR-10 in .*choose another data_dir"):
        prepare(tmp_path / "file" / "data", server)


def test_what_killed_processes_left_is_cleared_once_the_data_is_there(tmp_path, server):
    prepare(tmp_path, server)
    (tmp_path / "cifar10" / "incomplete.prepare" / "deep").mkdir(parents=True)
    prepare(tmp_path, server)
    assert not (tmp_path / "cifar10" / "incomplete.prepare").exists()


def test_prepared_folder_may_be_read_only(tmp_path, server, monkeypatch):
    prepare(tmp_path, server)
    monkeypatch.setattr(os, "mkdir", lambda *args: pytest.fail("wrote"))
    monkeypatch.setattr(download.locks.fcntl, "flock", lambda *args: pytest.fail("locked"))
    assert len(cifar10.load(data_dir=str(tmp_path), split="test", image_size=32, channels=3)) == 4


def test_other_data_in_the_folder_is_refused_and_kept(tmp_path, server):
    theirs = tmp_path / "cifar10" / "3.0.2" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    with pytest.raises(UserError, match="does not hold CIFAR-10"):
        cifar10.load(data_dir=str(tmp_path), split="test", image_size=32, channels=3)
    assert theirs.read_text() == "precious"


def test_empty_folder_counts_as_absent(tmp_path, server):
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    prepare(tmp_path, server)
    assert_complete(tmp_path)


def test_missing_file_of_prepared_data_is_a_user_error(tmp_path, server):
    next(prepare(tmp_path, server).glob("*train.array_record*")).unlink()
    with pytest.raises(UserError, match="does not hold CIFAR-10"):
        cifar10.load(data_dir=str(tmp_path), split="train", image_size=32, channels=3)


def test_unknown_split_names_the_known_ones(tmp_path, server):
    prepare(tmp_path, server)
    with pytest.raises(UserError, match=r"train \(20 examples\), test \(4 examples\)"):
        cifar10.load(data_dir=str(tmp_path), split="valid", image_size=32, channels=3)

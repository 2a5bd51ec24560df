"""The archive is a small one of the official layout, served from this machine."""

import concurrent.futures
import functools
import hashlib
import http.server
import io
import pathlib
import sys
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from gans.data import cycle_gan
from gans.data.io import image_files, opening
from gans.errors import UserError

NAME = "monet2photo"
COUNTS = {"trainA": 5, "trainB": 7, "testA": 3, "testB": 2}


def make_picture(seed, size=(20, 20), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def make_pictures():
    """`{split: {name: bytes}}`; the first of trainB is grey and the second oblong."""
    pictures = {
        split: {f"{i:04d} (2).jpg": make_picture([ord(c) for c in split] + [i]) for i in range(n)}
        for split, n in COUNTS.items()
    }
    pictures["trainB"]["0000 (2).jpg"] = make_picture(1, mode="L")
    pictures["trainB"]["0001 (2).jpg"] = make_picture(2, size=(40, 20))
    return pictures


def make_archive(pictures):
    strangers = ["../trainA/escaped.jpg", "/trainA/escaped.jpg", f"{NAME}/trainA/../../escaped.jpg"]
    strangers += [f"__MACOSX/trainA/{NAME}.jpg", f"{NAME}/trainA/._0000.jpg", f"{NAME}/a.jpg"]
    strangers += [f"{NAME}/trainA/Thumbs.db", f"{NAME}/trainA/deep/er.jpg", "trainA/loose.jpg"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(f"{NAME}/", b"")
        for name in strangers:
            file.writestr(name, b"no picture of the data set")
        for split, members in pictures.items():
            file.writestr(f"{NAME}/{split}/", b"")
            for name, content in members.items():
                file.writestr(f"{NAME}/{split}/{name}", content)
    return buffer.getvalue()


PICTURES = make_pictures()
ARCHIVE = make_archive(PICTURES)


@pytest.fixture
def server(tmp_path_factory, monkeypatch):
    """Serves the archive in place of the official one."""
    folder = tmp_path_factory.mktemp("served")
    (folder / f"{NAME}.zip").write_bytes(ARCHIVE)
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.requests = requests
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    archive = len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest()
    monkeypatch.setattr(cycle_gan, "URL", f"http://127.0.0.1:{server.server_port}/{{}}.zip")
    monkeypatch.setitem(cycle_gan.ARCHIVES, NAME, archive)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data folder that nobody changes."""
    root = tmp_path_factory.mktemp("data")
    (root / "downloads").mkdir()
    (root / "downloads" / f"{NAME}.zip").write_bytes(ARCHIVE)
    with pytest.MonkeyPatch.context() as patch:
        archive = len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest()
        patch.setitem(cycle_gan.ARCHIVES, NAME, archive)
        cycle_gan.prepare(str(root), dataset=NAME)
    return root


def load(root, **overrides):
    arguments = {
        "dataset": NAME,
        "image_size": 20,
        "load_size": 20,
        "channels": 3,
        "resize": "bicubic",
        "flip": True,
        "test_images": 2,
    }
    return cycle_gan.load(data_dir=str(root), **arguments | overrides)


def stock_order(split):
    """Names of a split's pictures in the order of TensorFlow Datasets, that of their hashes."""
    from tensorflow_datasets.core import hashing

    return sorted(PICTURES[split], key=hashing.Hasher(split).hash_key)


def opened(split, number=None, size=20):
    """The pixels of a split's pictures, cropped to their centres and resized, in stock order."""
    pixels = []
    for name in stock_order(split)[:number]:
        image = Image.open(io.BytesIO(PICTURES[split][name])).convert("RGB")
        left = (image.width - 20) // 2
        image = image.crop((left, 0, left + 20, 20))
        resized = image if size == 20 else image.resize((size, size), Image.Resampling.BICUBIC)
        pixels.append(np.asarray(resized))
    return np.stack(pixels)


# Preparing.


def test_stock_reader_gives_the_pictures_as_they_are(tmp_path, server):
    import tensorflow_datasets as tfds

    folder = cycle_gan.prepare(str(tmp_path / "data"), dataset=NAME)
    assert folder == tmp_path / "data" / "cycle_gan" / NAME / "3.0.0"
    assert server.requests == [f"/{NAME}.zip"]
    sources = tfds.data_source(
        f"cycle_gan/{NAME}",
        data_dir=tmp_path / "data",
        download=False,
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    assert {name: len(source) for name, source in sources.items()} == COUNTS
    for split, source in sources.items():
        expected = [PICTURES[split][name] for name in stock_order(split)]
        assert [example["image"] for example in source] == expected
        assert {example["label"] for example in source} == {"AB".index(split[-1])}
    decoded = tfds.data_source(f"cycle_gan/{NAME}", data_dir=tmp_path / "data", split="testA")
    np.testing.assert_array_equal([example["image"] for example in decoded], opened("testA"))
    assert "tensorflow" not in sys.modules


def test_prepared_form_is_that_of_the_stock_builder(prepared):
    import tensorflow_datasets as tfds

    stock = tfds.builder_cls("cycle_gan")
    config = next(config for config in stock.BUILDER_CONFIGS if config.name == NAME)
    builder = tfds.builder(f"cycle_gan/{NAME}", data_dir=prepared)
    assert (builder.name, builder.builder_config.name) == ("cycle_gan", config.name)
    assert str(builder.version) == str(config.version) == "3.0.0"
    info = tfds.builder_from_directory(prepared / "cycle_gan" / NAME / "3.0.0").info
    assert info.features["label"].names == ["A", "B"]
    assert info.features.keys() == {"image", "label"}
    assert info.features["image"].shape == (None, None, 3)


def test_archives_are_those_tfds_knows():
    import tensorflow_datasets as tfds

    checksums = pathlib.Path(tfds.__file__).parent / "url_checksums" / "cycle_gan.txt"
    known = dict(line.split("\t", 1) for line in checksums.read_text().splitlines())
    names = {config.name for config in tfds.builder_cls("cycle_gan").BUILDER_CONFIGS}
    assert set(cycle_gan.ARCHIVES) == names
    for name, (size, sha256) in cycle_gan.ARCHIVES.items():
        assert known[cycle_gan.URL.format(name)].split("\t")[:2] == [str(size), sha256]


def test_archive_is_never_unpacked(tmp_path, server):
    root = tmp_path / "deep" / "er" / "data"
    cycle_gan.prepare(str(root), dataset=NAME)
    assert not list(tmp_path.rglob("*.jpg"))
    assert not list(tmp_path.rglob("*.db"))
    assert {path.name for path in root.iterdir()} == {"cycle_gan", "downloads"}


def test_second_run_touches_neither_network_nor_files(tmp_path, server):
    folder = cycle_gan.prepare(str(tmp_path), dataset=NAME)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert cycle_gan.prepare(str(tmp_path), dataset=NAME) == folder
    assert len(server.requests) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_archive_fetched_by_hand_needs_no_network(tmp_path, server):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / f"{NAME}.zip").write_bytes(ARCHIVE)
    cycle_gan.prepare(str(tmp_path), dataset=NAME)
    assert server.requests == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("No space left on device")])
def test_interrupted_preparation_leaves_nothing_and_is_repeated(
    tmp_path, server, monkeypatch, error
):
    read, done = zipfile.ZipFile.read, []

    def fail(file, member):
        done.append(member)
        if len(done) == 8:
            raise error
        return read(file, member)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "read", fail)
        with pytest.raises((KeyboardInterrupt, UserError)):
            cycle_gan.prepare(str(tmp_path), dataset=NAME)
    assert len(done) == 8
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".lock", f"{NAME}.zip"}
    cycle_gan.prepare(str(tmp_path), dataset=NAME)
    assert len(server.requests) == 1
    assert len(load(tmp_path).b) == 7


def test_message_without_network_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(cycle_gan, "URL", "http://127.0.0.1:9/{}.zip")
    with pytest.raises(UserError) as caught:
        load(tmp_path, dataset="horse2zebra")
    command = f"experiments.prepare --name=cycle_gan --dataset=horse2zebra --data_dir={tmp_path}`"
    assert command in str(caught.value)
    assert f"put it at {tmp_path / 'downloads' / 'horse2zebra.zip'}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cityscapes", "monet", ""])
def test_unknown_data_sets_name_the_known(tmp_path, name):
    with pytest.raises(UserError, match="dataset is '.*choose one of apple2orange, .*iphone2dslr"):
        load(tmp_path, dataset=name)
    assert not list(tmp_path.iterdir())


# Loading.


@pytest.mark.parametrize("limit", [0, image_files.MEMORY_LIMIT])
def test_load_matches_the_archive(prepared, monkeypatch, limit):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", limit)
    data = load(prepared)
    assert data.names == ("Monet", "photo")
    for domain, split in [(data.a, "trainA"), (data.b, "trainB")]:
        assert isinstance(domain.images, cycle_gan.ExampleImages) == (limit == 0)
        assert (len(domain), domain.image_shape) == (COUNTS[split], (20, 20, 3))
        np.testing.assert_array_equal(np.stack(list(domain.images)), opened(split))
    np.testing.assert_array_equal(data.test["a"], opened("testA", 2))
    np.testing.assert_array_equal(data.test["b"], opened("testB"))


def test_images_are_stored_at_load_size_and_tested_at_image_size(prepared):
    data = load(prepared, load_size=24, image_size=16, test_images=99)
    assert data.a.image_shape == (16, 16, 3)
    np.testing.assert_array_equal(data.a.images, opened("trainA", size=24))
    np.testing.assert_array_equal(data.test["a"], opened("testA", size=16))
    np.testing.assert_array_equal(data.test["b"], opened("testB", size=16))


def test_grey_and_the_filter_asked_for(prepared):
    data = load(prepared, channels=1, load_size=40, resize="nearest")
    first = Image.open(io.BytesIO(PICTURES["trainA"][stock_order("trainA")[0]])).convert("L")
    np.testing.assert_array_equal(
        data.a.images[0, ..., 0], np.repeat(np.repeat(np.asarray(first), 2, 0), 2, 1)
    )


def test_large_sets_are_decoded_on_access(prepared, monkeypatch):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", 0)
    lazy, expected = load(prepared).b.images, opened("trainB")
    np.testing.assert_array_equal(lazy[np.int64(-1)], expected[-1])
    with pytest.raises(IndexError):
        lazy[7]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, image in enumerate(pool.map(lazy.__getitem__, [i % 7 for i in range(140)])):
            np.testing.assert_array_equal(image, expected[i % 7])


def test_other_data_in_the_folder_is_refused_and_kept(tmp_path):
    theirs = tmp_path / "cycle_gan" / NAME / "3.0.0" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    with pytest.raises(UserError, match=f"does not hold cycle_gan/{NAME} as readable"):
        load(tmp_path)
    assert theirs.read_text() == "precious"


@pytest.mark.parametrize("limit", [0, image_files.MEMORY_LIMIT])
def test_damaged_files_are_a_user_error(tmp_path, server, monkeypatch, limit):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", limit)
    folder = cycle_gan.prepare(str(tmp_path), dataset=NAME)
    shard = next(folder.glob("*trainA.array_record*"))
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=f"does not hold cycle_gan/{NAME} as readable"):
        load(tmp_path)


def test_picture_that_cannot_be_decoded_is_a_user_error(prepared, monkeypatch):
    def fail(*args, **kwargs):
        raise opening.UnreadableImage("damaged")

    monkeypatch.setattr(cycle_gan.images, "decode", fail)
    with pytest.raises(UserError, match=f"does not hold cycle_gan/{NAME} as readable"):
        load(prepared)


@pytest.mark.parametrize(
    ("field", "value"),
    [("image_size", 21), ("channels", 2), ("resize", "area"), ("test_images", 0)],
)
def test_bad_arguments_are_found_out_before_the_download(tmp_path, field, value):
    with pytest.raises(UserError):
        load(tmp_path, **{field: value})
    assert not list(tmp_path.iterdir())


def test_domain_names():
    assert {name: cycle_gan.domain_names(name) for name in cycle_gan.ARCHIVES} == {
        "apple2orange": ("apple", "orange"),
        "summer2winter_yosemite": ("summer", "winter"),
        "horse2zebra": ("horse", "zebra"),
        "monet2photo": ("Monet", "photo"),
        "cezanne2photo": ("Cezanne", "photo"),
        "ukiyoe2photo": ("ukiyo-e", "photo"),
        "vangogh2photo": ("van Gogh", "photo"),
        "maps": ("A", "B"),
        "facades": ("A", "B"),
        "iphone2dslr_flower": ("iPhone", "DSLR"),
    }

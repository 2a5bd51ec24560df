import concurrent.futures
import os
import pickle

import numpy as np
import pytest
from absl import logging
from PIL import Image

from gans.data import folder
from gans.data.io import image_files
from gans.errors import UserError

SIZE = 8


def picture(level):
    """A pattern of its own for every level."""
    return np.random.default_rng(level).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def write(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(level)).save(path)


def load(root, split="train", channels=3, unreadable="fail", image_size=SIZE, **fields):
    return folder.load(
        data_dir=str(root),
        split=split,
        image_size=image_size,
        channels=channels,
        unreadable=unreadable,
        **fields,
    )


def assert_holds(source, levels):
    assert len(source) == len(levels)
    for image, level in zip(source.images, levels, strict=True):
        np.testing.assert_array_equal(image, picture(level))


# Layouts.


def test_loose_images(tmp_path):
    for level, name in enumerate(["a.png", "b.PNG", "c.bmp", "d.Tiff", "e.tif"]):
        write(tmp_path / name, level)
    (tmp_path / "notes.txt").write_text("no image")
    source = load(tmp_path)
    assert source.images.dtype == np.uint8
    assert source.images.shape == (5, *source.image_shape) == (5, SIZE, SIZE, 3)
    assert (source.labels, source.classes) == (None, ())
    assert_holds(source, range(5))


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: said.append(text % args))
    return said


def test_every_extension_is_read(tmp_path, warnings):
    names = ["a.png", "b.jpg", "c.jpeg", "d.webp", "e.bmp", "f.gif", "g.tif", "h.TIFF", "i.jfif"]
    names += ["j.AVIF", "k.jp2", "l.ppm", "m.tga"]
    for name in names:
        write(tmp_path / name, 0)
    assert len(load(tmp_path)) == len(names)
    assert not warnings


def test_what_is_left_out_is_counted_and_named(tmp_path, warnings):
    write(tmp_path / "cat" / "a.png", 0)
    write(tmp_path / "dog" / "deep" / "a.png", 1)
    for name in ("cat/1.HEIC", "dog/deep/2.heic", "dog/b.txt", "README", ".hidden.txt"):
        (tmp_path / name).touch()
    assert_holds(load(tmp_path), [0, 1])
    assert warnings == [
        f"{tmp_path}: 4 files are no pictures that this reads (.heic: 2, .txt: 1, without an "
        "ending: 1); convert those in HEIC to JPEG to have them read."
    ]


def test_a_folder_of_other_files_alone_says_which(tmp_path):
    (tmp_path / "1.HEIC").touch()
    with pytest.raises(UserError, match=r"holds no images: .*1 file is no picture .*\(.heic: 1\)"):
        load(tmp_path)
    write(tmp_path / "cat" / "a.png", 0)
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.HEIC").touch()
    with pytest.raises(UserError, match=r"dog holds no images: .*2 files are .*\(.heic: 2\)"):
        load(tmp_path)


def test_many_kinds_of_other_files_are_cut(tmp_path, warnings):
    write(tmp_path / "a.png", 0)
    for i in range(20):
        (tmp_path / f"a.{i:02d}").touch()
    load(tmp_path)
    assert warnings[0].startswith(f"{tmp_path}: 20 files are") and "others: 12)" in warnings[0]


def test_what_is_no_file_is_unreadable_by_name(tmp_path, warnings):
    write(tmp_path / "cat" / "a.png", 0)
    os.mkfifo(tmp_path / "cat" / "b.png")
    (tmp_path / "cat" / "c.png").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"cat/b.png \(it is a pipe.*cat/c.png \(No such file"):
        load(tmp_path)
    assert_holds(load(tmp_path, unreadable="skip"), [0])
    assert len(warnings) == 1


def test_names_need_not_be_utf_8(tmp_path):
    strange = os.fsdecode(b"caf\xe9")
    write(tmp_path / strange / f"{strange}.png", 0)
    (tmp_path / strange / "b\n.png").touch()
    source = load(tmp_path, "train[1:]")
    assert source.classes == (r"caf\xe9",)
    assert_holds(source, [0])
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert r"caf\xe9/b\n.png (not an image)" in str(caught.value)
    str(caught.value).encode()


def test_the_largest_picture_is_a_field(tmp_path):
    write(tmp_path / "a.png", 0)
    with pytest.raises(UserError, match="a.png .*8 x 8 pixels are more than max_megapixels=6e-05"):
        load(tmp_path, max_megapixels=60e-6)
    assert_holds(load(tmp_path, max_megapixels=64e-6), [0])
    with pytest.raises(UserError, match="max_megapixels is 0"):
        load(tmp_path, max_megapixels=0)


def test_classes_are_sorted_folders_with_nested_images(tmp_path):
    write(tmp_path / "dog" / "1.png", 0)
    write(tmp_path / "cat" / "z.png", 1)
    write(tmp_path / "cat" / "deep" / "er" / "a.png", 2)
    source = load(tmp_path)
    assert source.classes == ("cat", "dog")
    assert source.labels.dtype == np.int32
    assert source.labels.tolist() == [0, 0, 1]
    assert_holds(source, [2, 1, 0])


def test_splits_without_classes(tmp_path):
    write(tmp_path / "train" / "a.png", 0)
    write(tmp_path / "train" / "b.png", 1)
    write(tmp_path / "test" / "c.png", 2)
    (tmp_path / "annotations").mkdir()
    assert_holds(load(tmp_path), [0, 1])
    assert_holds(load(tmp_path, "test+train[1:]"), [2, 1])
    with pytest.raises(UserError, match=r"test \(1 examples\), train \(2 examples\)\.?"):
        load(tmp_path, "valid")


def test_splits_with_classes(tmp_path):
    for level, name in enumerate(["train/b/1", "train/a/1", "val/b/1", "val/a/1"]):
        write(tmp_path / f"{name}.png", level)
    source = load(tmp_path, "val+train")
    assert source.classes == ("a", "b")
    assert source.labels.tolist() == [0, 1, 0, 1]
    assert_holds(source, [3, 2, 1, 0])


def test_hidden_files_and_folders_are_ignored(tmp_path):
    write(tmp_path / "a.png", 0)
    write(tmp_path / ".hidden.png", 1)
    write(tmp_path / ".cache" / "b.png", 2)
    write(tmp_path / "__MACOSX" / "c.png", 3)
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert_holds(load(tmp_path), [0])
    write(tmp_path / "train" / "cat" / "d.png", 4)
    write(tmp_path / "train" / "cat" / "__MACOSX" / "e.png", 5)
    (tmp_path / "a.png").unlink()
    assert_holds(load(tmp_path), [4])


def test_links_are_followed_and_loops_end(tmp_path):
    write(tmp_path / "elsewhere" / "a.png", 0)
    root = tmp_path / "root"
    write(root / "cat" / "b.png", 1)
    (root / "cat" / "link").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "loop").symlink_to(root / "cat")
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    source = load(root)
    assert source.labels.tolist() == [0, 0, 1]
    assert_holds(source, [1, 0, 0])


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "pictures" / "a.png", 0)
    assert_holds(load("~/pictures"), [0])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["a.png", "cat/b.png"], r"mixes images \(a.png\) with folders of images \(cat\)"),
        (["train/a.png", "b.png"], r"mixes images \(b.png\) with folders of images \(train\)"),
        (["train/a/1.png", "test/b/1.png"], "same class folders, but .* has a, b"),
        (["train/a/1.png", "test/1.png"], "same class folders, but only one .*test has a"),
        (["test/a.png", "train/notes.txt"], "train holds no images"),
        (["cat/a.png", "dog/notes.txt"], "is a class, but dog holds no images"),
        (["notes.txt"], "holds no images: .*one sub-folder a class"),
        (["cat/notes.txt"], "holds no images"),
    ],
)
def test_unclear_layouts(tmp_path, files, message):
    for name in files:
        if name.endswith(".png"):
            write(tmp_path / name, 0)
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_missing_folders(tmp_path):
    with pytest.raises(UserError, match="data_dir is empty"):
        load("")
    with pytest.raises(UserError, match="There is no folder"):
        load(tmp_path / "none")
    with pytest.raises(UserError, match="holds no images"):
        load(tmp_path)
    write(tmp_path / "a.png", 0)
    with pytest.raises(UserError, match="is a file"):
        load(tmp_path / "a.png")


def test_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    write(tmp_path / "cat" / "a.png", 0)

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="Cannot list .*Permission denied"):
        load(tmp_path)


# Unreadable files.


@pytest.fixture
def damaged(tmp_path):
    """Five classed images of which the second, third and fourth cannot be read."""
    for level, name in enumerate(["a/0", "a/1", "b/2", "b/3", "b/4"]):
        write(tmp_path / f"{name}.png", level)
    whole = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b" / "2.png").write_bytes(b"")
    (tmp_path / "b" / "3.png").write_text("a text that calls itself an image")
    return tmp_path


@pytest.mark.parametrize("limit", [0, image_files.MEMORY_LIMIT])
def test_unreadable_files_fail_by_name(damaged, monkeypatch, limit):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", limit)
    with pytest.raises(UserError) as caught:
        load(damaged)
    message = str(caught.value)
    assert message.startswith(f"3 of 5 images in {damaged} cannot be read: a/1.png (")
    assert "truncated" in message.lower()
    assert "b/2.png (not an image), b/3.png (not an image)" in message
    assert "unreadable=skip" in message
    assert "\n" not in message


@pytest.mark.parametrize("limit", [0, image_files.MEMORY_LIMIT])
def test_unreadable_files_are_skipped_with_one_warning(damaged, monkeypatch, limit, warnings):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", limit)
    source = load(damaged, unreadable="skip")
    assert_holds(source, [0, 4])
    assert source.labels.tolist() == [0, 1]
    assert source.classes == ("a", "b")
    assert len(warnings) == 1
    assert all(name in warnings[0] for name in ("3 of 5", "a/1.png", "b/2.png", "b/3.png"))


def test_ranges_count_unreadable_files(damaged):
    assert_holds(load(damaged, "train[:40%]", unreadable="skip"), [0])
    assert_holds(load(damaged, "train[40%:]", unreadable="skip"), [4])
    assert_holds(load(damaged, "train[4:]"), [4])  # Files outside the range are not read.


def test_nothing_readable_fails_even_when_skipping(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="none is left"):
        load(tmp_path, unreadable="skip")


def test_long_lists_are_cut(tmp_path):
    for i in range(25):
        (tmp_path / f"{i:02d}.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert "25 of 25" in str(caught.value)
    assert "19.png (not an image) and 5 more;" in str(caught.value)
    assert "20.png" not in str(caught.value)


# Access.


def test_large_sets_are_decoded_on_access(tmp_path, monkeypatch):
    levels = range(6)
    for level in levels:
        write(tmp_path / "class" / f"{level}.png", level)
    held = load(tmp_path)
    assert isinstance(held.images, np.ndarray)
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", held.images.nbytes)
    assert isinstance(load(tmp_path).images, np.ndarray)
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", held.images.nbytes - 1)
    lazy = load(tmp_path)
    assert isinstance(lazy.images, image_files.FileImages)
    assert (len(lazy), lazy.image_shape) == (6, held.image_shape)
    np.testing.assert_array_equal(lazy.labels, held.labels)
    assert_holds(lazy, levels)
    np.testing.assert_array_equal(lazy.images[np.int64(-1)], picture(5))
    with pytest.raises(IndexError):
        lazy.images[6]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy.images))[2], picture(2))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lazy.images.__getitem__, [i % 6 for i in range(120)]))
    for i, image in enumerate(images):
        np.testing.assert_array_equal(image, picture(i % 6))


def test_file_that_vanishes_is_named(tmp_path, monkeypatch):
    write(tmp_path / "a.png", 0)
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", 0)
    source = load(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match="a.png can no longer be read"):
        source.images[0]


def test_grey_and_other_sizes(tmp_path):
    write(tmp_path / "a.png", 0)
    source = load(tmp_path, channels=1, image_size=4)
    assert source.images.shape == (1, 4, 4, 1)
    grey = Image.fromarray(picture(0)).convert("L").resize((4, 4), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(source.images[0, ..., 0], np.asarray(grey))


@pytest.mark.parametrize(
    "arguments", [{"unreadable": "ignore"}, {"channels": 4}, {"image_size": 0}]
)
def test_bad_arguments(tmp_path, arguments):
    write(tmp_path / "a.png", 0)
    with pytest.raises(UserError):
        load(tmp_path, **arguments)

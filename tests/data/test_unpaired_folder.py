import os

import numpy as np
import pytest
from absl import logging
from PIL import Image

from gans.data import unpaired_folder
from gans.data.io import image_files
from gans.errors import UserError

SIZE = 8


def picture(level):
    """A pattern of its own for every level."""
    return np.random.default_rng(level).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def write(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(level)).save(path)


def load(root, **overrides):
    arguments = {
        "image_size": 6,
        "load_size": SIZE,
        "channels": 3,
        "resize": "bicubic",
        "flip": True,
        "test_images": 2,
        "unreadable": "fail",
    }
    return unpaired_folder.load(data_dir=str(root), **arguments | overrides)


def assert_holds(images, levels):
    assert len(images) == len(levels)
    for image, level in zip(images, levels, strict=True):
        np.testing.assert_array_equal(image, picture(level))


def resized(level, size):
    image = Image.fromarray(picture(level)).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


@pytest.fixture
def root(tmp_path):
    """Three images of A and two of B, three test images of A and one of B."""
    names = ["trainA/a", "trainA/b", "trainA/deep/c", "trainB/a", "trainB/b"]
    names += ["testA/a", "testA/b", "testA/c", "testB/a"]
    for level, name in enumerate(names):
        write(tmp_path / f"{name}.png", level)
    return tmp_path


@pytest.mark.parametrize("limit", [0, image_files.MEMORY_LIMIT])
def test_layout(root, monkeypatch, limit):
    monkeypatch.setattr(image_files, "MEMORY_LIMIT", limit)
    (root / "trainA" / "notes.txt").write_text("no image")
    (root / "trainA" / "._a.png").write_bytes(b"resource fork")
    (root / "paired").mkdir()
    data = load(root)
    assert data.names == ("A", "B")
    assert isinstance(data.a.images, image_files.FileImages) == (limit == 0)
    assert_holds(data.a.images, [0, 1, 2])
    assert_holds(data.b.images, [3, 4])
    assert data.a.image_shape == data.b.image_shape == (6, 6, 3)
    np.testing.assert_array_equal(data.test["a"], [resized(5, 6), resized(6, 6)])
    np.testing.assert_array_equal(data.test["b"], [resized(8, 6)])
    assert (data.info(labels=False).domain_sizes, len(data.a), len(data.b)) == ((3, 2), 3, 2)


def test_images_are_stored_at_load_size_with_the_filter_asked_for(root):
    data = load(root, load_size=12, channels=1, resize="nearest")
    assert data.a.images.shape == (3, 12, 12, 1)
    grey = Image.fromarray(picture(0)).convert("L").resize((12, 12), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(data.a.images[0, ..., 0], np.asarray(grey))


def test_oblong_images_are_cropped_at_their_centres_and_not_squashed(tmp_path):
    write(tmp_path / "trainA" / "a.png", 0)
    wide = np.concatenate([picture(2)[:, :4], picture(1), picture(2)[:, 4:]], axis=1)
    (tmp_path / "trainB").mkdir()
    Image.fromarray(wide).save(tmp_path / "trainB" / "b.png")
    assert_holds(load(tmp_path).b.images, [1])


def test_without_test_folders_the_centres_of_the_first_training_images_are_shown(root):
    for path in [*root.glob("test*/*"), root / "testA", root / "testB"]:
        path.unlink() if path.is_file() else path.rmdir()
    data = load(root, image_size=4, test_images=3)
    np.testing.assert_array_equal(data.test["a"], [picture(i)[2:6, 2:6] for i in (0, 1, 2)])
    np.testing.assert_array_equal(data.test["b"], [picture(i)[2:6, 2:6] for i in (3, 4)])


def test_case_of_the_folders_does_not_matter(tmp_path):
    write(tmp_path / "TrainA" / "a.png", 0)
    write(tmp_path / "trainb" / "b.png", 1)
    write(tmp_path / "TESTA" / "c.png", 2)
    data = load(tmp_path)
    assert_holds(data.a.images, [0])
    assert_holds(data.b.images, [1])
    np.testing.assert_array_equal(data.test["a"], [resized(2, 6)])


def test_every_kind_of_picture(tmp_path):
    """Grey, transparent, CMYK, 16-bit, turned and of a palette: all become RGB of the same size."""
    rgb = Image.fromarray(picture(0))
    a, b = tmp_path / "trainA", tmp_path / "trainB"
    a.mkdir()
    b.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 3  # Upside down.
    rgb.convert("L").save(a / "0.png")
    clear = rgb.copy()
    clear.putalpha(0)
    clear.save(a / "1.png")
    Image.new("CMYK", (SIZE, SIZE), (0, 255, 255, 0)).save(a / "2.jpg")
    Image.fromarray(np.full((SIZE, SIZE), 1000, np.uint16)).save(a / "3.png")
    rgb.rotate(180).save(a / "4.png", exif=exif)
    Image.new("P", (SIZE, SIZE)).save(a / "5.gif")
    rgb.save(b / "0.png")
    images = load(tmp_path).a.images
    assert images.shape == (6, SIZE, SIZE, 3)
    np.testing.assert_array_equal(images[0], np.dstack([np.asarray(rgb.convert("L"))] * 3))
    assert (images[1] == 255).all()
    np.testing.assert_allclose(images[2], np.broadcast_to([255, 0, 0], images[2].shape), atol=2)
    assert (images[3] == 4).all()  # 1000 / 257 = 3.9
    np.testing.assert_array_equal(images[4], picture(0))
    assert (images[5] == images[5][0, 0]).all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"lacks the folder trainA and the folder trainB \(it has no images\): put .* testA"),
        (["a.png", "b.png"], r"trainA and the folder trainB \(it has 2 images\): put .* trainA"),
        (["train/a.png", "b/b.png", "c.png"], r"\(it has folders b, train and 1 images\): put"),
        (["trainA/a.png"], r"lacks the folder trainB \(it has folders trainA\): put"),
        (["trainA/a.png", "trainB/notes.txt"], "trainB holds no images: put some there, as PNG"),
        (
            ["trainA/a.png", "trainB/b.png", "testA/notes.txt"],
            "testA holds no images: put some there or remove it",
        ),
    ],
)
def test_other_layouts_are_one_clear_sentence(tmp_path, names, message):
    for name in names:
        if name.endswith(".png"):
            write(tmp_path / name, 0)
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_folders_that_only_differ_in_case_are_refused(root, monkeypatch):
    # Some file systems cannot hold both.
    monkeypatch.setattr(
        image_files, "child_folders", lambda path: [path / "TrainA", path / "trainA"]
    )
    with pytest.raises(UserError, match="has TrainA and trainA, which only differ in case"):
        load(root)


def test_missing_folders(tmp_path):
    with pytest.raises(UserError, match="There is no folder"):
        load(tmp_path / "none")
    with pytest.raises(UserError, match="data_dir is empty"):
        load("")


def test_folder_that_cannot_be_listed(root, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="Cannot list .*Permission denied"):
        load(root)


def test_unreadable_files_fail_by_name_or_are_skipped(root, monkeypatch):
    warnings = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: warnings.append(text % args))
    (root / "trainA" / "b.png").write_bytes(b"")
    (root / "testA" / "a.png").write_text("a text")
    with pytest.raises(UserError, match=r"1 of 3 images in .*trainA cannot be read: b.png \(not"):
        load(root)
    data = load(root, unreadable="skip")
    assert_holds(data.a.images, [0, 2])
    np.testing.assert_array_equal(data.test["a"], [resized(6, 6)])
    assert len(warnings) == 2
    (root / "trainB" / "a.png").write_bytes(b"")
    (root / "trainB" / "b.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 of 2 images in .*trainB .* none is left"):
        load(root, unreadable="skip")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 9),
        ("channels", 4),
        ("resize", "area"),
        ("test_images", 0),
        ("unreadable", "ignore"),
    ],
)
def test_bad_arguments(root, field, value):
    with pytest.raises(UserError):
        load(root, **{field: value})

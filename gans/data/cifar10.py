"""CIFAR-10, read from TensorFlow Datasets' files and prepared without TensorFlow."""

from __future__ import annotations

import io
import pathlib
import tarfile
from collections.abc import Iterator, Sequence

import numpy as np
import tqdm
from PIL import Image

from gans.data import flips
from gans.data.io import images, prepared, splits, threads
from gans.data.source import Source

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SIZE = 170_052_171  # Bytes of the archive; size and checksum as TensorFlow Datasets has them.
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"

_ARCHIVE_FILES = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}


def load(
    *, data_dir: str, split: str, image_size: int, channels: int, flip: bool = False
) -> Source:
    """Loads CIFAR-10 into memory, downloading and preparing it where it is absent.

    50,000 training and 10,000 test images of 32x32 pixels in ten classes
    (Krizhevsky 2009, "Learning multiple layers of features from tiny images",
    https://www.cs.toronto.edu/~kriz/cifar.html), in the order of TensorFlow
    Datasets' `cifar10:3.0.2`.

    Args:
      data_dir: as for `prepared.ensure`.
      split: a split expression over `train` and `test`.
      image_size: side of the images in pixels; other than 32, they are resized
        with a Lanczos filter.
      channels: 3, or 1 for grey.
      flip: whether training sees half of the images mirrored, drawn anew each time.

    Returns:
      The source: uint8 `[N, image_size, image_size, channels]` in [0, 255].

    Raises:
      UserError: if the data can be neither read nor prepared, the split cannot
        be resolved, or an argument is out of range.
    """
    images.check_shape(image_size, channels)
    pixels, labels = _read(prepare(data_dir), split)
    pixels = images.resize_all(
        pixels,
        image_size=image_size,
        channels=channels,
        resample=Image.Resampling.LANCZOS,
    )
    return Source(pixels, labels, CLASSES, pixels.shape[1:], flips.augment(flip))


def prepare(
    data_dir: str = "", *, url: str = URL, size: int = SIZE, sha256: str = SHA256
) -> pathlib.Path:
    """As `prepared.ensure`, of the archive in its binary version, losslessly as PNG images.

    Args:
      data_dir: as for `prepared.ensure`.
      url, size, sha256: as in `prepared.Recipe`.
    """
    recipe = prepared.Recipe(
        name="cifar10",
        version="3.0.2",
        title="CIFAR-10",
        classes=CLASSES,
        splits=tuple(_ARCHIVE_FILES),
        examples=_examples,
        url=url,
        size=size,
        sha256=sha256,
        prepared_size=160_000_000,
    )
    return prepared.ensure(recipe, data_dir)


# Reading the archive.


def _examples(archive: pathlib.Path, split: str) -> Iterator[tuple[int, prepared.Example]]:
    pixels, labels = _read_archive(archive, split)
    # Keys and ids as in the stock builder, whence the same order of examples.
    for i in tqdm.trange(len(labels), desc=f"Preparing {split}", disable=None):
        yield (
            i,
            {
                "id": f"{split}_{i:05d}",
                "image": _encode_png(pixels[i]),
                "label": int(labels[i]),
            },
        )


def _read_archive(archive: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads a split's uint8 images `[N, 32, 32, 3]` and labels `[N]` from the archive.

    A record is a byte for the label, then the red, green and blue planes. The
    files are read in memory by name: nothing of the archive goes to the disk.
    """
    with tarfile.open(archive) as tar:
        data = b"".join(tar.extractfile(name).read() for name in _ARCHIVE_FILES[split])
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0]


def _encode_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# Reading the prepared files.


def _read(folder: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Decodes a split: uint8 images `[N, 32, 32, 3]` and int32 labels `[N]`."""
    with prepared.reading("CIFAR-10", folder):
        parts = splits.resolve(split, prepared.sizes(folder))
        absolute = "+".join(f"{name}[{part.start}:{part.stop}]" for name, part in parts)
        return _decode(prepared.examples(folder, absolute))


def _decode(source: Sequence[prepared.Example]) -> tuple[np.ndarray, np.ndarray]:
    """Decodes examples in threads, faster than one by one through TFDS's own decoder."""
    pixels = np.empty((len(source), 32, 32, 3), np.uint8)
    labels = np.empty(len(source), np.int32)

    def read(start: int, stop: int) -> None:
        for i, example in enumerate(source.__getitems__(list(range(start, stop))), start):
            pixels[i] = np.asarray(
                Image.open(io.BytesIO(example["image"]), formats=("PNG", "JPEG"))
            )
            labels[i] = example["label"]

    threads.for_each_chunk(read, len(source), chunk=500, description="Decoding CIFAR-10")
    return pixels, labels

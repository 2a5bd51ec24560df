"""CIFAR-10, read from TensorFlow Datasets' files and prepared without TensorFlow."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pathlib
import shlex
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import logging
from PIL import Image

from gans.data import download, images, splits, threads
from gans.data.source import Source
from gans.errors import UserError

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

_VERSION = "3.0.2"  # TensorFlow Datasets' number for this form of the data.
_ARCHIVE_FILES = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
_PREPARED_SIZE = 160_000_000  # Bytes at most, and as many again while they are shuffled.


def load(*, data_dir: str, split: str, image_size: int, channels: int) -> Source:
    """Loads CIFAR-10 into memory, downloading and preparing it where it is absent.

    50,000 training and 10,000 test images of 32x32 pixels in ten classes
    (Krizhevsky 2009, "Learning multiple layers of features from tiny images",
    https://www.cs.toronto.edu/~kriz/cifar.html), in the order of TensorFlow
    Datasets' `cifar10:3.0.2`.

    Args:
      data_dir: the data folder of TensorFlow Datasets; "" stands for the
        environment variable TFDS_DATA_DIR or else ~/tensorflow_datasets.
      split: a split expression over `train` and `test`.
      image_size: side of the images in pixels; other than 32, they are resized
        with a Lanczos filter.
      channels: 3, or 1 for grey.

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
    return Source(pixels, labels, CLASSES, pixels.shape[1:])


def prepare(
    data_dir: str = "", *, url: str = URL, size: int = SIZE, sha256: str = SHA256
) -> pathlib.Path:
    """Makes sure that CIFAR-10 lies in a data folder, ready for `tfds.data_source`.

    Downloads the official archive in its binary version, or takes it from
    `downloads/` in the data folder, and rewrites it losslessly as PNG images in
    array_record files under TensorFlow Datasets' own name and features. The
    result appears at once and complete; a run that was interrupted, at any
    point, is simply repeated. A second process waits for the first.

    Args:
      data_dir: as for `load`.
      url: address of the archive.
      size: its length in bytes.
      sha256: its checksum in hexadecimal.

    Returns:
      The folder of the prepared files, `<data_dir>/cifar10/3.0.2`.

    Raises:
      UserError: if the archive cannot be had or the folder not be written.
    """
    root = _data_dir(data_dir)
    prepared = root / "cifar10" / _VERSION
    try:
        if _is_filled(prepared):
            return prepared
        for folder in (root / "cifar10", root / "downloads"):
            folder.mkdir(parents=True, exist_ok=True)
        with _lock(root / "cifar10" / ".lock"):
            if not _is_filled(prepared):  # Another process may have been faster.
                archive = root / "downloads" / url.rsplit("/", 1)[-1]
                _require_space(root, 2 * _PREPARED_SIZE + (0 if archive.exists() else size))
                download.fetch(url, archive, size=size, sha256=sha256, advice=_advice(archive))
                _write(archive, prepared)
    except OSError as error:
        raise UserError(
            f"Cannot prepare CIFAR-10 in {root} ({error.strerror or error}): make room and "
            "allow writing there, or choose another data_dir."
        ) from error
    return prepared


def _data_dir(data_dir: str) -> pathlib.Path:
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(os.path.abspath(os.path.expanduser(folder)))


def _is_filled(folder: pathlib.Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    """Holds a lock that the system drops when its process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("Waiting for another process that prepares CIFAR-10 in %s.", path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _require_space(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"Preparing CIFAR-10 takes {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB "
            "free: make room or choose another data_dir."
        )


def _advice(archive: pathlib.Path) -> str:
    data_dir = shlex.quote(str(archive.parent.parent))
    return (
        "with a network connection run `python -m experiments.prepare --name=cifar10 "
        f"--data_dir={data_dir}`, or fetch that file by hand, put it at {archive} and run the "
        "same command"
    )


# Writing the array_record files.


def _write(archive: pathlib.Path, prepared: pathlib.Path) -> None:
    """Builds the data set in a folder beside its final one, then renames it."""
    import tensorflow_datasets as tfds

    class Cifar10(tfds.builder_cls("cifar10"), skip_registration=True):
        """The stock builder, fed with encoded images: encoding them itself takes TensorFlow."""

        url_infos = None  # It downloads nothing; looking the checksums up may fail on import.

        def _split_generators(self, dl_manager):
            del dl_manager
            self.info.features["label"].names = CLASSES
            return {split: self._generate_examples(split) for split in _ARCHIVE_FILES}

        def _generate_examples(self, split):
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

    staging = prepared.with_name("incomplete.prepare")  # Ours alone, and locked by the caller.
    shutil.rmtree(staging, ignore_errors=True)  # What a killed run left.
    try:
        builder = Cifar10(data_dir=staging, file_format="array_record")
        with _silent_tfds():
            builder.download_and_prepare()
        os.replace(builder.data_dir, prepared)
    except RuntimeError as error:  # How array_record says that the disk is full.
        raise OSError(str(error)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _silent_tfds() -> Iterator[None]:
    """Keeps TFDS from showing its own bars and announcing the staging folder."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()


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


# Reading them.


def _read(prepared: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Decodes a split: uint8 images `[N, 32, 32, 3]` and int32 labels `[N]`."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(prepared)
        sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
        parts = splits.resolve(split, sizes)
        source = builder.as_data_source(
            "+".join(f"{name}[{part.start}:{part.stop}]" for name, part in parts),
            decoders={"image": tfds.decode.SkipDecoding()},
            file_format="array_record",
        )
        return _decode(source)
    except UserError:
        raise
    except Exception as error:  # TFDS and Pillow raise errors of many types for damaged files.
        raise UserError(
            f"{prepared} does not hold CIFAR-10 as readable array_record files: move it away to "
            "have it prepared again, or choose another data_dir."
        ) from error


def _decode(source: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Decodes examples in threads, faster than one by one through TFDS's own decoder."""
    pixels = np.empty((len(source), 32, 32, 3), np.uint8)
    labels = np.empty(len(source), np.int32)

    def read(start: int, stop: int) -> None:
        for i, example in enumerate(source.__getitems__(list(range(start, stop))), start):
            pixels[i] = np.asarray(Image.open(io.BytesIO(example["image"])))
            labels[i] = example["label"]

    threads.for_each_chunk(read, len(source), chunk=500, description="Decoding CIFAR-10")
    return pixels, labels

"""Data sets in the files of TensorFlow Datasets, prepared without TensorFlow.

The official archive is downloaded, or taken from `downloads/` in the data folder, and
rewritten as array_record files under the name and with the features that TensorFlow
Datasets has for the data set. Its images are stored encoded, since encoding them is what
the stock builders need TensorFlow for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pathlib
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gans.errors import UserError
from gans.files import download, paths

Example = Mapping[str, Any]
"""The features of one example, its image as the bytes of a picture file."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a data set is called and what it is made from.

    Attributes:
      name: TensorFlow Datasets' name, the configuration following a slash if there is one.
      version: TensorFlow Datasets' number for this form of the data.
      title: what messages call the data set.
      classes: the names of the labels, in their order.
      splits: their names.
      examples: `examples(archive, split)` yields the keys and examples of a split, with the
        keys of the stock builder, whence the same order.
      url: address of the archive.
      size: its length in bytes.
      sha256: its checksum in hexadecimal.
      prepared_size: bytes of the prepared files at most.
    """

    name: str
    version: str
    title: str
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    examples: Callable[[pathlib.Path, str], Iterator[tuple[int | str, Example]]]
    url: str
    size: int
    sha256: str
    prepared_size: int


def ensure(recipe: Recipe, data_dir: str) -> pathlib.Path:
    """Makes sure that a data set lies in a data folder, ready for `tfds.data_source`.

    The official archive is downloaded, or taken from `downloads/` in the data folder. The result
    appears at once and complete; a run that was interrupted, at any point, is simply repeated. A
    second process waits for the first.

    Args:
      recipe: the data set.
      data_dir: the data folder of TensorFlow Datasets; "" stands for the
        environment variable TFDS_DATA_DIR or else ~/tensorflow_datasets.

    Returns:
      The folder of the prepared files, `<data_dir>/<name>/<version>`.

    Raises:
      UserError: if the archive cannot be had or the folder not be written.
    """
    root = _data_dir(data_dir)
    prepared = root / recipe.name / recipe.version
    try:
        if _is_filled(prepared):
            shutil.rmtree(_staging(prepared), ignore_errors=True)  # What a killed run left.
            return prepared
        for folder in (prepared.parent, root / "downloads"):
            folder.mkdir(parents=True, exist_ok=True)
        with download.locked(prepared.parent / ".lock", recipe.title):
            if not _is_filled(prepared):  # Another process may have been faster.
                _write(recipe, _fetch(recipe, root), prepared)
    except OSError as error:
        raise UserError(
            f"Cannot prepare {recipe.title} in {root} ({error.strerror or error}): make room and "
            "allow writing there, or choose another data_dir."
        ) from error
    return prepared


def _data_dir(data_dir: str) -> pathlib.Path:
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(os.path.abspath(paths.expanded(folder)))


def _is_filled(folder: pathlib.Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _staging(prepared: pathlib.Path) -> pathlib.Path:
    return prepared.with_name("incomplete.prepare")


# Getting the archive.


def _fetch(recipe: Recipe, root: pathlib.Path) -> pathlib.Path:
    """Returns the path of the archive, downloaded where it is absent."""
    archive = root / "downloads" / recipe.url.rsplit("/", 1)[-1]
    # The files, and as much again while they are shuffled.
    needed = 2 * recipe.prepared_size + (0 if archive.exists() else recipe.size)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise UserError(
            f"Preparing {recipe.title} takes {needed / 1e6:.0f} MB and {root} has "
            f"{free / 1e6:.0f} MB free: make room or choose another data_dir."
        )
    name, slash, dataset = recipe.name.partition("/")
    flags = f"--name={name}" + (f" --dataset={dataset}" if slash else "")
    advice = (
        f"with a network connection run `python -m experiments.prepare {flags} "
        f"--data_dir={shlex.quote(str(root))}`, or fetch that file by hand, put it at {archive} "
        "and run the same command"
    )
    download.fetch(recipe.url, archive, size=recipe.size, sha256=recipe.sha256, advice=advice)
    return archive


# Writing the array_record files.


def _write(recipe: Recipe, archive: pathlib.Path, prepared: pathlib.Path) -> None:
    """Builds the data set in a folder beside its final one, then renames it."""
    staging = _staging(prepared)  # Ours alone, and locked by the caller.
    shutil.rmtree(staging, ignore_errors=True)
    try:
        builder = _builder(recipe, archive, staging)
        with _silent_tfds():
            builder.download_and_prepare()
        os.replace(builder.data_dir, prepared)
    except RuntimeError as error:  # How array_record says that the disk is full.
        raise OSError(str(error)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _builder(recipe: Recipe, archive: pathlib.Path, staging: pathlib.Path) -> Any:
    import tensorflow_datasets as tfds

    stock_name, _, config = recipe.name.partition("/")

    class Builder(tfds.builder_cls(stock_name), skip_registration=True):
        """The stock builder, fed with encoded images."""

        name = stock_name
        url_infos = None  # It downloads nothing; looking the checksums up may fail on import.

        def _split_generators(self, dl_manager):
            del dl_manager
            self.info.features["label"].names = list(recipe.classes)
            return {split: self._generate_examples(split) for split in recipe.splits}

        def _generate_examples(self, split):
            return recipe.examples(archive, split)

    return Builder(data_dir=staging, config=config or None, file_format="array_record")


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


# Reading them.


def sizes(prepared: pathlib.Path) -> dict[str, int]:
    """The number of examples of each split of a prepared data set."""
    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(prepared).info
    return {name: split.num_examples for name, split in info.splits.items()}


def examples(prepared: pathlib.Path, split: str) -> Sequence[Example]:
    """The examples of a split of a prepared data set; threads may read them at once."""
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(prepared).as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}, file_format="array_record"
    )


@contextlib.contextmanager
def reading(title: str, prepared: pathlib.Path) -> Iterator[None]:
    """Turns the errors of reading a prepared data set into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # TFDS and Pillow raise errors of many types for damaged files.
        raise UserError(
            f"{prepared} does not hold {title} as readable array_record files: move it away to "
            "have it prepared again, or choose another data_dir."
        ) from error

"""The data sets of CycleGAN, read from TensorFlow Datasets' files and prepared without TensorFlow.

Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", arXiv:1703.10593; https://junyanz.github.io/CycleGAN/
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from typing import SupportsIndex

import numpy as np
import tqdm
from PIL import Image

from gans.data import unpaired
from gans.data.io import image_files, images, prepared
from gans.data.io.opening import UnreadableImage
from gans.data.unpaired import Unpaired
from gans.errors import UserError

URL = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{}.zip"
# Bytes and SHA-256 of each data set's archive, as TensorFlow Datasets has them.
ARCHIVES = {
    "apple2orange": (
        78_456_409,
        "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    ),
    "summer2winter_yosemite": (
        132_640_856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    ),
    "horse2zebra": (
        116_867_962,
        "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    ),
    "monet2photo": (
        305_231_073,
        "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    ),
    "cezanne2photo": (
        279_885_071,
        "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
    ),
    "ukiyoe2photo": (
        292_946_532,
        "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
    ),
    "vangogh2photo": (
        306_590_349,
        "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
    ),
    "maps": (
        1_476_754_427,
        "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
    ),
    "facades": (
        35_135_868,
        "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
    ),
    "iphone2dslr_flower": (
        339_964_458,
        "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
    ),
}

_SPLITS = ("trainA", "trainB", "testA", "testB")
# Domains that are not called as data sets spell them.
_NAMES = {
    "monet": "Monet",
    "cezanne": "Cezanne",
    "ukiyoe": "ukiyo-e",
    "vangogh": "van Gogh",
    "iphone": "iPhone",
    "dslr": "DSLR",
}


def load(
    *,
    data_dir: str,
    dataset: str,
    image_size: int,
    load_size: int,
    channels: int,
    resize: str,
    flip: bool,
    test_images: int,
) -> Unpaired:
    """Loads one of the data sets, downloading and preparing it where it is absent.

    The images come in the order of TensorFlow Datasets' `cycle_gan/<dataset>:3.0.0`,
    and `images.decode` says how each becomes a square. Most have 256x256 pixels.

    Args:
      data_dir: as for `prepared.ensure`.
      dataset: its name, one of `ARCHIVES`.
      The others: as `gans.data.unpaired` says.

    Returns:
      The domains, each in memory up to `files.MEMORY_LIMIT` bytes and as
      `ExampleImages` beyond.

    Raises:
      UserError: if the data can be neither read nor prepared, or an argument is
        out of range.
    """
    unpaired.check_sizes(
        image_size=image_size, load_size=load_size, channels=channels, test_images=test_images
    )
    resample = images.resampling(resize)
    folder = prepare(data_dir, dataset=dataset)

    def listed(split: str, size: int) -> ExampleImages:
        with _reading(folder):
            return ExampleImages(folder, prepared.examples(folder, split), size, channels, resample)

    return unpaired.source(
        _decode(listed("trainA", load_size)),
        _decode(listed("trainB", load_size)),
        image_size=image_size,
        flip=flip,
        names=domain_names(dataset),
        test_a=unpaired.centres(listed("testA", image_size), image_size, test_images),
        test_b=unpaired.centres(listed("testB", image_size), image_size, test_images),
    )


def prepare(data_dir: str = "", *, dataset: str) -> pathlib.Path:
    """As `prepared.ensure`, of the picture files of an archive as they are.

    Args:
      data_dir: as for `prepared.ensure`.
      dataset: its name, one of `ARCHIVES`.

    Raises:
      UserError: also if there is no such data set.
    """
    if dataset not in ARCHIVES:
        raise UserError(f"dataset is {dataset!r}: choose one of {', '.join(ARCHIVES)}.")
    size, sha256 = ARCHIVES[dataset]
    recipe = prepared.Recipe(
        name=f"cycle_gan/{dataset}",
        version="3.0.0",
        title=f"cycle_gan/{dataset}",
        classes=("A", "B"),
        splits=_SPLITS,
        examples=_examples,
        url=URL.format(dataset),
        size=size,
        sha256=sha256,
        prepared_size=size * 11 // 10,  # Zipping makes pictures but little smaller.
    )
    return prepared.ensure(recipe, data_dir)


def domain_names(dataset: str) -> tuple[str, str]:
    """What the domains show: ("horse", "zebra") for "horse2zebra", ("A", "B") for "maps"."""
    first, two, second = dataset.partition("_")[0].partition("2")
    return (_NAMES.get(first, first), _NAMES.get(second, second)) if two else ("A", "B")


# Reading the archive.


def _examples(archive: pathlib.Path, split: str) -> Iterator[tuple[str, prepared.Example]]:
    """Reads a split's pictures in memory by name: nothing of the archive goes to the disk."""
    with zipfile.ZipFile(archive) as file:
        members = _members(file, split)
        for name, member in tqdm.tqdm(members.items(), desc=f"Preparing {split}", disable=None):
            # The stock builder's keys are bare names too, whence the same order of examples.
            yield name, {"image": file.read(member), "label": split[-1]}


def _members(file: zipfile.ZipFile, split: str) -> dict[str, str]:
    """The paths of the pictures in the archive's folder `<split>`, under their bare names."""
    members = {}
    for path in file.namelist():
        top, _, rest = path.partition("/")
        folder, _, name = rest.partition("/")
        # Archives made on macOS have a second tree, `__MACOSX`, and files called `._*`.
        if top in ("", ".", "..", "__MACOSX") or folder != split or "/" in name:
            continue
        if image_files.is_image(name):
            members[name] = path
    return members


# Reading the prepared files.


@dataclasses.dataclass(frozen=True)
class ExampleImages(Sequence[np.ndarray]):
    """Prepared images decoded each time they are accessed, from any number of threads.

    Items are uint8 `[image_size, image_size, channels]`, as `images.decode` returns
    them. An item that can no longer be read raises `UserError`.
    """

    folder: pathlib.Path
    examples: Sequence[prepared.Example]
    image_size: int
    channels: int
    resample: Image.Resampling

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: SupportsIndex) -> np.ndarray:
        index = range(len(self))[index]  # An IndexError ends an iteration, so it must stay one.
        with _reading(self.folder):
            return self.decode(index)

    def decode(self, index: int) -> np.ndarray:
        """Returns an item, or raises `UnreadableImage` or an error of TFDS's."""
        return images.decode(
            io.BytesIO(self.examples[index]["image"]),
            image_size=self.image_size,
            channels=self.channels,
            resample=self.resample,
        )


def _reading(folder: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    return prepared.reading(f"cycle_gan/{folder.parent.name}", folder)


def _decode(listed: ExampleImages) -> np.ndarray | ExampleImages:
    """Decodes every image once, and keeps them where they fit into memory."""
    with _reading(listed.folder):
        pixels, errors = image_files.decode_all(listed)
        if errors:
            raise UnreadableImage(next(iter(errors.values())))
    return listed if pixels is None else pixels

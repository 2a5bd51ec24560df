"""Two photographs that come with scikit-learn, cut into two domains: training without a download.

The photographs are `china.jpg`, a temple, by Daniel Buechele
(https://www.flickr.com/photos/danielbuechele/6061409035/) and `flower.jpg`, a dahlia, by
vultilion (https://www.flickr.com/photos/vultilion/6056698931/), both under the Creative Commons
licence CC BY 2.0 (https://creativecommons.org/licenses/by/2.0/). Pictures made of them, those of
networks trained on them among them, need the same attribution where they are published.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from gans.data import unpaired
from gans.data.io import images
from gans.data.unpaired import Unpaired

TRAIN_IMAGES = 200  # of each domain

_PHOTOGRAPHS = {"temple": "china.jpg", "flower": "flower.jpg"}
# Parts of the photographs, of 640 columns and 427 rows: (left, top, right, bottom). The objects
# lie in both parts, and far from the right edge.
_TRAIN, _TEST = (40, 0, 480, 256), (40, 256, 480, 427)
_SIDES = (96, 172)  # Least side of a crop in pixels, and one more than the largest.


def load(
    *,
    image_size: int,
    load_size: int,
    channels: int,
    resize: str,
    flip: bool,
    test_images: int,
) -> Unpaired:
    """Cuts squares of 96 to 171 pixels out of the photographs, the same ones every time.

    Training images come from the upper three fifths of a photograph and test
    images from the rest, so that no pixel is in both.

    Args: as `gans.data.unpaired` says.

    Returns:
      The domains "temple" and "flower", `TRAIN_IMAGES` each.

    Raises:
      UserError: if an argument is out of range.
    """
    from sklearn import datasets  # Takes a second to import.

    unpaired.check_sizes(
        image_size=image_size, load_size=load_size, channels=channels, test_images=test_images
    )
    resample = images.resampling(resize)
    train, test = [], []
    for seed, file_name in enumerate(_PHOTOGRAPHS.values()):  # Other places in each photograph.
        photograph = Image.fromarray(datasets.load_sample_image(file_name))
        photograph = photograph.convert("L" if channels == 1 else "RGB")
        upper, lower = photograph.crop(_TRAIN), photograph.crop(_TEST)
        train.append(_squares(upper, TRAIN_IMAGES, load_size, resample, seed))
        test.append(_squares(lower, test_images, image_size, resample, seed))
    return unpaired.source(
        *train,
        image_size=image_size,
        flip=flip,
        names=tuple(_PHOTOGRAPHS),
        test_a=test[0],
        test_b=test[1],
    )


def _squares(
    part: Image.Image, count: int, size: int, resample: Image.Resampling, seed: int
) -> np.ndarray:
    """Cuts `count` squares out of a picture at random: uint8 `[count, size, size, C]`."""
    rng = np.random.default_rng(seed)
    squares = []
    for _ in range(count):
        side = int(rng.integers(*_SIDES))
        left = int(rng.integers(part.width - side + 1))
        top = int(rng.integers(part.height - side + 1))
        square = part.crop((left, top, left + side, top + side))
        squares.append(images.resize(square, size, resample))
    return np.stack(squares)

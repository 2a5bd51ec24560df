"""Numbers from generated and real images as one feature net sees them both.

Each function takes the view of the real and that of the generated images, and gives numbers by
name; in place of one that these images do not allow, it says why there is none, and it raises
ValueError where they allow none at all. Distances are called after the feature net: `fid` and
`kid` through Inception, `fcd` and `kcd` through a classifier.
"""

from __future__ import annotations

import numpy as np

from gans.evaluation.evaluators.findings import Missing, Numbers, Suspect
from gans.evaluation.metrics import agreement, diversity, inception_score, manifold, neighbours
from gans.evaluation.metrics import frechet as frechet_distance
from gans.evaluation.metrics import kernel as kernel_distance
from gans.evaluation.metrics import leaks as left_behind
from gans.evaluation.views import View

_SUBSET = 1000  # images of each of KID's subsets
_SUBSETS = 100
_SPLITS = 10  # of the Inception Score
_FEWEST = 5  # images on the near side of a quantile


def frechet(real: View, fake: View) -> Numbers:
    """The Frechet distance (Heusel et al. 2017, arXiv:1706.08500)."""
    return {f"f{fake.net[0]}d": frechet_distance.distance(real.moments, fake.moments)}


def kernel(real: View, fake: View) -> Numbers:
    """The kernel distance and its deviation over subsets (Binkowski et al. 2018, 1801.01401)."""
    size, name = min(_SUBSET, len(real), len(fake)), f"k{fake.net[0]}d"
    subsets = 1 if size == len(real) == len(fake) else _SUBSETS
    mean, deviation = kernel_distance.distance(fake.features, real.features, subsets, size)
    if size == min(len(real), len(fake)):
        deviation = Missing(f"every subset of {size:,} images is of the same ones.")
    return {name: mean, f"{name}_deviation": deviation}


def score(real: View, fake: View) -> Numbers:
    """The Inception Score, or the same of a classifier (Salimans et al. 2016, 1606.03498)."""
    del real
    if len(fake) < 2 * _SPLITS:
        raise ValueError(f"in {_SPLITS} parts of {len(fake)} images one may be alone, which is 1.")
    mean, deviation = inception_score.score(fake.logits, splits=_SPLITS)
    return {f"{fake.net}_score": mean, f"{fake.net}_score_deviation": deviation}


def prdc(real: View, fake: View) -> Numbers:
    """Precision, recall, density and coverage (arXiv:1904.06991, 2002.09797)."""
    return manifold.prdc(real.features, fake.features)


def vendi(real: View, fake: View) -> Numbers:
    """The Vendi score (2210.02410) of as many images of both: less than the real is collapse."""
    size = min(len(real), len(fake))
    chosen = np.random.default_rng(0).permutation(len(real))[:size]
    return {
        "vendi": diversity.vendi(fake.features[:size]),
        "vendi_real": diversity.vendi(real.features[chosen]),
    }


def memorising(real: View, fake: View) -> Numbers:
    """Whether a generator repeats images that it was trained on, some of which are the real ones.

    `copied` is about how many of the generated images are copies: those that lie nearer to a real
    image than half the distance at which the nearest hundredth of real images have another. Of
    copies of all training images, only those of the share that is among the real ones lie so near,
    so that what is found is divided by that share.

    `nearest_low_ratio` compares the distances of generated images to the nearest real one with
    those of real images to the nearest other, at a tenth of the share: where one in ten is a copy
    it falls, and 1 is expected of images that are as new as the real ones to each other. At the
    median a generator that does nothing but repeat would pass, if less than half of what it
    repeats were among the real images.
    """
    if not real.share:
        raise ValueError("it takes real images that were trained on.")
    nearest, _ = neighbours.nearest(fake.features, real.features, 1)
    among, _ = neighbours.nearest(real.features, real.features, 2)
    nearest, among, low = nearest[:, 0], among[:, 1], real.share / 10
    reach = np.quantile(among, 0.01) / 2
    least = np.quantile(among, low)
    if not min(reach, least):
        raise ValueError("too many of the real images are there twice.")
    twice = np.mean(among < reach)
    copied = (np.mean(nearest < reach) - twice) / (1 - twice) / real.share
    ratio: float | Missing = np.quantile(nearest, low) / least
    if low * min(len(real), len(fake)) < _FEWEST:
        ratio = Missing(f"{low:.2%} of {min(len(real), len(fake)):,} images are too few.")
    return {"copied": float(np.clip(copied, 0.0, 1.0)), "nearest_low_ratio": ratio}


def leaks(real: View, fake: View) -> Numbers:
    """Whether generated images carry the augmentation that the discriminator's images had.

    `leak_holes` and `leak_borders` are the shares with a grey square as of cutout, and with a grey
    line along an edge as of translation: see `gans.evaluation.metrics.leaks`. `..._real` are those
    of the real images, and a share far above that is cautioned against. `leak_brightness`,
    `leak_contrast` and `leak_saturation` say how far their means are from those of the real images,
    in deviations of these, and `..._spread` how many times as large their deviations are.
    """
    if real.marks is None or fake.marks is None:
        raise ValueError("it takes views of images, not of features alone.")
    marks = [dict(zip(left_behind.NAMES, view.marks.T, strict=True)) for view in (real, fake)]
    found = _left("holes", "a grey square, as cutout leaves,", *(x["hole"] for x in marks))
    found |= _left("borders", "a grey edge, as translation leaves,", *(x["border"] for x in marks))
    for name in ("brightness", "contrast", "saturation"):
        known, made = (x[name].astype(np.float64) for x in marks)
        spread = known.std()
        none = Missing("the real images are all alike in it.")
        found[f"leak_{name}"] = (made.mean() - known.mean()) / spread if spread else none
        found[f"leak_{name}_spread"] = made.std() / spread if spread else none
    return found


def _left(name: str, what: str, real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The shares of images that have a mark, with a caution where too many have."""
    usual, share = float(real.mean()), float(fake.mean())
    if left_behind.is_far_above(share, len(fake), usual, len(real)):
        caution = (
            f"{share:.1%} of the generated images have {what} and {usual:.1%} of the real ones: "
            "the augmentation leaks into them. Lower its probability, or leave that out of it."
        )
        share = Suspect(share, caution)
    return {f"leak_{name}": share, f"leak_{name}_real": usual}


def accuracy(real: View, fake: View) -> Numbers:
    """How often a classifier finds the class that was asked for, also class by class."""
    if not fake.classes or fake.told != fake.classes:
        raise ValueError("it takes a conditional generator and a classifier of its classes.")
    found = {"class_accuracy": agreement.class_accuracy(fake.logits, fake.labels)}
    if real.labels is not None:
        found["class_accuracy_real"] = agreement.class_accuracy(real.logits, real.labels)
    each = agreement.accuracy_by_class(fake.logits, fake.labels, len(fake.classes))
    named = zip(fake.classes, each, strict=True)
    none = Missing("no image is of that class.")
    return found | {f"class_accuracy/{name}": none if np.isnan(x) else x for name, x in named}


def by_class(real: View, fake: View) -> Numbers:
    """The Frechet distance of each class to the real images of that class, and their mean."""
    if not fake.classes or real.classes != fake.classes:
        raise ValueError("it takes a conditional generator and real images of its classes.")
    name, each = f"f{fake.net[0]}d", {}
    for i, label in enumerate(fake.classes):
        parts = [len(view.of_class(i)) for view in (real, fake)]
        each[f"{name}/{label}"] = (
            frechet_distance.distance(real.of_class(i).moments, fake.of_class(i).moments)
            if min(parts) > 1
            else Missing(f"{parts[0]} real and {parts[1]} generated images are of that class.")
        )
    lacking = any(isinstance(value, Missing) for value in each.values())
    mean = Missing("a class has none.") if lacking else float(np.mean(list(each.values())))
    return {f"{name}_by_class": mean} | each


def cautions(real: View, fake: View) -> list[str]:
    """What to mind when these numbers are read."""
    fewest, dim = min(len(real), len(fake)), fake.features.shape[1]
    found = []
    if fewest < 10_000:
        found.append(
            f"{fewest:,} images: a Frechet distance is biased upwards, and comparable only with "
            "one of as many images."
        )
    if fewest <= dim:
        found.append(f"No more images than the {dim} features: their covariance is singular.")
    if len(fake) < 5000:
        found.append("A score of fewer than 5,000 images is biased downwards.")
    if real.share and real.share < 1:
        found.append(
            f"{real.share:.1%} of the images trained on are among the real ones: copies of the "
            "others are not seen, and are supposed to be as many in proportion."
        )
    return found

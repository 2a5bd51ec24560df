"""Signs that a training has gone wrong, in numbers and images that are there anyway, as sentences.

Each function gives, by the name of an alarm, a sentence that says what is seen and what to do, or
None where there is no reason for one. An alarm that cannot be decided on is left out: it stays as
it was. One that is on ends at a laxer limit than it begins at, so that a number that wavers about
the limit does not begin it again and again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Found = dict[str, str | None]
"""A sentence by the name of each alarm that was decided on, None where it is off."""


class Limit(NamedTuple):
    """A number no larger than `begins` begins an alarm, which lasts while it is up to `ends`."""

    begins: float
    ends: float

    def holds(self, value: float, is_on: bool) -> bool:
        """Whether the alarm is on after this number, having been on or off before."""
        return value <= (self.ends if is_on else self.begins)


STEPS = 1000
"""Iterations that a state of the discriminator has to last, in the mean of their lines. A few
hundred are usual at the start, when what the generator makes is told by its colour alone. And a
network that has had fewer makes nearly one grey of everything, so its images are no alarm yet."""

LINES = 10
"""Lines of metrics that it has to last as well: whether a loss stands still is not seen in fewer,
however many iterations each is the mean of."""

# One wrong answer in 100: among the 32 images of a small batch fewer than one in three batches has
# any, and the loss of a right answer is the smaller the surer it is.
PINNED = Limit(0.01, 0.02)

# 1,000 batches of 32 real and 32 generated images are 64,000 answers, whose mean deviates by 0.2 %.
CHANCE = Limit(0.01, 0.02)

# Of the loss itself, between the largest and the smallest line. While a discriminator learns, or
# what it judges changes, they lie some per cent apart.
STILL = Limit(0.005, 0.01)

# Of the deviation of real images from each other. Blurred or badly drawn images are no less
# different; a tenth is noise on one image, below what a person would call two.
ALIKE = Limit(0.10, 0.15)

# Of the range of a pixel: 5 of 255 levels, which are seen only with both images side by side.
UNCHANGED = Limit(0.02, 0.03)

# Images of a batch that are not so, where all others are nearly black, white or of one colour.
OTHERS = Limit(0.05, 0.20)

# Of the Vendi score of the real images, 1 being taken off both, which it is of images all alike. Of
# ten kinds as different as the real ones, fewer than three are left.
DIVERSE = Limit(0.20, 0.30)

DARK = 0.1
"""Of the range of a pixel: no pixel of a nearly black image is brighter, none of a nearly white one
as far from white. Strokes, stars and faint outlines are brighter, so sparse drawings pass."""

FLAT = 0.01
"""Of the range of a pixel: the deviation within an image of one colour. 2.5 of 255 levels are not
seen."""

AMONG_DATA = 0.05
"""Share of the data that may be empty without a word; a few blank scans are in many sets."""

ALL_ALIKE = 0.01
"""Of the range of a pixel: the deviation between images of data that are all the same."""

_SIDE = 64  # pixels looked at in either direction: of more, every second, third, ...
_MOST = 256  # images

_JUDGES = (
    ("", ("accuracy_real", "accuracy_fake")),
    ("", ("accuracy",)),  # of pairs
    ("_a", ("accuracy_a",)),
    ("_b", ("accuracy_b",)),
)


class Line(NamedTuple):
    """A line of metrics.

    Attributes:
      step: iterations done.
      steps: of how many it has the means.
      values: by the names in `Game.summary`; others are not looked at.
    """

    step: int
    steps: int
    values: Mapping[str, float]


def stretch(lines: Sequence[Line]) -> Sequence[Line]:
    """The fewest last lines that are at least `LINES` and of `STEPS` iterations, if there are."""
    total = 0
    for count, line in enumerate(reversed(lines), 1):
        total += line.steps
        if count >= LINES and total >= STEPS:
            return lines[-count:]
    return ()


def discriminators(lines: Sequence[Line], on: Collection[str] = ()) -> Found:
    """Whether a discriminator is always right, always wrong, or no better than chance.

    Args:
      lines: in order; only the last `stretch` counts.
      on: the alarms that are on.

    Returns:
      Under "right" and "wrong", with "_a" or "_b" where each domain has a discriminator, and under
      "chance" of all of them together.
    """
    lines = stretch(lines)
    weights = [line.steps for line in lines]
    found, judged = Found(), []
    for judge, names in _JUDGES:
        if not lines or not all(name in line.values for line in lines for name in names):
            continue
        rows = [[line.values[name] for name in names] for line in lines]
        means = np.average(rows, axis=0, weights=weights)
        judged.append(float(np.mean(means)))
        who, long = f"The discriminator{_of(judge)}", f"{sum(weights):,} steps"
        right = PINNED.holds(1 - min(means), f"right{judge}" in on)
        wrong = PINNED.holds(max(means), f"wrong{judge}" in on)
        found[f"right{judge}"] = _right(who, min(means), long) if right else None
        found[f"wrong{judge}"] = _wrong(who, max(means), long) if wrong else None
    losses = [line.values["d_loss"] for line in lines if "d_loss" in line.values]
    if judged and len(losses) == len(lines):
        is_on, far = "chance" in on, max(abs(mean - 0.5) for mean in judged)
        is_still = STILL.holds(_relative_range(losses), is_on)
        same = CHANCE.holds(far, is_on) and is_still
        found["chance"] = _chance(len(judged), sum(weights)) if same else None
    return found


def _of(judge: str) -> str:
    return f" of {judge[1:].upper()}" if judge else ""


def _relative_range(values: Sequence[float]) -> float:
    size = max(map(abs, values))
    return (max(values) - min(values)) / size if size else 0.0


def _percent(share: float) -> str:
    """Rounded down: not all of them, where they are not."""
    return f"{math.floor(100 * share + 1e-9)} %"


def _right(who: str, mean: float, long: str) -> str:
    return (
        f"{who} has told real from generated images in {_percent(mean)} of cases for {long}: the "
        "generator gets little to learn from. Lower the discriminator's learning rate, set "
        "loss.adversarial to hinge or least_squares, or hold the discriminator back by augmented "
        "images or a gradient penalty."
    )


def _wrong(who: str, mean: float, long: str) -> str:
    return (
        f"{who} has been wrong about {_percent(1 - mean)} of real and of generated images for "
        f"{long}: it gives every image one answer, or its loss is turned round. Lower its learning "
        "rate if its layers have died, and look at its loss terms and their loss.weights."
    )


def _chance(count: int, steps: int) -> str:
    who = "The discriminator has" if count == 1 else "The discriminators have"
    return (
        f"{who} been right no more often than by chance for {steps:,} steps, and d_loss stands "
        "still: the generator gets nothing to learn from. Unless its images are as good as real "
        "ones, raise the discriminator's learning rate or give it more features."
    )


class Pixels(NamedTuple):
    """What images look like.

    Attributes:
      count: how many were looked at.
      spread: how far they deviate from each other, as a share of the range of a pixel: the root of
        the variance of a pixel over images of one kind, averaged over pixels. The mean square
        distance of two images of a kind is twice its square. None if no two are of a kind.
      black, white, flat: the shares of images that are nearly black, nearly white, and of one
        other colour.
    """

    count: int
    spread: float | None
    black: float
    white: float
    flat: float


EMPTY = {"black": "nearly black", "white": "nearly white", "flat": "of one colour"}
"""The names of alarms for images on which nothing is to be seen, and the words for them."""


def thinned(image: np.ndarray) -> np.ndarray:
    """As much of images `[..., H, W, C]` as is looked at: every second, third, ... pixel."""
    rows, columns = (math.ceil(extent / _SIDE) for extent in image.shape[-3:-1])
    return image[..., ::rows, ::columns, :]


def look(images: np.ndarray, kinds: np.ndarray | None = None) -> Pixels:
    """What the first of some images look like.

    Args:
      images: uint8 `[N, H, W, C]`, at least one.
      kinds: int `[N]`, what each is to show; they need differ only from others of their kind. None
        if all are of one.
    """
    x = thinned(images[:_MOST]).astype(np.float32) / 255
    kinds = np.zeros(len(x), int) if kinds is None else kinds[: len(x)]
    black = x.max(axis=(1, 2, 3)) < DARK
    white = x.min(axis=(1, 2, 3)) > 1 - DARK
    flat = (x.std(axis=(1, 2)).max(axis=-1) < FLAT) & ~black & ~white
    groups = [x[kinds == kind] for kind in np.unique(kinds)]
    total = sum(float(group.var(axis=0, dtype=np.float64).mean()) * len(group) for group in groups)
    freedom = len(x) - len(groups)
    return Pixels(
        len(x),
        math.sqrt(total / freedom) if freedom else None,
        *(float(np.mean(each)) for each in (black, white, flat)),
    )


def samples(made: Pixels, real: Pixels, classes: int, on: Collection[str] = ()) -> Found:
    """Whether images that a generator made of noise are empty, or all the same.

    Args:
      made: the images, by class where the generator is told classes.
      real: images of the data, of all classes.
      classes: how many classes the images are of; 1 if there are none.
      on: the alarms that are on.

    Returns:
      Under "black", "white", "flat" and "same"; not the last where the images are empty, nor where
      there are no two to compare.
    """
    found = _empty("", "The generator", made, real, on)
    if not any(found.values()) and made.spread is not None and real.spread:
        share = made.spread / real.spread
        of_class = " of a class" if classes > 1 else ""
        found["same"] = (
            f"The generator makes nearly the same image{of_class} from every latent vector: they "
            f"differ by {share:.1%} of what real images differ by. It has collapsed: start anew, "
            "or from an earlier checkpoint, with lower learning rates, another loss.adversarial or "
            "a discriminator that is held back."
            if ALIKE.holds(share, "same" in on)
            else None
        )
    return found


def translations(
    way: str, made: np.ndarray, sources: np.ndarray, real: Pixels, on: Collection[str] = ()
) -> Found:
    """Whether translated images are empty, all the same, or what they were made of.

    Args:
      way: the direction's name, as in "a_to_b".
      made: uint8 `[N, H, W, C]`.
      sources: the images that they were made of, of the same shape.
      real: images of the domain that they should be of.
      on: the alarms that are on.

    Returns:
      As `samples`, each name after the way's and a "/", and under ".../unchanged".
    """
    who = f"The generator {way}"
    now, before = look(made), look(sources)
    found = _empty(f"{way}/", who, now, real, on)
    if any(found.values()):
        return found
    if now.spread is not None and before.spread:
        share = now.spread / before.spread
        found[f"{way}/same"] = (
            f"{who} makes nearly the same image of every input: they differ by {share:.1%} of what "
            "the inputs differ by. Raise the weights of the terms that hold on to the input, such "
            "as cycle, or lower the learning rates."
            if ALIKE.holds(share, f"{way}/same" in on)
            else None
        )
    a, b = (thinned(images[:_MOST]).astype(np.float32) for images in (made, sources))
    change = float(np.abs(a - b).mean()) / 255
    found[f"{way}/unchanged"] = (
        f"{who} gives its input back: the mean difference is {change:.1%} of the range of a pixel. "
        "Lower the weights of the terms that hold on to the input, such as cycle and identity, or "
        "train for longer."
        if UNCHANGED.holds(change, f"{way}/unchanged" in on)
        else None
    )
    return found


def _empty(prefix: str, who: str, made: Pixels, real: Pixels, on: Collection[str]) -> Found:
    """Whether nearly all images are black, white or of one colour, and the real ones are not."""
    found = Found()
    for name, words in EMPTY.items():
        share = getattr(made, name)
        is_on = OTHERS.holds(1 - share, prefix + name in on) and getattr(real, name) < 0.5
        found[prefix + name] = (
            f"{who} makes images that are {words}: {_percent(share)} of those that were looked at. "
            "Its last layer is saturated or its layers have died: start anew, or from an earlier "
            "checkpoint, with a lower learning rate."
            if is_on
            else None
        )
    return found


def data(domain: str, real: Pixels) -> Found:
    """Whether there is something to see on the images of a data set, and they differ.

    Args:
      domain: the name that the images have in a batch: "image", or "a" or "b".
      real: some of them.

    Returns:
      Under "data/black", "data/white", "data/flat" and "data/same", "data_a/..." of a domain.
    """
    prefix = "data" if domain == "image" else f"data_{domain}"
    where = "" if domain == "image" else f" of domain {domain.upper()}"
    found = Found()
    for name, words in EMPTY.items():
        share = getattr(real, name)
        found[f"{prefix}/{name}"] = (
            f"Of {real.count:,} images of the data{where} that were looked at, "
            f"{round(share * real.count):,} are {words}: look at the files, and whether their "
            "numbers have the range 0 to 255."
            if share >= AMONG_DATA
            else None
        )
    if real.spread is not None and not any(found.values()):
        found[f"{prefix}/same"] = (
            f"The images of the data{where} are nearly all the same: {real.count:,} that were "
            f"looked at differ by {real.spread:.1%} of the range of a pixel. Look at the files."
            if real.spread <= ALL_ALIKE
            else None
        )
    return found


def diversity(values: Mapping[str, float], on: Collection[str] = ()) -> Found:
    """Whether the Vendi score of generated images is far below that of the real ones.

    Args:
      values: of an evaluator; nothing is found without `vendi` and `vendi_real`.
      on: the alarms that are on.

    Returns:
      Under "vendi".
    """
    if "vendi" not in values or values.get("vendi_real", 1.0) <= 1.0:
        return Found()
    made, real = values["vendi"], values["vendi_real"]
    sentence = (
        f"The generated images are as diverse as {made:.1f} different ones, the real images as "
        f"{real:.1f} (Vendi score): the generator makes few kinds of images. If it is trained, it "
        "has collapsed: take an earlier checkpoint, or train with lower learning rates, another "
        "loss.adversarial or a discriminator that is held back."
    )
    return {"vendi": sentence if DIVERSE.holds((made - 1) / (real - 1), "vendi" in on) else None}

"""What comparisons say of features made by hand, and of what an augmentation leaves in images."""

import functools

import jax
import numpy as np
import pytest
from sklearn import datasets

from gans.core.pixels import to_float, to_uint8
from gans.evaluation.evaluators import comparisons
from gans.evaluation.evaluators.findings import Findings, Missing
from gans.evaluation.metrics import frechet, kernel, leaks, neighbours
from gans.evaluation.views import View
from gans.ops.augment.diffaugment import DiffAugment

CLASSES = ("cat", "dog", "frog")


def view(count=60, seed=0, shift=0.0, net="classifier", classes=CLASSES, told=CLASSES, logits=None):
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % len(CLASSES)).astype(np.int32)
    features = rng.normal(size=(count, 4)) + shift + labels[:, None]
    logits = rng.normal(size=(count, 3)) if logits is None else logits
    return View(net, told, classes, np.float32(features), np.float32(logits), labels)


@pytest.mark.parametrize("net, letter", [("classifier", "c"), ("inception", "i")])
def test_distances_are_called_after_the_network(net, letter):
    real, fake = view(net=net), view(net=net, seed=1, shift=0.5)
    found = comparisons.frechet(real, fake) | comparisons.kernel(real, fake)
    assert set(found) == {f"f{letter}d", f"k{letter}d", f"k{letter}d_deviation"}
    assert isinstance(found[f"k{letter}d_deviation"], Missing)
    assert set(comparisons.score(real, fake)) == {f"{net}_score", f"{net}_score_deviation"}
    expected = frechet.distance(
        frechet.Moments.of(real.features), frechet.Moments.of(fake.features)
    )
    assert found[f"f{letter}d"] == pytest.approx(expected, rel=1e-9)


def test_images_against_themselves_are_at_distance_zero_and_farther_the_more_is_added():
    real = view(count=600)
    distances = [
        comparisons.frechet(real, view(count=600, shift=shift))["fcd"] for shift in (0, 0.1, 0.4, 1)
    ]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    # Of two equal normals a shift s apart in each of 4 dimensions: 4 s^2.
    np.testing.assert_allclose(distances[1:], [0.04, 0.64, 4.0], rtol=1e-4)


def test_accuracy_is_the_share_that_the_classifier_finds():
    labels = np.arange(60) % 3
    right = np.eye(3)[labels]
    right[labels == 2] = np.eye(3)[[0]]  # every frog is taken for a cat
    found = comparisons.accuracy(view(), view(logits=right))
    assert found["class_accuracy"] == pytest.approx(2 / 3)
    assert found["class_accuracy/dog"] == 1 and found["class_accuracy/frog"] == 0
    shuffled = np.random.default_rng(0).permutation(3000) % 3
    chance = comparisons.accuracy(view(), view(count=3000, logits=np.eye(3)[shuffled]))
    assert chance["class_accuracy"] == pytest.approx(1 / 3, abs=0.03)


def test_distance_by_class_compares_like_with_like():
    real, fake = view(count=300), view(count=300, seed=1)
    found = comparisons.by_class(real, fake)
    expected = [
        frechet.distance(
            frechet.Moments.of(real.features[real.labels == i]),
            frechet.Moments.of(fake.features[fake.labels == i]),
        )
        for i in range(3)
    ]
    assert [found[f"fcd/{name}"] for name in CLASSES] == pytest.approx(expected)
    assert found["fcd_by_class"] == pytest.approx(np.mean(expected))
    # All of one class, whatever was asked for: near the real images as a whole, far by class.
    turned = View(
        "classifier", CLASSES, CLASSES, fake.features, fake.logits, np.roll(fake.labels, 1)
    )
    assert comparisons.by_class(real, turned)["fcd_by_class"] > 5 * found["fcd_by_class"]


TRAINED = np.float32(np.random.default_rng(7).normal(size=(3000, 16)))
NEW = np.float32(np.random.default_rng(8).normal(size=(3000, 16)))


def plain(features, share=1.0):
    return View("classifier", (), (), features, features, None, share)


@pytest.mark.parametrize("share", [1 / 6, 1.0])
@pytest.mark.parametrize("every, copied", [(1, 1.0), (2, 0.5), (6, 1 / 6), (0, 0.0)])
def test_a_generator_that_repeats_what_it_was_trained_on_is_seen(share, every, copied):
    drawn = np.random.default_rng(9).permutation(3000)
    drawn = np.concatenate([drawn[drawn % 6 == k][: int(share * 500)] for k in range(6)])
    fake = NEW.copy()
    if every:
        fake[::every] = TRAINED[::every]  # of which as large a part was drawn as of all
    found = comparisons.memorising(plain(TRAINED[drawn], len(drawn) / 3000), plain(fake))
    assert found["copied"] == pytest.approx(copied, abs=0.02)
    assert found["nearest_low_ratio"] == pytest.approx(0 if every else 1, abs=0.05)


def test_most_of_a_sample_of_training_images_tells_nothing_of_copies():
    # So that a low quantile is looked at, as far down as the share of those drawn.
    nearest, _ = neighbours.nearest(TRAINED, TRAINED[:500], 1)
    among, _ = neighbours.nearest(TRAINED[:500], TRAINED[:500], 2)
    assert np.median(nearest) / np.median(among[:, 1]) > 0.9


def test_varied_images_of_the_middle_are_no_copies():
    # Nearer to real images than these to each other, and none of them again.
    found = comparisons.memorising(plain(TRAINED), plain(0.6 * NEW))
    assert found["copied"] == 0 and 0.4 < found["nearest_low_ratio"] < 0.95


def test_copies_are_asked_for_among_images_trained_on_alone():
    for share in (0.0, None):
        with pytest.raises(ValueError, match="real images that were trained on"):
            comparisons.memorising(plain(TRAINED, share), plain(NEW))
    few = comparisons.memorising(plain(TRAINED[:300], 0.1), plain(NEW[:400]))
    assert few["nearest_low_ratio"] == "1.00% of 300 images are too few." and few["copied"] == 0
    with pytest.raises(ValueError, match="are there twice"):
        comparisons.memorising(plain(np.repeat(TRAINED[:30], 2, 0)), plain(NEW[:60]))
    assert comparisons.cautions(plain(NEW, 1 / 6), plain(NEW))[-1].startswith("16.7% of the images")


def test_collapse_shows_in_diversity():
    real, fake = view(count=200), view(count=200, seed=1)
    varied = comparisons.vendi(real, fake)
    same = View(
        "classifier", CLASSES, CLASSES, np.repeat(fake.features[:1], 200, 0), fake.logits, None
    )
    collapsed = comparisons.vendi(real, same)
    assert collapsed["vendi"] == pytest.approx(1, abs=1e-3)
    assert varied["vendi"] == pytest.approx(varied["vendi_real"], rel=0.1)
    assert varied["vendi"] > 1.5


@pytest.mark.parametrize("compare", [comparisons.accuracy, comparisons.by_class])
def test_numbers_by_class_need_the_same_classes(compare):
    compare(view(), view())
    with pytest.raises(ValueError, match="takes a conditional generator"):
        compare(view(), view(classes=()))
    with pytest.raises(ValueError, match="of its classes"):
        compare(view(classes=CLASSES[::-1]), view(told=()))


def test_cautions_name_what_is_biased():
    few, many = view(count=60), view(count=12_000)
    assert comparisons.cautions(many, many) == []
    assert "60 images" in comparisons.cautions(many, few)[0]
    assert "5,000" in comparisons.cautions(many, few)[1]
    assert any("singular" in text for text in comparisons.cautions(view(count=4), many))


def test_a_deviation_over_subsets_takes_subsets_that_differ():
    real, fake, large = view(count=60), view(count=60, seed=1), view(count=1001, seed=2)
    found = comparisons.kernel(real, fake)
    # All images of both sets, once.
    assert found["kcd"] == pytest.approx(kernel.squared_mmd(fake.features, real.features), rel=1e-9)
    assert found["kcd_deviation"] == "every subset of 60 images is of the same ones."
    assert isinstance(comparisons.kernel(large, fake)["kcd_deviation"], Missing)
    assert isinstance(comparisons.kernel(view(count=1000), large)["kcd_deviation"], Missing)
    assert comparisons.kernel(view(count=1002), large)["kcd_deviation"] > 0


def test_a_score_of_single_images_is_left_out():
    assert comparisons.score(view(), view(count=20))["classifier_score"] > 1
    with pytest.raises(ValueError, match="10 parts of 19 images"):
        comparisons.score(view(), view(count=19))


def test_a_class_without_images_has_no_numbers_and_the_others_do():
    real, fake = view(count=300), view(count=300, seed=1)
    no_frogs = View(
        "classifier", CLASSES, CLASSES, fake.features, fake.logits, np.minimum(fake.labels, 1)
    )
    found = comparisons.by_class(real, no_frogs)
    assert found["fcd/frog"] == "100 real and 0 generated images are of that class."
    assert isinstance(found["fcd_by_class"], Missing) and found["fcd/cat"] > 0
    found = comparisons.accuracy(real, no_frogs)
    assert isinstance(found["class_accuracy/frog"], Missing) and 0 < found["class_accuracy/cat"] < 1


@functools.cache
def photographs(seed):
    """1,500 squares of 32x32 pixels out of two photographs, each of other places."""
    rng = np.random.default_rng(seed)
    whole = [datasets.load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    places = rng.integers(0, (427 - 64, 640 - 64), (1500, 2))
    crops = (whole[i % 2][y : y + 64 : 2, x : x + 64 : 2] for i, (y, x) in enumerate(places))
    return np.stack([*crops])


def looked_at(images):
    features = np.zeros((len(images), 1), np.float32)
    marks = np.asarray(leaks.marks(images))
    return View("classifier", (), (), features, features, None, marks=marks)


def leaked(policy, probability, factor=1.0):
    images = factor * to_float(photographs(1))
    changed = jax.jit(DiffAugment(policy))(images, jax.random.key(0), probability)
    return looked_at(to_uint8(changed))


def findings_of(fake, real=None):
    real, findings = photographs(0) if real is None else real, Findings()
    findings.ask("comparisons.leaks", comparisons.leaks, looked_at(real), fake)
    assert findings.left_out == []
    return findings


def test_images_like_the_real_ones_carry_no_augmentation():
    findings = findings_of(looked_at(photographs(1)))
    assert findings.cautions == []
    found = findings.numbers
    assert found["leak_holes"] < 0.02 and found["leak_borders"] < 0.02
    for name in ("brightness", "contrast", "saturation"):
        # Means of 1,500, each of a deviation of 1: 4 standard errors of their difference.
        assert found[f"leak_{name}"] == pytest.approx(0, abs=4 * np.sqrt(2 / 1500))
        assert found[f"leak_{name}_spread"] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("policy", "name", "word"),
    [("cutout", "holes", "a grey square"), ("translation", "borders", "a grey edge")],
)
def test_an_augmentation_in_a_tenth_of_the_images_is_found_and_named(policy, name, word):
    findings = findings_of(leaked((policy,), 0.1))
    more = findings.numbers[f"leak_{name}"] - findings.numbers[f"leak_{name}_real"]
    # Of 1,500 a tenth, but for 4 deviations; of moves 1 in 81 is by nothing, and some images are
    # grey already.
    assert more == pytest.approx(0.1, abs=0.04)
    (caution,) = findings.cautions
    assert f"of the generated images have {word}" in caution and "leaks into them" in caution
    other = {"holes": "borders", "borders": "holes"}[name]
    assert findings.numbers[f"leak_{other}"] < 0.03


def test_shifts_of_colour_show_in_how_much_images_vary():
    # Of little contrast, so that the shifts leave most numbers between -1 and 1.
    real = np.asarray(to_uint8(0.4 * to_float(photographs(0))))
    found = findings_of(leaked(("colour",), 1.0, 0.4), real).numbers
    # To a deviation of brightness of s adds U(-0.5, 0.5), whose variance is 1/12.
    s = leaks.marks(real)[:, 2].std()
    expected = np.sqrt(1 + 1 / 12 / s**2)
    assert found["leak_brightness_spread"] == pytest.approx(expected, rel=0.1)
    assert found["leak_saturation_spread"] > 1.1 and found["leak_contrast_spread"] > 1.02


def test_leaks_take_views_of_images_and_say_what_these_do_not_allow():
    with pytest.raises(ValueError, match="takes views of images"):
        comparisons.leaks(view(), view())
    grey = looked_at(photographs(0)[..., :1])
    found = comparisons.leaks(grey, grey)
    assert isinstance(found["leak_saturation"], Missing) and found["leak_contrast"] == 0

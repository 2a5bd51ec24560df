"""What comparisons say of features made by hand."""

import numpy as np
import pytest

from gans.evaluation.evaluators import comparisons
from gans.evaluation.evaluators.findings import Missing
from gans.evaluation.metrics import frechet, kernel, neighbours
from gans.evaluation.views import View

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

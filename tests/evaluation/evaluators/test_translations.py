"""The evaluator of translations, on generators whose effect is known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gans import parallel
from gans.core.state import create_net
from gans.data.source import DataInfo
from gans.data.unpaired import Unpaired
from gans.evaluation.evaluators.translations import Translations
from gans.evaluation.subject import Reference, Subject
from gans.games import cycle
from gans.losses import adversarial


class Scale(nn.Module):
    """Multiplies by a number; a negative one exchanges light and dark."""

    by: float

    @nn.compact
    def __call__(self, image, *, train):
        return self.param("by", nn.initializers.constant(self.by), ()) * image


class Images(Reference):
    """Test images that are at hand."""

    shown = ()

    def unpaired(self, num):
        rng = np.random.default_rng(0)
        a, b = rng.integers(20, 236, (11, 6, 8, 3)), rng.integers(60, 196, (9, 6, 8, 3))
        test = {"a": a[:num].astype(np.uint8), "b": b[:num].astype(np.uint8)}
        return Unpaired(None, None, ("A", "B"), test, self.shown)


GAME = cycle.game(adversarial=adversarial.least_squares, pool_size=0)


def subject(ab, ba):
    inputs = (jnp.zeros((1, 6, 8, 3)),)
    nets = {
        f"generator_{way}": create_net(jax.random.key(0), Scale(by), inputs, optax.sgd(0.1))
        for way, by in (("ab", ab), ("ba", ba))
    }
    info = DataInfo(11, (6, 8, 3), domains=("A", "B"), domain_sizes=(11, 9))
    return Subject(nets, 0, GAME, info, Images(None, parallel.make_mesh(1)))


def test_errors_are_those_worked_out_by_hand():
    one = subject(0.5, 1.5)
    numbers, protocol = Translations()(one)
    a, b = (one.reference.unpaired(100).test[domain] / 127.5 - 1 for domain in "ab")
    assert numbers["cycle_a"] == pytest.approx(np.mean(np.abs(0.25 * a)), rel=1e-5)
    assert numbers["cycle_b"] == pytest.approx(np.mean(np.abs(0.25 * b)), rel=1e-5)
    # A's images through the generator that makes A's.
    assert numbers["identity_a"] == pytest.approx(np.mean(np.abs(0.5 * a)), rel=1e-5)
    assert numbers["identity_b"] == pytest.approx(np.mean(np.abs(0.5 * b)), rel=1e-5)
    assert numbers["colour_ab"] == pytest.approx(1, abs=1e-3) and numbers["inverted_ab"] == 0
    assert (protocol["num_a"], protocol["num_b"]) == (11, 9)


def test_an_inversion_of_light_raises_the_alarm_though_the_cycle_is_closed():
    numbers, _ = Translations(num=5)(subject(-1.0, -1.0))
    assert numbers["cycle_a"] == pytest.approx(0, abs=1e-6)
    assert numbers["inverted_ab"] == numbers["inverted_ba"] == 1
    assert numbers["colour_ab"] == pytest.approx(-1, abs=1e-3)


def test_distances_are_to_the_images_of_the_other_domain(weights):
    numbers, protocol = Translations(net="classifier.load", weights=weights)(subject(1.0, 0.0))
    assert {"fcd_ab", "fcd_ba", "kcd_ab", "kcd_ba"} <= set(numbers)
    # All nine or eleven images are in each of KID's subsets, which do not deviate.
    assert protocol["left_out"] == ["kcd_ab_deviation", "kcd_ba_deviation"]
    assert not set(protocol["left_out"]) & set(numbers)
    # One grey image for all is farther from A than A is from B.
    assert numbers["fcd_ba"] > numbers["fcd_ab"] > 0
    assert protocol["net"] == "classifier" and protocol["cautions"]


def test_distances_that_one_image_does_not_allow_are_left_out_and_said(weights):
    numbers, protocol = Translations(net="classifier.load", weights=weights, num=1)(subject(1, 1))
    assert not [name for name in numbers if name.startswith(("fcd", "kcd"))]
    assert {"cycle_a", "identity_b", "colour_ab", "inverted_ba"} <= set(numbers)
    assert (
        "comparisons.frechet is left out: A covariance needs at least 2 images in each set."
        in (protocol["cautions"])
    )
    assert (
        "comparisons.kernel is left out: 1 images are too few; the least is 2."
        in (protocol["cautions"])
    )


@pytest.mark.parametrize(
    "shown, split",
    [
        ((), "test images"),
        (("a", "b"), "centres of training images"),
        (("b",), "test images of A, centres of training images of B"),
    ],
)
def test_the_protocol_says_which_images_are_translated(shown, split):
    one = subject(0.5, 1.5)
    one.reference.shown = shown
    _, protocol = Translations(num=2)(one)
    assert protocol["split"] == split
    assert any("trained on" in caution for caution in protocol["cautions"]) == bool(shown)

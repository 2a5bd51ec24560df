"""The evaluator of generated images, on a run that has hardly begun."""

import dataclasses

import jax
import numpy as np
import pytest

from gans import parallel
from gans.config import build
from gans.data import digits
from gans.errors import UserError
from gans.evaluation.evaluators.samples import Samples
from gans.evaluation.subject import Reference, Subject

ALL = ("frechet", "kernel", "score", "prdc", "vendi", "memorising", "accuracy", "by_class")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Config, facts about the data and networks of the small conditional digits experiment."""
    from configs import cgan_digits

    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    config = cgan_digits.get_config("test")
    source = digits.load(split="train[:64]", image_size=32, channels=1)
    info = source.info(True)
    nets = jax.jit(build.of_run(config).start(info))(jax.random.key(0)).nets
    yield config, info, nets
    patch.undo()


def subject(parts, devices=1):
    config, info, nets = parts
    return Subject(
        nets, 7, build.game(config), info, Reference(config, parallel.make_mesh(devices))
    )


def evaluator(weights, comparisons=ALL, **fields):
    names = tuple(f"comparisons.{name}" for name in comparisons)
    fields = {"num_fake": 40, "num_real": 0} | fields
    return Samples(comparisons=names, weights=weights, **fields)


def test_four_devices_find_what_one_does(parts, weights):
    one, protocol = evaluator(weights)(subject(parts))
    four, same = evaluator(weights)(subject(parts, devices=4))
    assert set(one) == set(four) and protocol == same
    for name, value in one.items():
        # Rounding may make another pixel, and so another rank, of an image or two.
        assert four[name] == pytest.approx(value, rel=5e-3, abs=0.03), name
    assert {"fcd", "kcd", "classifier_score", "recall", "vendi", "class_accuracy"} <= set(one)


def test_the_protocol_says_how_numbers_were_found(parts, weights):
    _, protocol = evaluator(weights, ("frechet",), split="test", seed=3)(subject(parts))
    assert protocol["net"] == "classifier" and len(protocol["weights"]) == 64
    assert (protocol["num_fake"], protocol["num_real"]) == (40, 297)
    assert (protocol["split"], protocol["seed"]) == ("test", 3)
    assert protocol["averaged"] is False  # this run keeps no average
    assert "40 images" in protocol["cautions"][0]


def test_what_is_asked_for_alike_is_made_once(parts, weights):
    one = subject(parts)
    looking = evaluator(weights).looking
    assert one.fake(looking) is one.fake(looking._replace(num_real=5, split="test"))
    assert one.fake(looking) is not one.fake(looking._replace(seed=1))
    assert one.real(looking) is subject_of(one).real(looking)


def subject_of(other):
    """Another step of the same run."""
    return Subject(other.nets, 8, other.game, other.info, other.reference)


def test_averaged_parameters_are_taken_or_left(parts, weights):
    config, info, nets = parts
    net = nets["generator"]
    zero = jax.tree.map(np.zeros_like, net.params)
    averaging = nets | {"generator": net.replace(ema_params=zero, ema_model_state=net.model_state)}
    one = Subject(averaging, 0, build.game(config), info, Reference(config, parallel.make_mesh(1)))
    averaged, protocol = evaluator(weights, ("vendi",))(one)
    assert protocol["averaged"] is True
    assert averaged["vendi"] == pytest.approx(1, abs=1e-3)  # all of them one grey image
    raw, protocol = evaluator(weights, ("vendi",), averaged=False)(one)
    assert protocol["averaged"] is False and raw["vendi"] > 1.0001


def test_mistakes_are_known_before_training(parts, weights):
    config, info, _ = parts
    reference = Reference(config, parallel.make_mesh(1))
    evaluator(weights).prepare(build.game(config), info, reference)
    with pytest.raises(UserError, match="There is no classifier"):
        evaluator("nowhere.npz").prepare(build.game(config), info, reference)
    with pytest.raises(UserError, match="There is no gans.evaluation.evaluators.comparisons.fid"):
        evaluator(weights, ("fid",))
    with pytest.raises(UserError, match="'samples.Samples', which is no function of two views"):
        Samples(comparisons=("samples.Samples",), weights=weights)


def test_what_too_few_images_do_not_allow_is_left_out_and_said(parts, weights):
    numbers, protocol = evaluator(weights, ("prdc", "vendi"), num_fake=4)(subject(parts))
    assert set(numbers) == {"vendi", "vendi_real"}
    assert any(x.startswith("comparisons.prdc is left out") for x in protocol["cautions"])


def test_no_more_real_images_are_taken_than_there_are(parts, weights):
    _, protocol = evaluator(weights, ("vendi",), num_real=10_000)(subject(parts))
    assert protocol["num_real"] == 64


@pytest.mark.parametrize(
    "split, num_real, share",
    [
        ("", 0, 1.0),
        ("", 16, 0.25),
        ("train[:64]", 16, 0.25),
        ("train[32:96]", 0, 0.5),
        ("test", 0, 0),
    ],
)
def test_a_view_of_real_images_knows_how_many_of_those_trained_on_it_has(
    parts, weights, split, num_real, share
):
    looking = evaluator(weights, split=split, num_real=num_real).looking
    assert subject(parts).real(looking).share == share


def test_images_that_were_not_trained_on_tell_nothing_of_copies(parts, weights):
    numbers, protocol = evaluator(weights, ("memorising",), split="test")(subject(parts))
    assert numbers == {} and protocol["left_out"] == ["comparisons.memorising"]


def test_a_collapse_is_a_caution(parts, weights, monkeypatch):
    alike = evaluator(weights, ("vendi",))
    real = subject(parts).real(alike.looking)
    for first, is_said in ((1, True), (64, False)):  # of so many images copies are made
        features = np.resize(real.features[:first], real.features.shape)
        made = dataclasses.replace(real, features=features)
        monkeypatch.setattr(Subject, "fake", lambda self, at, made=made: made)
        _, protocol = alike(subject(parts))
        assert any("Vendi score" in x for x in protocol["cautions"]) is is_said

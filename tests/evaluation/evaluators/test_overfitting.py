"""The evaluator of what a discriminator remembers, on one whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import acgan_cifar10, cgan_cifar10, dcgan_cifar10
from gans import parallel
from gans.config import build
from gans.data.source import Source
from gans.errors import UserError
from gans.evaluation.evaluators.overfitting import Overfitting
from gans.evaluation.subject import Reference, Subject

TRAINED, HELD_OUT = 200, 100  # the brightness of the images


def images(brightness, count, seed):
    rng = np.random.default_rng(seed)
    noise = rng.integers(-3, 4, size=(count, 32, 32, 3))
    labels = (np.arange(count) % 10).astype(np.int32)
    names = tuple("0123456789")
    return Source(np.uint8(brightness + noise), labels, names, (32, 32, 3))


class Known(Reference):
    """Two splits of a data set."""

    def source(self, split):
        return images(HELD_OUT, 30, 1) if split == "test" else images(TRAINED, 50, 0)


def subject(config, devices=1):
    reference = Known(config, parallel.make_mesh(devices))
    info = reference.source("").info(config.data.labels)
    nets = jax.jit(build.of_run(config).start(info))(jax.random.key(0)).nets
    return Subject(nets, 0, build.game(config), info, reference)


def judged_by_brightness(one, sign=1):
    """With a discriminator whose logit is the mean of an image, and a generator of grey 0."""

    def brightness(variables, image, *label, **kwargs):
        del variables, label, kwargs
        return sign * jnp.mean(image, axis=(1, 2, 3))[:, None], {}

    zero = jax.tree.map(jnp.zeros_like, one.nets["generator"].params)
    one.nets = one.nets | {
        "discriminator": one.nets["discriminator"].replace(apply_fn=brightness),
        "generator": one.nets["generator"].replace(params=zero),
    }
    return one


@pytest.mark.parametrize("devices", [1, 4])
def test_it_is_where_held_out_images_lie_between_those_trained_on_and_generated(devices):
    one = judged_by_brightness(subject(dcgan_cifar10.get_config("test"), devices))
    numbers, protocol = Overfitting(num=33)(one)
    assert numbers["logit_trained"] == pytest.approx(TRAINED / 127.5 - 1, abs=2e-3)
    assert numbers["logit_held_out"] == pytest.approx(HELD_OUT / 127.5 - 1, abs=2e-3)
    assert numbers["logit_generated"] == pytest.approx(0, abs=5e-3)
    # 200, 100 and the 127.5 that is grey: 100 / 72.5 of the way.
    assert numbers["overfitting"] == pytest.approx(100 / 72.5, abs=0.02)
    assert protocol["held_out"] == "test" and protocol["cautions"] == []


@pytest.mark.parametrize("experiment", [cgan_cifar10, acgan_cifar10])
def test_discriminators_that_are_told_the_class_or_find_it_are_asked_as_in_training(experiment):
    config = experiment.get_config("test")
    numbers, _ = Overfitting(num=7)(subject(config))
    assert all(np.isfinite(list(numbers.values())))


def test_images_that_are_trained_on_are_not_held_out():
    one = subject(dcgan_cifar10.get_config("test"))
    Overfitting().prepare(one.game, one.info, one.reference)
    with pytest.raises(UserError, match="50 of the 50 images of the split 'train' are trained on"):
        Overfitting(held_out="train").prepare(one.game, one.info, one.reference)
    numbers, protocol = Overfitting(held_out="train")(one)
    assert numbers == {} and protocol["cautions"][0].startswith("Overfitting is left out")


def test_a_discriminator_that_cannot_tell_gives_no_ratio():
    one = judged_by_brightness(subject(dcgan_cifar10.get_config("test")), sign=-1)
    numbers, protocol = Overfitting(num=8)(one)
    assert "overfitting" not in numbers and "does not know" in protocol["cautions"][0]

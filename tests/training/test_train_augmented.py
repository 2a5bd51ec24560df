"""A run whose discriminator sees augmented images, with a probability that adapts."""

import json

import jax
import numpy as np
import pytest

from gans.errors import UserError
from gans.training import train


@pytest.fixture
def small(config):
    with config.unlocked():
        config.augment = {
            "name": "diffaugment.DiffAugment",
            # Moved by 1/4 after every two iterations, and by what the discriminator says.
            "adaptive": {"target": -1.0, "images": 64, "every": 2},
        }
    config.evaluators.quality.every_steps = 0
    config.evaluators.overfitting.every_steps = 0
    return config


def test_two_halves_equal_the_whole_bit_for_bit_and_the_probability_with_them(small, tmp_path):
    whole = train.run(small, tmp_path / "whole")
    small.train.num_steps = 3  # between two moves of the probability, and in a chunk of 2
    half = train.run(small, tmp_path / "halves")
    assert int(half.memory.watch.iterations) == 1
    small.train.num_steps = 6
    again = train.run(small, tmp_path / "halves")
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        if jax.numpy.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = map(jax.random.key_data, (one, other))
        np.testing.assert_array_equal(one, other)
    assert float(whole.memory.watch.probability) > 0 and whole.memory.watch.batch == 8
    lines = [json.loads(x) for x in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    found = [line["augment_p"] for line in lines]  # means of iterations 1 and 2, 3 and 4, 5 and 6
    assert found[0] == 0 and max(found) >= 0.25
    with small.unlocked():
        del small.augment
    with pytest.raises(UserError, match="augment.name: 'diffaugment.DiffAugment' there, None now"):
        train.run(small, tmp_path / "whole")


def test_a_run_without_it_is_not_gone_on_with_it(small, tmp_path):
    augment = small.augment
    with small.unlocked():
        del small.augment
    small.train.num_steps = 2
    train.run(small, tmp_path)
    with small.unlocked():
        small.augment = augment
    with pytest.raises(UserError, match="augment.name: None there, 'diffaugment.DiffAugment' now"):
        train.run(small, tmp_path)

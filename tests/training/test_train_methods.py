"""A run with all that younger methods keep: spectral vectors, penalties' memory, schedules."""

import jax
import numpy as np
import pytest
from test_replicas import CHANGES, assert_same_end, in_float64

from configs import sngan_projection_cifar10
from gans.training import replicas, train

pytestmark = pytest.mark.as_in_use


@pytest.fixture
def config():
    made = sngan_projection_cifar10.get_config("test")
    with made.unlocked():
        made.game = {"name": "latent.joint", "latent_dim": 5}
        made.data.image_size = 8
        made.nets.generator.features = (4,)
        made.nets.discriminator.update({"features": (4,), "downsample": (True,)})
        made.loss.penalties = {
            "lecam": {"name": "penalties.LeCam", "decay": 0.5, "start": 1},
            "r1": {"name": "penalties.R1", "every": 3},
        }
        made.loss.weights.update({"lecam": 0.3, "r1": 0.1})
        made.loss.schedule = {"r1": {"name": "cosine", "end": 0.5, "steps": 4}}
        for section in made.optim.values():
            section.schedule = "constant"
            section.schedules = {"b2": {"name": "cosine", "end": 0.99, "steps": 9}}
        made.optim.generator.schedules.ema_half_life = {"name": "linear", "end": 3.0, "steps": 4}
    made.evaluators.quality.every_steps = 0
    return made


def test_two_halves_equal_the_whole_bit_for_bit(config, tmp_path):
    whole = train.run(config, tmp_path / "whole")
    config.train.num_steps = 3  # in a chunk of 2, and between two lazy penalties
    half = train.run(config, tmp_path / "halves")
    vectors = whole.nets["discriminator"].model_state["spectral"]
    assert any(
        (one != other).any()
        for one, other in zip(
            jax.tree.leaves(vectors),
            jax.tree.leaves(half.nets["discriminator"].model_state["spectral"]),
            strict=True,
        )
    )
    config.train.num_steps = 6
    again = train.run(config, tmp_path / "halves")
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        if jax.numpy.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = map(jax.random.key_data, (one, other))
        np.testing.assert_array_equal(one, other)
    assert int(whole.memory["lecam"].count) == 6


def test_runs_in_one_program_end_as_each_alone(config, tmp_path):
    left = ("image_size", "ema_decay")
    changes = {key: x for key, x in CHANGES.items() if not key.endswith(left)}
    configs = []
    with config.unlocked():
        for section in config.optim.values():
            del section.schedules.b2  # which SGD has not
            section.schedules.learning_rate = {"name": "linear", "end": 0.01, "steps": 4}
    for seed in (0, 1):
        one = config.copy_and_resolve_references()
        one.update_from_flattened_dict(changes | {"seed": seed, "train.num_steps": 4})
        configs.append(one)
    workdirs = [tmp_path / f"together{k}" for k in (0, 1)]
    replicas.run(configs, workdirs)
    alone, exact = tmp_path / "alone", tmp_path / "exact"
    assert_same_end(workdirs[1], train.run(configs[1], alone), in_float64(configs[1], exact))

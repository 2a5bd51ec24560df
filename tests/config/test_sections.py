"""Optional sections of a config: what they make, and how a wrong one is refused."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import dcgan_digits, sngan_cifar10
from gans.config import build
from gans.data.source import DataInfo
from gans.errors import UserError

R1 = {"r1": {"name": "penalties.R1"}}


def changed(path, value, weights=()):
    config = sngan_cifar10.get_config("test")
    section, _, field = path.rpartition(".")
    with config.unlocked():
        place = config
        for name in section.split("."):
            place = place[name]
        place[field] = ConfigDict(value) if isinstance(value, dict) else value
        for name in weights:
            config.loss.weights[name] = 1.0
    return config


@pytest.mark.parametrize(
    ("path", "value", "weights", "message"),
    [
        ("loss.penalties", 3, (), "loss.penalties is 3: it should be a valid dictionary"),
        ("loss.penalties", None, (), "loss.penalties is None: it should be a valid dictionary"),
        ("loss.penalties", {"r1": 3}, (), "loss.penalties.r1 is 3: it should be a valid dict"),
        ("loss.penalties", {"r1": {}}, (), "loss.penalties.r1 has no name: give one, as in"),
        ("loss.penalties", {"r1": {"name": "penalties.R9"}}, (), "There is no gans.losses.*R9"),
        ("loss.penalties", {"r1": R1["r1"] | {"gamma": 1.0}}, (), "r1.name has no field 'gamma'"),
        (
            "loss.penalties",
            {"r1": R1["r1"] | {"every": 0}},
            (),
            "r1.every is 0; it must be a whole",
        ),
        ("loss.penalties", R1, (), r"but the terms of the game .*\['adversarial', .* 'r1', 'real'"),
        ("loss.penalties", {"real": R1["r1"]}, (), "loss.penalties.real has the name of a term"),
        ("loss.penalties", {"adversarial": R1["r1"]}, (), "adversarial has the name of a term"),
        ("loss.schedule", None, (), "loss.schedule is None: it should be a valid dictionary"),
        ("optim.generator.schedules", 3, (), "schedules is 3: it should be a valid dictionary"),
        ("optim.generator.schedules", {"b2": 3}, (), "schedules.b2 is 3"),
        ("optim.generator.schedules", {"b2": {"end": 0.9}}, (), "schedules.b2.name needs name"),
        (
            "optim.generator.schedules",
            {"b3": {"name": "linear"}},
            (),
            "b3 is of a field that optim",
        ),
        (
            "optim.generator.schedules",
            {"learning_rate": {"name": "linear", "end": 0.0}},
            (),
            "follows schedule 'linear' and another in schedules",
        ),
        ("optim.generator.schedules", {"eps": {"name": "linear"}}, (), "no eps that could follow"),
        ("optim.generator.schedules", {"b2": {"name": "linear", "end": 2.0}}, (), "b2.end is 2.0"),
    ],
    ids=str,
)
def test_a_wrong_section_is_refused_in_a_sentence(path, value, weights, message):
    with pytest.raises(UserError, match=message) as error:
        build.experiment(changed(path, value, weights))
    assert "\n" not in str(error.value)


def test_a_game_that_takes_no_penalties_says_so():
    config = dcgan_digits.get_config("test")
    with config.unlocked():
        config.game.name = "latent.two_step"
        config.loss.penalties = R1
    with pytest.raises(UserError, match="latent.two_step takes no loss.penalties; latent.joint"):
        build.experiment(config)


def test_an_average_forgets_by_one_number_alone():
    config = changed("optim.generator.ema_half_life", 100.0)
    config.optim.generator.ema_decay = 0.9
    with pytest.raises(UserError, match="optim.generator has both ema_decay and ema_half_life"):
        build.of_run(config).start(DataInfo(9, (32, 32, 1)))


@pytest.mark.parametrize("name", ["adam", "keras_adam", "rmsprop", "sgd"])
def test_every_optimizers_learning_rate_may_follow_a_schedule(name):
    config = changed(
        "optim.generator.schedules",
        {"learning_rate": {"name": "linear", "end": 1e-5, "steps": 4}},
    )
    config.optim.generator.update({"name": name, "schedule": "constant"})
    tx = build.of_run(config).optimizers()["generator"]
    params = np.ones(3, np.float32)
    state, sizes = tx.init(params), []
    for _ in range(6):
        updates, state = tx.update(np.ones(3, np.float32), state, params)
        sizes.append(float(np.abs(updates).max()))
    assert sizes[4] == pytest.approx(sizes[5], rel=0.5)  # of rmsprop the average still moves
    if name == "sgd":
        expected = [2e-4 + (1e-5 - 2e-4) * min(step, 4) / 4 for step in range(6)]
        np.testing.assert_allclose(sizes, expected, rtol=1e-5)

"""The optional section `augment` of a config."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gans.config import build, ranges
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.games.augmented import Watched
from gans.ops.augment.ada import Ada

DIFF = {"name": "diffaugment.DiffAugment"}
INFO = DataInfo(64, (32, 32, 1), tuple("0123456789"))


def given(config, **fields):
    with config.unlocked():
        config.augment = fields
    return config


def batch(size=2):
    return {"image": jnp.zeros((size, 32, 32, 1)), "label": jnp.zeros((size, 10))}


def first_outcome(experiment, step=0):
    """What the first player's loss is before anything has moved."""
    state, game = jax.jit(experiment.start(INFO))(jax.random.key(0)), experiment.game
    extras = {"step": jnp.int32(step), **game.draw(jax.random.key(0), batch())}
    return game.players[0].loss(state.nets, batch(), extras)


def test_a_config_without_it_has_the_game_as_it_is(config):
    assert set(build.game(config).draw(jax.random.key(0), batch())) == {"latent"}


def test_every_operation_of_ada_has_its_range():
    fields = {f"augment.{name}" for name in Ada.__dataclass_fields__}
    assert fields <= ranges.RANGES.keys()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"policy": ("cutout",)},
        {"probability": 0.5},
        {"discriminators": ("discriminator",)},
        {"name": "ada.Ada", "hue": 0.5, "cutout": 1},
    ],
    ids=str,
)
def test_a_constant_probability_keeps_no_memory(config, fields):
    game = build.experiment(given(config, **(DIFF | fields))).game
    assert set(game.draw(jax.random.key(0), batch())) == {"latent", "augment_key"}
    assert game.memory(batch()) is None


def test_an_adaptive_one_is_in_the_memory(config):
    given(config, **DIFF, adaptive={"target": 0.5})
    state = jax.eval_shape(build.experiment(config).start(INFO), jax.random.key(0))
    assert isinstance(state.memory, Watched) and state.memory.game is None


def test_a_schedule_is_a_factor_over_the_whole_run_however_long_it_becomes(config):
    schedule = {"name": "linear", "begin": 0.0, "end": 1.0}
    given(config, **DIFF, probability=0.6, schedule=schedule)
    config.train.num_steps = 10
    made = build.experiment(config)
    config.train.num_steps = 20
    longer = made.lasting(config)
    for experiment, expected in ((made, 0.3), (longer, 0.15)):
        found = first_outcome(experiment, step=5).metrics["augment_p"]
        assert float(found) == pytest.approx(expected, rel=1e-6)


OWN = """
import dataclasses


@dataclasses.dataclass(frozen=True)
class Scale:
    factor: float = 2.0

    def __call__(self, images, key, probability):
        return images * self.factor * probability


def number():
    return 3
"""


def test_an_augmentation_of_ones_own_is_found_by_its_name(config, tmp_path, monkeypatch):
    (tmp_path / "own_augment.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    given(config, name="own_augment.Scale", factor=0.0)
    outcome = first_outcome(build.experiment(config))
    # Of grey images the untrained discriminator's logit is its bias, 0: both terms are log 2.
    terms = [float(x) for x in outcome.terms.values()]
    np.testing.assert_allclose(terms, np.log(2), rtol=1e-5)
    with pytest.raises(UserError, match="'own_augment.number', which makes no augmentation"):
        build.experiment(given(config, name="own_augment.number"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "diffaugment.Difaugment"}, "gans.ops.augment.diffaugment has .*DiffAugment"),
        ({}, "There is no gans.ops.augment.None; the name has the form"),
        (DIFF | {"polcy": ("cutout",)}, "augment.name has no field 'polcy': did you mean 'policy'"),
        (DIFF | {"policy": ("color",)}, "The policy of DiffAugment is .'color',."),
        (DIFF | {"policy": "cutout"}, "augment.policy is 'cutout': it should be a valid tuple"),
        (DIFF | {"probability": 1.5}, "augment.probability is 1.5; it must be a number from 0 to"),
        ({"name": "ada.Ada", "hue": 2.0}, "augment.hue is 2.0; it must be a number from 0 to 1"),
        ({"name": "ada.Ada", "noise": 1.0}, "augment.name has no field 'noise'"),
        (DIFF | {"discriminators": ("critic",)}, "has 'critic', which is no discriminator"),
        (DIFF | {"discriminators": "discriminator"}, "augment.discriminators is 'discriminator'"),
        (DIFF | {"adaptive": {"goal": 1.0}}, "augment.adaptive.name has no field 'goal'"),
        (DIFF | {"adaptive": {"every": 0}}, "augment.adaptive.every is 0; it must be a whole"),
        (DIFF | {"adaptive": {"target": 2.0}}, "augment.adaptive.target is 2.0"),
        (DIFF | {"adaptive": {"images": 0}}, "augment.adaptive.images is 0"),
        (DIFF | {"adaptive": 3}, "augment.adaptive is 3: it should be a valid dictionary"),
        (DIFF | {"adaptive": {}, "probability": 0.5}, "both adaptive and probability"),
        (DIFF | {"adaptive": {}, "schedule": {"name": "linear"}}, "both adaptive and schedule"),
        (DIFF | {"schedule": {"name": "cubic"}}, "No schedule is called 'cubic'"),
        (DIFF | {"schedule": {"name": "linear", "end": 2.0}}, "augment.schedule.end is 2.0"),
        (DIFF | {"schedule": "linear"}, "augment.schedule is 'linear': it should be a valid dict"),
    ],
    ids=str,
)
def test_a_wrong_field_is_refused_in_a_sentence(config, fields, message):
    with pytest.raises(UserError, match=message) as error:
        build.experiment(given(config, **fields))
    assert str(error.value).endswith((".", "?")) and "\n" not in str(error.value)


def test_what_is_no_section_is_refused(config):
    with config.unlocked():
        config.augment = 3
    with pytest.raises(UserError, match="augment is 3: it should be a valid dictionary"):
        build.experiment(config)

"""The numbers of configs: which are taken, and that all others are refused in a sentence."""

import fnmatch
import importlib
import pathlib

import numpy as np
import pytest

from gans.config import ranges, schema
from gans.errors import UserError

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def fields(name, arg=""):
    config = importlib.import_module(f"configs.{name}").get_config(arg)
    return schema.flatten(config.to_dict())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arg", ["", "test"])
def test_configs_are_in_range_and_every_number_of_theirs_has_one(name, arg):
    given = fields(name, arg)
    ranges.check(given)
    for path, value in given.items():
        entries = value if isinstance(value, tuple) else (value,)
        if any(isinstance(x, int | float) and not isinstance(x, bool) for x in entries):
            assert any(fnmatch.fnmatchcase(path, pattern) for pattern in ranges.RANGES), path


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("path", "values"),
    {
        "seed": (-1, 2**32, 1.0, True, None, "1"),
        "data.batch_size": (0, -4, 10**12, 4.0),
        "data.image_size": (0, 10**6),
        "train.num_steps": (0, 10**12, NAN),
        "train.log_every": (-1,),
        "checkpoint.keep": (0,),
        "mesh.data": (-1,),
        "preview.rows": (0, 10**6),
        "optim.generator.learning_rate": (NAN, INF, -1e-4, 1e6, None, "fast"),
        "optim.generator.b1": (1.0, 1.5, -0.1, NAN),
        "optim.generator.b2": (1.0, NAN),
        "optim.generator.eps": (-1e-8, INF),
        "optim.discriminator.ema_decay": (1.0, -0.5),
        "loss.weights.real": (NAN, INF, -1.0),
        "nets.generator.features": ((4, 0), (4, -1), (4, 10**9), 0, (4, 2.5)),
        "nets.generator.stem_features": (0, 10**9),
        "evaluators.quality.num_fake": (-5, 0, 10**12),
        "evaluators.quality.every_steps": (-5,),
        "evaluators.quality.seed": (-1, 2**32),
        "evaluators.quality.comparisons": (None, (None,), "comparisons.frechet"),
    }.items(),
)
def test_a_number_out_of_range_is_named_with_its_value_and_its_range(path, values):
    given = fields("dcgan_cifar10")
    for value in values:
        with pytest.raises(UserError) as error:
            ranges.check({**given, path: value})
        assert str(error.value).startswith(f"{path} is {value!r}; ")
        assert " must be " in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"optim.generator.learning_rate": 0},  # a network that stands still
        {"optim.generator.learning_rate": 1.0},
        {"optim.generator.eps": 0.0},
        {"loss.weights.real": 0.0},
        {"loss.weights.real": 1e6},
        {"seed": 2**32 - 1},
        {"seed": np.int64(7)},
        {"train.num_steps": 10_000_000},
        {"data.batch_size": 65_536, "data.image_size": 64},
        {"data.image_size": 4096, "data.batch_size": 8},
        {"evaluators.quality.comparisons": ()},
        {"evaluators.quality.every_steps": 0},
    ],
)
def test_what_somebody_may_want_is_taken(changes):
    ranges.check(fields("dcgan_cifar10") | changes)


def test_numbers_that_fill_the_memory_together_are_refused():
    given = fields("dcgan_cifar10")
    with pytest.raises(UserError, match="make batches of 805,306,368,000 numbers"):
        ranges.check(given | {"data.batch_size": 1000, "data.image_size": 16_384})
    with pytest.raises(UserError, match="too many for train.steps_per_call 1; .* to 10 at least"):
        ranges.check(given | {"train.num_steps": 10**8, "train.steps_per_call": 1})

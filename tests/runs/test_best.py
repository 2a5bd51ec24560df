"""What `best/` holds, and what the record says, however a run was killed."""

import math

import numpy as np
import pytest

from gans.errors import UserError
from gans.runs import best
from gans.runs.checkpoints import Checkpoints


def line(step, value, name="fcd", left_out=()):
    values = {} if value is None else {name: value}
    return {
        "step": step,
        "evaluator": "quality",
        "values": values,
        "protocol": {"left_out": list(left_out)},
    }


def offer(keeper, step, value, **about):
    keeper.offer([line(step, value, **about)], {"x": np.float32(step)}, {"iteration": step})


@pytest.fixture
def checkpoints(tmp_path):
    with Checkpoints(tmp_path / "best", keep=1) as made:
        yield made


@pytest.mark.parametrize("highest, kept", [(False, [10, 10, 30]), (True, [10, 20, 20])])
def test_the_best_is_on_disk_when_it_has_been_offered(tmp_path, checkpoints, highest, kept):
    keeper = best.Best(checkpoints, "quality/fcd", highest)
    for step, value, expected in zip((10, 20, 30), (2.0, 3.0, 1.0), kept, strict=True):
        offer(keeper, step, value)
        assert Checkpoints(tmp_path / "best", read_only=True).steps() == [expected]


@pytest.mark.parametrize("highest", [False, True])
def test_a_value_that_is_not_finite_is_never_the_best(checkpoints, highest):
    keeper = best.Best(checkpoints, "quality/fcd", highest)
    for step, value in ((10, math.inf), (20, -math.inf), (30, math.nan)):
        offer(keeper, step, value)
        assert not keeper.lacks([line(step, value)])
    assert checkpoints.steps() == []
    offer(keeper, 40, 5.0)
    assert checkpoints.steps() == [40]


def test_a_held_value_that_is_not_finite_is_beaten(checkpoints):
    checkpoints.save(1, {"x": np.float32(1)}, {"iteration": 1, "best": {"quality/fcd": math.nan}})
    checkpoints.wait()
    keeper = best.Best(checkpoints, "quality/fcd", False)
    offer(keeper, 2, 5.0)
    assert checkpoints.steps() == [2]


def test_an_evaluation_in_the_record_whose_best_was_not_kept_is_missed(checkpoints):
    keeper = best.Best(checkpoints, "quality/fcd", False)
    offer(keeper, 10, 5.0)
    again = best.Best(checkpoints, "quality/fcd", False)
    assert again.lacks([line(20, 4.0)]) == ["quality"]
    assert again.lacks([line(20, 5.0)]) == again.lacks([line(20, 6.0)]) == []


def test_a_value_left_out_is_passed_over_and_one_that_never_is_there_is_refused(checkpoints):
    keeper = best.Best(checkpoints, "quality/fcd", False)
    offer(keeper, 10, None, left_out=["comparisons.frechet"])
    with pytest.raises(UserError, match="'fcd', which evaluators.quality does not have: it has fi"):
        offer(keeper, 20, 1.0, name="fid")
    assert checkpoints.steps() == []

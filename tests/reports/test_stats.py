"""Means and intervals over seeds, by hand and against scipy's Welch test."""

import pytest
from scipy import stats

from gans.reports.stats import difference, summary


def test_a_summary_by_hand():
    assert summary([1.0, 2.0, 6.0]) == pytest.approx((3.0, 7**0.5, 3))  # (4 + 1 + 9) / 2
    assert summary([5.0]) == (5.0, None, 1)


def test_two_seeds_a_side_by_hand():
    # Variances of 2 and 2, over two seeds each: a standard error of sqrt(2), 2 degrees of freedom,
    # of whose t distribution 4.302653 is the quantile 0.975.
    found = difference([3.0, 5.0], [1.0, 3.0])
    assert found == pytest.approx((2.0, 2 - 4.302653 * 2**0.5, 2 + 4.302653 * 2**0.5), rel=1e-6)


@pytest.mark.parametrize(
    "values, others",
    [
        ([48.2, 50.1, 47.7], [39.0, 44.5, 41.2, 40.8]),
        ([0.1, 0.9], [0.4, 0.41, 0.42, 0.43, 0.44]),
        ([1e-3, 2e-3, 3e-3], [1e3, 2e3]),
    ],
)
def test_the_interval_is_that_of_welchs_test(values, others):
    expected = stats.ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
    found = difference(values, others)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.value == pytest.approx((found.low + found.high) / 2, rel=1e-9)
    back = difference(others, values)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low), rel=1e-9)


def test_one_seed_gives_no_interval():
    assert difference([3.0], [1.0, 2.0]) == (1.5, None, None)
    assert difference([3.0, 4.0], [1.0]) == (2.5, None, None)


def test_seeds_that_agree_exactly_give_an_interval_without_width():
    assert difference([3.0, 3.0], [1.0, 1.0]) == (2.0, 2.0, 2.0)

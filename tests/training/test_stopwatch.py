"""The time of training against chunks whose times are known."""

import pytest

from gans.training.stopwatch import Stopwatch


def test_only_the_time_of_chunks_counts_and_not_the_first():
    watch = Stopwatch()
    watch.add(10, begun=0, ended=100, waited=0)  # with the compiler
    assert watch.lap() is None
    # Begun while the one before was at work: 2 s each, whenever the host came to look.
    watch.add(10, begun=90, ended=102, waited=1)
    watch.add(10, begun=101, ended=104, waited=0)
    lap = watch.lap()
    assert lap.training == pytest.approx(4 / 20)
    assert lap.waiting == pytest.approx(1 / 4)
    assert lap.whole == pytest.approx(4 / 20)


def test_an_evaluation_is_no_training_but_time_until_the_end():
    watch = Stopwatch()
    watch.add(10, begun=0, ended=1, waited=0)
    watch.add(10, begun=0.5, ended=2, waited=0)
    # The host evaluates for 60 s, and sets about the next chunk then.
    watch.add(10, begun=62, ended=63, waited=0)
    lap = watch.lap()
    assert lap.training == pytest.approx(2 / 20)
    assert lap.whole == pytest.approx(62 / 20)
    watch.add(10, begun=62.5, ended=64, waited=0)
    lap = watch.lap()
    assert lap.training == pytest.approx(1 / 10)
    assert lap.whole == pytest.approx(1 / 10 + 60 / 30)
    assert watch.lap() is None

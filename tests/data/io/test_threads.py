import threading
import time

import pytest

from gans.data.io import threads


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_chunks_cover_the_range_once(count):
    seen = []
    threads.for_each_chunk(
        lambda start, stop: seen.append((start, stop)), count, chunk=3, description=""
    )
    assert sorted(seen) == [(i, min(i + 3, count)) for i in range(0, count, 3)]


def test_an_error_reaches_the_caller_and_stops_the_rest():
    calls = []

    def fail(start, stop):
        calls.append(start)
        time.sleep(0.01)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        threads.for_each_chunk(fail, 1000, chunk=1, description="")
    assert len(calls) < 500


def test_a_budget_is_shared_and_what_is_more_than_all_of_it_comes_alone():
    budget, order = threads.Budget(10), []
    first, second = threading.Event(), threading.Event()

    def use(amount, name, until):
        with budget.taken(amount):
            order.append(name)
            assert until is None or until.wait(20)

    def start(*args):
        thread = threading.Thread(target=use, args=args)
        thread.start()
        return thread

    with budget.taken(4):
        small = start(6, "fits", first)
        while "fits" not in order:
            time.sleep(0.001)
        large = start(100, "alone", second)
        time.sleep(0.02)
        assert order == ["fits"]
    first.set()
    small.join(20)
    while "alone" not in order:
        time.sleep(0.001)
    last = start(1, "after", None)
    time.sleep(0.02)
    assert order == ["fits", "alone"]
    second.set()
    large.join(20)
    last.join(20)
    assert order == ["fits", "alone", "after"]

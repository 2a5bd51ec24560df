import time

import pytest

from gans.data import threads


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

import numpy as np
import pytest

from gans.data.io import splits
from gans.errors import UserError

SIZES = {"train": 200, "test": 30}


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", [("train", 0, 200)]),
        ("train+test", [("train", 0, 200), ("test", 0, 30)]),
        ("test + train", [("test", 0, 30), ("train", 0, 200)]),
        ("all", [("train", 0, 200), ("test", 0, 30)]),
        ("train[:80%]", [("train", 0, 160)]),
        ("train[80%:]", [("train", 160, 200)]),
        ("test[:5%]", [("test", 0, 2)]),  # 1.5 rounds to even.
        ("train[100:150]+test[-20:]", [("train", 100, 150), ("test", 10, 30)]),
        ("train[:-10]", [("train", 0, 190)]),
        ("train[0:0]+test", [("test", 0, 30)]),
    ],
)
def test_resolve(split, expected):
    assert splits.resolve(split, SIZES) == [
        (name, slice(start, stop)) for name, start, stop in expected
    ]


@pytest.mark.parametrize("percent", range(1, 100, 7))
def test_complementary_ranges_partition_a_split(percent):
    indices = [
        index
        for split in (f"train[:{percent}%]", f"train[{percent}%:]")
        for name, part in splits.resolve(split, SIZES)
        for index in np.arange(SIZES[name])[part]
    ]
    assert indices == list(range(200))


def test_plain_name_may_hold_any_characters():
    assert splits.resolve("my split[1]", {"my split[1]": 3}) == [("my split[1]", slice(0, 3))]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("trian", "unknown split"),
        ("train[:201]", "beyond the end"),
        ("train[-201:]", "beyond the end"),
        ("train[", "Malformed"),
        ("train[3]", "Malformed"),
        ("train[1.5:3]", "Malformed"),
        ("train[::2]", "Malformed"),
        ("train[:110%]", "Malformed"),
        ("all[:10]", "Malformed"),
        ("train+", "Malformed"),
        ("", "Malformed"),
        ("train[5:5]", "holds no examples"),
        ("train[20:10]", "holds no examples"),
    ],
)
def test_errors_name_the_known_splits(split, message):
    with pytest.raises(UserError, match=message) as caught:
        splits.resolve(split, SIZES)
    assert "train (200 examples), test (30 examples)" in str(caught.value)
    assert "\n" not in str(caught.value)

"""The kernel distance against torch-fidelity and numbers worked out by hand."""

import numpy as np
import pytest
import torch

from gans.evaluation.metrics import kernel


def column(*values):
    return np.float32(values)[:, None]


def test_by_hand():
    # (xy + 1)^3: 1 and 1 within the sets, and 1, 1, 1, 27 between them.
    assert kernel.squared_mmd(column(0, 1), column(0, 2)) == pytest.approx(2 - 2 * 30 / 4)
    # Four times 1 and twice 125 within the second; 1, 1, 1, 1, 27, 27 between.
    found = kernel.squared_mmd(column(0, 1), column(0, 2, 2))
    assert found == pytest.approx(1 + 254 / 6 - 2 * 58 / 6)
    # Inner products are divided by the dimension: (6 / 3 + 1)^3 everywhere but (3 / 3 + 1)^3.
    x, y = np.float32([[1, 1, 1], [3, 3, 0]]), np.float32([[2, 2, 2], [2, 2, 2]])
    assert kernel.squared_mmd(x, y) == pytest.approx(27 + 125 - 2 * (27 + 125) / 2)


def test_the_distance_is_torch_fidelitys(features, torch_fidelity):
    real, fake = map(np.float64, features)
    options = {"kid_subsets": 7, "kid_subset_size": 60, "rng_seed": 3, "verbose": False}
    expected = torch_fidelity.metric_kid.kid_features_to_metric(
        torch.from_numpy(real), torch.from_numpy(fake), **options
    )
    mean, deviation = kernel.distance(real, fake, subsets=7, size=60, seed=3)
    assert mean == pytest.approx(expected[torch_fidelity.KEY_METRIC_KID_MEAN], rel=1e-9)
    assert deviation == pytest.approx(expected[torch_fidelity.KEY_METRIC_KID_STD], rel=1e-9)
    # Of float32 features too the sums are of float64.
    assert kernel.distance(*features, subsets=7, size=60, seed=3) == (mean, deviation)
    assert abs(mean) > 0.01


def test_the_kernel_matrix_may_be_summed_in_parts(features, monkeypatch):
    whole = kernel.squared_mmd(*features)
    monkeypatch.setattr(kernel, "_AT_ONCE", 700)
    assert kernel.squared_mmd(*features) == pytest.approx(whole, rel=1e-9)


def test_it_is_symmetric_and_of_no_order(features):
    real, fake = features
    found = kernel.squared_mmd(real, fake)
    assert kernel.squared_mmd(fake, real) == pytest.approx(found, rel=1e-9)
    assert kernel.squared_mmd(real[::-1], fake) == pytest.approx(found, rel=1e-9)


def test_between_sets_of_one_distribution_it_is_zero_on_average():
    random = np.random.default_rng(0)
    found = [kernel.squared_mmd(*random.normal(size=(2, 8, 4))) for _ in range(400)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20
    # The biased estimate would be above this by the diagonals' excess, over N.
    assert np.std(found) / 20 < 0.1


def test_the_distance_grows_with_noise(features):
    real, _ = features
    noise = np.random.default_rng(0).normal(size=real.shape)
    found = [kernel.squared_mmd(real, real + s * noise) for s in (0.5, 1, 2)]
    assert found == sorted(found) and found[-1] > 0


def test_the_seed_chooses_the_subsets(features):
    first, again, other = (kernel.distance(*features, 3, 50, seed) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("size", [1, 101])
def test_subsets_must_fit(features, size):
    with pytest.raises(ValueError, match=f"Subsets of {size} images .* 120 and 100; .* 2 to 100"):
        kernel.distance(*features, size=size)


def test_there_must_be_a_subset(features):
    with pytest.raises(ValueError, match="over 0 subsets"):
        kernel.distance(*features, subsets=0, size=50)

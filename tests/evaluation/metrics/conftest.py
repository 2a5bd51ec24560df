"""What the tests of metrics share."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def features():
    """Float32 features of 120 real and 100 generated images, alike but not quite, and not round."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(24, 24)) * np.geomspace(0.5, 0.05, 24)
    real = np.abs(random.normal(size=(120, 24))) @ mixing
    fake = np.abs(random.normal(size=(100, 24)) + 0.3) @ mixing
    return np.float32(real), np.float32(fake)

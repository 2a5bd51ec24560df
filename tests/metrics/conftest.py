"""What the tests of metrics share."""

import importlib

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def torch_fidelity():
    """The package, of which only functions of features are used.

    It imports torchvision, which fails beside another build of PyTorch than its own, as that for
    CPUs alone, for want of two operators. No metric uses them, so their names are enough.
    """
    try:
        return importlib.import_module("torch_fidelity")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        return importlib.import_module("torch_fidelity")


@pytest.fixture(scope="session")
def features():
    """Float32 features of 120 real and 100 generated images, alike but not quite, and not round."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(24, 24)) * np.geomspace(0.5, 0.05, 24)
    real = np.abs(random.normal(size=(120, 24))) @ mixing
    fake = np.abs(random.normal(size=(100, 24)) + 0.3) @ mixing
    return np.float32(real), np.float32(fake)

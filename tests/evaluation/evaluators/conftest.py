"""A feature net, and a run to look at, small enough for tests."""

import jax
import numpy as np
import pytest

from gans.core.pixels import to_float
from gans.evaluation.features import classifier


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """The file of an untrained classifier of the ten digits."""
    fields = {"stem_features": 4, "features": (8, 6), "blocks": (True, False)}
    module = classifier.Classifier(10, **fields)
    image = to_float(np.zeros((1, 8, 8, 3), np.uint8))
    variables = jax.jit(lambda key: module.init(key, image, train=False))(jax.random.key(0))
    path = tmp_path_factory.mktemp("weights") / "tiny.npz"
    about = {"classes": tuple("0123456789"), "network": fields}
    classifier.save(path, variables, about)
    return str(path)

"""Reconstruction losses against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gans.losses.reconstruction import l1

IMAGES = np.float32([1.0, -1.0, 0.5, 0.25]).reshape(2, 1, 2, 1)
TARGETS = np.float32([0.5, 1.0, 0.5, 1.0]).reshape(2, 1, 2, 1)


def test_l1_is_the_mean_over_pixels_and_images():
    loss = l1(IMAGES, TARGETS)
    assert loss.shape == () and loss.dtype == jnp.float32
    assert float(loss) == pytest.approx((0.5 + 2.0 + 0.0 + 0.75) / 4)
    assert float(l1(TARGETS, IMAGES)) == float(loss)
    assert float(l1(IMAGES, IMAGES)) == 0.0


def test_the_gradient_of_l1_is_the_sign_over_the_number_of_pixels():
    gradient = np.ravel(jax.grad(l1)(jnp.asarray(IMAGES), TARGETS))
    np.testing.assert_allclose(gradient[[0, 1, 3]], [0.25, -0.25, -0.25])

"""What metrics see through."""

import jax
import jax.numpy as jnp
import numpy as np

from gans.evaluation.features.network import FeatureNet, Seen


def test_a_network_is_applied_with_its_variables_and_compiled_once():
    traced = []

    def apply(variables, images):
        traced.append(images.shape)
        means = jnp.mean(images.astype(jnp.float32), (1, 2))
        return Seen(means, means @ variables["kernel"])

    kernels = np.array([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]], np.float32)
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[0, 0, 0] = 16, 32, 48
    for kernel, logit in zip(kernels, (14.0, 32.0), strict=True):
        net = FeatureNet("means", "00", "none", ("one",), apply, {"kernel": kernel})
        seen = net(jax.device_put(images))
        np.testing.assert_allclose(seen.features, [[1, 2, 3], [0, 0, 0]])
        np.testing.assert_allclose(seen.logits, [[logit], [0]])
    assert traced == [(2, 4, 4, 3)]

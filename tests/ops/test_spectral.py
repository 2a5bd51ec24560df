"""Power iteration against the singular values of numpy and against PyTorch, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from closeness import exactly

from gans.ops import spectral

SHAPES = [(5, 7), (7, 5), (1, 4), (6, 1), (9, 36)]


def matrix_and_u(shape):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=shape).astype(np.float32)
    u = rng.normal(size=shape[0])
    return matrix, (u / np.linalg.norm(u)).astype(np.float32)


def after(steps, matrix, u):
    """Sigma and u after some steps, one after the other."""
    for _ in range(steps):
        sigma, u = spectral.moved(matrix, u)
    return sigma, u


@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.parametrize("shape", SHAPES)
def test_sigma_is_that_of_the_singular_values(shape, steps):
    matrix, u = matrix_and_u(shape)
    left, values, _ = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    # A step multiplies the part of u along a singular vector by the square of its value, and sigma
    # is the ratio of the norms of W W^T u and W^T u, where u is the one before the last step.
    parts = (left.T @ u) * (values / values[0]) ** (2 * steps - 2)
    expected = np.linalg.norm(values**2 * parts) / np.linalg.norm(values * parts)
    sigma, new = exactly(lambda *given: after(steps, *given))(matrix, u)
    np.testing.assert_allclose(sigma, expected, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(new), 1, rtol=1e-12)
    assert sigma <= values[0] * (1 + 1e-12)
    if steps == 50:
        # What is left of the other vectors is the ratio of the values to the power of 100.
        np.testing.assert_allclose(sigma, values[0], rtol=1e-3)
    # float32 rounds each of the sums, of at most 36 products, a few times in the last step.
    rounded, _ = jax.jit(lambda *given: after(steps, *given))(matrix, u)
    np.testing.assert_allclose(rounded, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_sigma_without_a_step_is_that_of_u_whatever_its_norm(shape):
    matrix, u = matrix_and_u(shape)
    expected = np.linalg.norm(matrix.T.astype(np.float64) @ (u / np.linalg.norm(np.float64(u))))
    for scale in (1.0, 0.25):
        found = exactly(spectral.still)(matrix, scale * u)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_vector_and_gradient_are_those_of_pytorch(shape):
    matrix, u = matrix_and_u(shape)
    dy = np.random.default_rng(1).normal(size=shape)
    layer = torch.nn.utils.spectral_norm(torch.nn.Linear(*shape[::-1], bias=False), eps=1e-12)
    layer = layer.double()
    layer.weight_orig.data, layer.weight_u = (torch.tensor(a).double() for a in (matrix, u))
    layer(torch.zeros(1, shape[1], dtype=torch.float64))
    (layer.weight * torch.tensor(dy)).sum().backward()

    def loss(matrix, u, dy):
        sigma, u = spectral.moved(matrix, u)
        return jnp.sum(dy * matrix / sigma), (matrix / sigma, u)

    gradient, (weights, new) = exactly(jax.grad(loss, has_aux=True))(matrix, u, dy)
    np.testing.assert_allclose(weights, layer.weight.detach(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(new, layer.weight_u, rtol=0, atol=1e-10)
    np.testing.assert_allclose(gradient, layer.weight_orig.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("form", ["moved", "still"])
def test_vectors_are_constants_of_the_gradient(form):
    matrix, u = matrix_and_u((5, 7))
    sigma = {"moved": lambda w, u: spectral.moved(w, u)[0], "still": spectral.still}[form]
    gradient = exactly(jax.grad(sigma))(matrix, u)
    # The outer product of two unit vectors, which W takes to sigma.
    values = np.linalg.svd(gradient, compute_uv=False)
    np.testing.assert_allclose(values, [1, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose((gradient * matrix).sum(), exactly(sigma)(matrix, u), rtol=1e-12)


def test_a_matrix_of_zeros_leaves_the_vector_as_it_is():
    _, u = matrix_and_u((3, 4))
    sigma, new = spectral.moved(jnp.zeros((3, 4)), u)
    assert float(sigma) == float(spectral.still(jnp.zeros((3, 4)), u)) == 0
    np.testing.assert_array_equal(new, u)


def test_it_starts_with_a_unit_vector_that_the_key_decides():
    one, same, other = (spectral.start(jax.random.key(i), 50) for i in (0, 0, 1))
    np.testing.assert_allclose(np.linalg.norm(one), 1, rtol=1e-6)
    np.testing.assert_array_equal(one, same)
    # Of unit vectors drawn apart the product has a deviation of 0.14.
    assert abs(np.dot(one, other)) < 0.6

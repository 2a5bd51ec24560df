"""Optimizers against Keras and the paper's formula, schedules against points worked out by hand."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
import torch

from gans.core import optim
from gans.errors import UserError

RATE, B1, B2, EPS = 2e-4, 0.5, 0.999, 1e-7
# Of `1 - 0.999^t` in float32, which has but four significant digits at t = 1; of any step, then.
ROUNDED = float(np.finfo(np.float32).eps) / (1 - B2)

# One column an element, one row a step. Where a gradient is as small as epsilon, or
# smaller, it matters whether epsilon is added before or after the bias correction.
GRADIENTS = np.float32(
    [
        [1.0, 1e-3, 1e-6, 1e-9, 0.0, -3e-7],
        [-0.5, 2e-3, 3e-6, 2e-9, 0.0, 1e-7],
        [0.1, 0.0, -1e-6, -1e-9, 1e-9, 1e-7],
        [3.0, -1e-3, 1e-7, 5e-9, 0.0, 1e-8],
        [0.0, 1e-3, 1e-6, 1e-9, 1e-3, 0.0],
    ]
)


def trajectory(tx, gradients):
    """Parameters after each step, from zero so that small updates are not lost in rounding."""
    params = jnp.zeros(gradients.shape[1])
    state = tx.init(params)
    path = []
    for grads in jnp.asarray(gradients):
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return np.stack(path)


def adam_in_float64(gradients):
    """Kingma and Ba 2015, the closing remark of section 2, literally."""
    m = v = position = np.zeros(gradients.shape[1])
    path = []
    for t, g in enumerate(np.float64(gradients), 1):
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * g * g
        rate = RATE * np.sqrt(1 - B2**t) / (1 - B1**t)
        position = position - rate * m / (np.sqrt(v) + EPS)
        path.append(position)
    return np.stack(path)


def adam_of_pytorch(gradients):
    params = torch.zeros(gradients.shape[1], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([params], lr=RATE, betas=(B1, B2), eps=EPS)
    path = []
    for grads in np.float64(gradients):
        params.grad = torch.from_numpy(grads)
        adam.step()
        path.append(params.detach().numpy().copy())
    return np.stack(path)


def adam_of_keras(gradients):
    adam = keras.optimizers.Adam(RATE, beta_1=B1, beta_2=B2, epsilon=EPS)
    params = keras.Variable(np.zeros(gradients.shape[1], np.float32))
    adam.build([params])
    path = []
    for grads in gradients:
        adam.apply([jnp.asarray(grads)], [params])
        path.append(np.asarray(params.value))
    return np.stack(path)


def test_keras_adam_takes_the_steps_of_keras():
    ours = trajectory(optim.keras_adam(RATE, B1, B2, EPS), GRADIENTS)
    # Relative, with no absolute slack: a step of 1e-9 must be right too.
    np.testing.assert_allclose(ours, adam_of_keras(GRADIENTS), rtol=ROUNDED, atol=0)
    np.testing.assert_allclose(ours, adam_in_float64(GRADIENTS), rtol=ROUNDED, atol=1e-12)


def test_adam_takes_the_steps_of_optax_and_of_pytorch():
    ours = trajectory(optim.adam(RATE, B1, B2, EPS), GRADIENTS)
    theirs = trajectory(optax.adam(RATE, B1, B2, EPS), GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=ROUNDED, atol=0)
    np.testing.assert_allclose(ours, adam_of_pytorch(GRADIENTS), rtol=ROUNDED, atol=1e-12)
    # These gradients do tell the two forms of Adam apart.
    ratio = ours[0, 2] / adam_in_float64(GRADIENTS)[0, 2]
    assert ratio == pytest.approx((1e-6 + EPS / np.sqrt(1 - B2)) / (1e-6 + EPS), rel=1e-3)


def test_adam_keeps_the_state_of_optax():
    # Which checkpoints hold.
    params = {"kernel": jnp.ones((2, 3))}
    ours, theirs = (make(RATE).init(params) for make in (optim.adam, optax.adam))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)


class OneAdamOfKeras2:
    """The Adam of Keras 2, by which several models were compiled: moments for each, one count.

    As `keras.optimizers.Adam.get_updates` of version 2.3: `t` is the count of all updates and one.
    """

    def __init__(self):
        self.iterations, self.moments, self.paths = 0, {}, {}

    def update(self, model, grads):
        m, v, position = self.moments.get(model, np.zeros((3, len(grads))))
        t = self.iterations + 1
        rate = RATE * np.sqrt(1 - B2**t) / (1 - B1**t)
        m = B1 * m + (1 - B1) * grads
        v = B2 * v + (1 - B2) * grads**2
        position = position - rate * m / (np.sqrt(v) + EPS)
        self.iterations, self.moments[model] = t, (m, v, position)
        self.paths.setdefault(model, []).append(position)


def test_a_shared_count_takes_the_steps_of_keras_2_with_one_adam_for_both_models():
    rng = np.random.default_rng(0)
    grads = np.float32(rng.normal(size=(12, 3, 4)) * [1, 1e-3, 1e-6, 1e-9])
    shared = OneAdamOfKeras2()
    for d_real, d_fake, g in np.float64(grads):
        shared.update("discriminator", d_real)
        shared.update("discriminator", d_fake)
        shared.update("generator", g)
    ours = {
        "discriminator": (optim.Turns((1, 2), 3), grads[:, :2].reshape(24, 4)),
        "generator": (optim.Turns((3,), 3), grads[:, 2]),
    }
    for model, (turns, given) in ours.items():
        tx = optim.keras_adam(RATE, B1, B2, EPS, turns)
        # 1 - 0.999^t has but four significant digits in float32 at t = 1.
        path = trajectory(tx, given)
        np.testing.assert_allclose(path, shared.paths[model], rtol=1e-4, atol=1e-12)
    alone = trajectory(optim.keras_adam(RATE, B1, B2, EPS), grads[:, 2])
    assert np.abs(alone[9] / shared.paths["generator"][9] - 1).max() > 0.3


def test_turns_count_the_steps_of_all():
    for turns, expected in [
        (optim.Turns((1, 2), 3), [1, 2, 4, 5, 7, 8]),
        (optim.Turns((3,), 3), [3, 6, 9, 12, 15, 18]),
        (optim.Turns((1,), 1), [1, 2, 3, 4, 5, 6]),
    ]:
        np.testing.assert_array_equal(turns.count(jnp.arange(1, 7)), expected)


def test_the_papers_adam_shares_a_count_too_and_what_counts_nothing_is_left_alone():
    turns, spec = optim.Turns((2,), 2), {"learning_rate": RATE, "schedule": "constant"}
    ours = optim.optimizer("adam", **spec, num_steps=9, turns=turns, b1=B1, b2=B2, eps=0.0)
    step = trajectory(ours, np.full((1, 1), 0.5, np.float32))[0, 0]
    # m = g / 2 and v = g^2 / 1000, corrected for two steps.
    expected = RATE * np.sqrt(1 - B2**2) / (1 - B1**2) * 0.5 / np.sqrt(1 - B2)
    assert step == pytest.approx(-expected, rel=1e-4)
    for name in ("sgd", "rmsprop"):
        made = (optim.optimizer(name, **spec, num_steps=9, turns=x) for x in (turns, None))
        one, other = (trajectory(tx, GRADIENTS) for tx in made)
        np.testing.assert_array_equal(one, other)


def test_keras_adam_has_the_defaults_of_keras():
    ours = trajectory(optim.keras_adam(1e-3), GRADIENTS)
    adam = keras.optimizers.Adam()
    params = keras.Variable(np.zeros(GRADIENTS.shape[1], np.float32))
    adam.build([params])
    for grads in GRADIENTS:
        adam.apply([jnp.asarray(grads)], [params])
    np.testing.assert_allclose(ours[-1], params.value, rtol=ROUNDED, atol=0)


def test_keras_adam_runs_under_jit():
    tx = optim.keras_adam(RATE, B1, B2, EPS)
    compiled = optax.GradientTransformation(tx.init, jax.jit(tx.update))
    np.testing.assert_allclose(
        trajectory(compiled, GRADIENTS), adam_of_keras(GRADIENTS), rtol=ROUNDED, atol=0
    )


@pytest.mark.parametrize(
    ("schedule", "num_steps", "rates"),
    [
        ("constant", 4, [2.0, 2.0, 2.0, 2.0, 2.0, 2.0]),
        ("linear", 4, [2.0, 1.5, 1.0, 0.5, 0.0, 0.0]),
        ("constant_linear", 4, [2.0, 2.0, 2.0, 1.0, 0.0, 0.0]),
        # An odd number: two steps constant, the remaining three to zero.
        ("constant_linear", 5, [2.0, 2.0, 2.0, 4 / 3, 2 / 3, 0.0]),
    ],
)
def test_a_schedule_gives_the_rates_worked_out_by_hand(schedule, num_steps, rates):
    tx = optim.optimizer("sgd", learning_rate=2.0, schedule=schedule, num_steps=num_steps)
    path = trajectory(tx, np.ones((6, 1), np.float32))
    steps = -np.diff(path[:, 0], prepend=0.0)
    np.testing.assert_allclose(steps, rates, rtol=1e-5, atol=1e-6)


def test_every_schedule_is_covered_here():
    assert set(optim.SCHEDULES) == {"constant", "linear", "constant_linear"}


def test_a_schedule_drives_keras_adam():
    tx = optim.optimizer("keras_adam", learning_rate=0.1, schedule="linear", num_steps=2, eps=0.0)
    # Without epsilon, a constant gradient makes every step of Adam one learning rate long.
    path = trajectory(tx, np.full((3, 1), 0.3, np.float32))
    np.testing.assert_allclose(path[:, 0], [-0.1, -0.15, -0.15], rtol=1e-4)


def test_constants_reach_the_optimizer():
    tx = optim.optimizer(
        "keras_adam", learning_rate=RATE, schedule="constant", num_steps=9, b1=B1, b2=B2, eps=EPS
    )
    np.testing.assert_allclose(
        trajectory(tx, GRADIENTS), adam_of_keras(GRADIENTS), rtol=ROUNDED, atol=0
    )


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_every_optimizer_takes_the_constants_of_adam_and_descends(name):
    # Those that an optimizer does not have are left out.
    tx = optim.optimizer(
        name, learning_rate=0.1, schedule="constant", num_steps=9, b1=0.5, b2=0.9, eps=1e-7
    )
    path = trajectory(tx, np.float32([[1.0, -1.0]]))
    assert path[0, 0] < 0 < path[0, 1]


@pytest.mark.parametrize(
    ("name", "schedule", "message"),
    [
        ("adamm", "constant", "adamm.*adam, keras_adam"),
        ("adam", "cosine", "cosine.*constant, linear"),
    ],
)
def test_an_unknown_name_is_the_users_error_and_lists_the_known(name, schedule, message):
    with pytest.raises(UserError, match=message):
        optim.optimizer(name, learning_rate=1e-3, schedule=schedule, num_steps=1)


def test_a_constant_that_the_optimizer_does_not_have_is_refused():
    with pytest.raises(UserError, match="'adam' has no beta1"):
        optim.optimizer("adam", learning_rate=1.0, schedule="constant", num_steps=1, beta1=0.5)


def test_adam_whose_b2_follows_a_schedule_is_pytorchs_with_betas_set_anew():
    decays = [0.9, 0.92, 0.95, 0.97, 0.99]
    follow = {"b2": lambda step: jnp.asarray(decays)[step]}
    tx = optim.optimizer(
        "adam",
        learning_rate=RATE,
        schedule="constant",
        num_steps=5,
        schedules=follow,
        b1=0.0,
        b2=0.9,
        eps=1e-8,
    )
    params = torch.zeros(GRADIENTS.shape[1], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([params], lr=RATE, betas=(0.0, 0.9), eps=1e-8)
    path = []
    for b2, grads in zip(decays, np.float64(GRADIENTS), strict=True):
        adam.param_groups[0]["betas"] = (0.0, b2)
        params.grad = torch.tensor(grads)
        adam.step()
        path.append(params.detach().numpy().copy())
    # 1 - b2^t has lost at most one digit to cancellation.
    np.testing.assert_allclose(trajectory(tx, GRADIENTS), path, rtol=1e-5)


def test_what_follows_no_schedule_is_refused():
    fields = {"learning_rate": RATE, "schedule": "constant", "num_steps": 5}
    with pytest.raises(UserError, match="'adam' has no eps that could follow a schedule"):
        optim.optimizer("adam", **fields, schedules={"eps": lambda step: 1e-8})
    with pytest.raises(UserError, match="'rmsprop' has no b2 that could"):
        optim.optimizer("rmsprop", **fields, schedules={"b2": lambda step: 0.9})

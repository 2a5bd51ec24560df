"""The relativistic game on networks of one parameter, against numbers worked out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_latent import Discriminator, Generator

from gans.core.state import create_state
from gans.core.update import update
from gans.errors import UserError
from gans.games import relativistic
from gans.losses import adversarial, penalties
from gans.losses.penalties import Penalty

IMAGES = np.float32([0.5, -1.0, 2.0, 0.25, 1.5, -0.75]).reshape(6, 1, 1, 1)
RATE, GAMMA = 0.1, 0.3
BOTH = {"r1": Penalty(penalties.R1()), "r2": Penalty(penalties.R2())}


class Bare(Discriminator):
    """Without running statistics, which penalties refuse."""

    def count(self, train):
        pass


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def begin(game, batch, discriminator):
    return create_state(
        jax.random.key(0),
        game,
        batch,
        nets={"generator": Generator(), "discriminator": discriminator},
        optimizers={name: optax.sgd(RATE) for name in ("generator", "discriminator")},
        weights={"paired": 1.0, "adversarial": 2.0, "r1": GAMMA, "r2": GAMMA},
    )


def test_moves_are_those_worked_out_by_hand():
    game = relativistic.paired(adversarial=adversarial.non_saturating, latent_dim=2, penalties=BOTH)
    batch = {"image": IMAGES}
    state = begin(game, batch, Bare())
    noise = game.draw(jax.random.fold_in(state.key, 0), batch)
    after, metrics = jax.jit(lambda s: update(s, batch, game=game))(state)
    z, x, a, w = np.asarray(noise["latent"]).sum(-1), IMAGES.ravel(), 0.4, 0.7

    real, fake = x[0::2], w * z[0::2]
    lead = a * (real - fake)
    # D's gradient with respect to an image is `a` everywhere: R1 = R2 = a^2 / 2.
    slope = np.mean(-sigmoid(-lead) * (real - fake)) + 2 * GAMMA * a
    assert metrics["discriminator/paired"] == pytest.approx(np.mean(np.log1p(np.exp(-lead))), 1e-5)
    assert metrics["discriminator/r1"] == pytest.approx(a**2 / 2, rel=1e-5)
    assert metrics["discriminator/r2_weighted"] == pytest.approx(GAMMA * a**2 / 2, rel=1e-5)
    assert metrics["discriminator/accuracy"] == pytest.approx(np.mean(lead > 0))
    a -= RATE * slope
    assert float(after.nets["discriminator"].params["weight"]) == pytest.approx(a, rel=1e-5)

    # The generator's half of the batch is the other one.
    real, fake = x[1::2], w * z[1::2]
    behind = a * (fake - real)
    slope = np.mean(-sigmoid(-behind) * a * z[1::2])
    assert metrics["generator/adversarial"] == pytest.approx(
        np.mean(np.log1p(np.exp(-behind))), rel=1e-5
    )
    w -= RATE * 2.0 * slope
    assert float(after.nets["generator"].params["weight"]) == pytest.approx(w, rel=1e-5)
    assert game.summary(metrics)["accuracy"] == metrics["discriminator/accuracy"]


def test_a_pair_is_of_one_class():
    """With a discriminator that sees the class alone, no image of a pair leads."""
    game = relativistic.paired(adversarial=adversarial.non_saturating, latent_dim=2)
    labels = np.float32([[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]])
    batch = {"image": IMAGES, "label": labels}
    state = begin(game, batch, Discriminator())
    nets = dict(state.nets)
    nets["discriminator"] = nets["discriminator"].replace(params={"weight": jnp.zeros(())})
    _, metrics = update(state.replace(nets=nets), batch, game=game)
    assert metrics["discriminator/paired"] == pytest.approx(np.log(2), rel=1e-6)
    assert metrics["generator/adversarial"] != pytest.approx(np.log(2), rel=1e-3)


def test_an_odd_batch_is_refused():
    game = relativistic.paired(adversarial=adversarial.non_saturating, latent_dim=2)
    batch = {"image": IMAGES[:5]}
    state = begin(game, batch, Bare())
    with pytest.raises(UserError, match="data.batch_size is 5, and 2 steps .* multiple of 2"):
        update(state, batch, game=game)


def test_penalties_refuse_batch_statistics():
    game = relativistic.paired(adversarial=adversarial.non_saturating, latent_dim=2, penalties=BOTH)
    state = begin(game, {"image": IMAGES}, Discriminator())
    with pytest.raises(UserError, match="batch normalisation.* r1, r2"):
        update(state, {"image": IMAGES}, game=game)

"""The latent game on networks of one parameter, against numbers worked out in numpy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gans.core.state import create_state
from gans.core.update import update
from gans.errors import UserError
from gans.games import latent
from gans.losses import adversarial, penalties
from gans.losses.penalties import Penalty

LATENT = 2
RATE = 0.1
WEIGHTS = {"real": 0.5, "fake": 2.0, "adversarial": 3.0}
IMAGES = np.float32([0.5, -1.0, 2.0, 0.25]).reshape(4, 1, 1, 1)
LABELS = np.float32([[1, 0], [0, 1], [1, 0], [1, 0]])


class Counting(nn.Module):
    """Counts forward passes in training mode, in the collection of the running statistics."""

    def count(self, train):
        seen = self.variable("batch_stats", "seen", lambda: jnp.zeros(()))
        if train and not self.is_initializing():
            seen.value += 1


class Generator(Counting):
    """`weight * z`, `z` the sum of the latent vector; a label adds the number of its class."""

    @nn.compact
    def __call__(self, z, label=None, *, train):
        self.count(train)
        weight = self.param("weight", nn.initializers.constant(0.7), ())
        x = weight * z.sum(-1)
        if label is not None:
            x = x + label @ jnp.arange(label.shape[-1], dtype=jnp.float32)
        return x.reshape(-1, 1, 1, 1)


class Discriminator(Counting):
    """The logit `weight * image`; a label adds a tenth of the number of its class."""

    @nn.compact
    def __call__(self, image, label=None, *, train):
        self.count(train)
        weight = self.param("weight", nn.initializers.constant(0.4), ())
        logit = weight * image.reshape(-1, 1)
        if label is not None:
            logit = logit + 0.1 * (label @ jnp.arange(label.shape[-1], dtype=jnp.float32))[:, None]
        return logit


def batch(conditional):
    return {"image": IMAGES, "label": LABELS} if conditional else {"image": IMAGES}


def play(form, conditional):
    """The state before and after one iteration with least squares and SGD; the metrics, the z."""
    game = getattr(latent, form)(adversarial=adversarial.least_squares, latent_dim=LATENT)
    state = create_state(
        jax.random.key(0),
        game,
        batch(conditional),
        nets={"generator": Generator(), "discriminator": Discriminator()},
        optimizers={name: optax.sgd(RATE) for name in ("generator", "discriminator")},
        weights=WEIGHTS,
    )
    noise = game.draw(jax.random.fold_in(state.key, 0), batch(conditional))
    after, metrics = jax.jit(lambda s: update(s, batch(conditional), game=game))(state)
    return game, after, jax.device_get(metrics), np.asarray(noise["latent"]).sum(-1)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "conditional"])
def joint(request):
    return request.param, *play("joint", request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "conditional"])
def two_step(request):
    return request.param, *play("two_step", request.param)


class ByHand:
    """The derivatives of the least-squares game of the two networks above."""

    def __init__(self, conditional, z):
        self.a, self.w, self.z = 0.4, 0.7, z
        self.x = IMAGES.ravel()
        # What the label adds: the class to an image, a tenth of it to a logit.
        self.c = LABELS.argmax(-1) if conditional else np.zeros(4)

    def logit(self, x):
        return self.a * x + 0.1 * self.c

    @property
    def fake(self):
        return self.w * self.z + self.c

    def real_term(self):
        error = self.logit(self.x) - 1
        return np.mean(error**2), np.mean(2 * error * self.x)

    def fake_term(self):
        error = self.logit(self.fake)
        return np.mean(error**2), np.mean(2 * error * self.fake)

    def generator_term(self):
        error = self.logit(self.fake) - 1
        return np.mean(error**2), np.mean(2 * error * self.a * self.z)


def weight(state, net):
    return float(state.nets[net].params["weight"])


def test_joint_moves_are_those_worked_out_by_hand(joint):
    conditional, _, after, metrics, z = joint
    hand = ByHand(conditional, z)
    real, slope_real = hand.real_term()
    fake, slope_fake = hand.fake_term()
    assert metrics["discriminator/real"] == pytest.approx(real, rel=1e-5)
    assert metrics["discriminator/fake"] == pytest.approx(fake, rel=1e-5)
    assert metrics["discriminator/real_weighted"] == pytest.approx(0.5 * real, rel=1e-5)
    assert metrics["discriminator/fake_weighted"] == pytest.approx(2.0 * fake, rel=1e-5)
    assert metrics["discriminator/loss"] == pytest.approx(0.5 * real + 2.0 * fake, rel=1e-5)
    hand.a -= RATE * (0.5 * slope_real + 2.0 * slope_fake)
    assert weight(after, "discriminator") == pytest.approx(hand.a, rel=1e-5)
    # From here on D is the updated one, and z the same.
    loss, slope = hand.generator_term()
    assert metrics["generator/adversarial"] == pytest.approx(loss, rel=1e-5)
    assert metrics["generator/loss"] == pytest.approx(3.0 * loss, rel=1e-5)
    assert weight(after, "generator") == pytest.approx(hand.w - RATE * 3.0 * slope, rel=1e-5)


def test_two_step_moves_are_those_worked_out_by_hand(two_step):
    conditional, _, after, metrics, z = two_step
    hand = ByHand(conditional, z)
    real, slope = hand.real_term()
    hand.a -= RATE * 0.5 * slope
    # The second step of D is taken where the first one led.
    fake, slope = hand.fake_term()
    hand.a -= RATE * 2.0 * slope
    loss, slope = hand.generator_term()
    assert metrics["d_real/real"] == pytest.approx(real, rel=1e-5)
    assert metrics["d_fake/fake"] == pytest.approx(fake, rel=1e-5)
    assert metrics["generator/adversarial"] == pytest.approx(loss, rel=1e-5)
    assert weight(after, "discriminator") == pytest.approx(hand.a, rel=1e-5)
    assert weight(after, "generator") == pytest.approx(hand.w - RATE * 3.0 * slope, rel=1e-5)


def assert_statistics_moved_with_their_own_player_alone(state):
    seen = {name: net.model_state["batch_stats"]["seen"] for name, net in state.nets.items()}
    # D: once on real, once on generated images, and not in G's move. G: in its own move,
    # and not where it makes images for D.
    assert {name: float(value) for name, value in seen.items()} == {
        "discriminator": 2.0,
        "generator": 1.0,
    }


def test_joint_statistics_move_with_their_own_player_alone(joint):
    assert_statistics_moved_with_their_own_player_alone(joint[2])


def test_two_step_statistics_move_with_their_own_player_alone(two_step):
    assert_statistics_moved_with_their_own_player_alone(two_step[2])


def test_joint_metrics_and_summary(joint):
    _, game, _, metrics, _ = joint
    d = {"real", "real_weighted", "fake", "fake_weighted", "accuracy_real", "accuracy_fake"}
    assert set(metrics) == {
        *(f"discriminator/{name}" for name in d | {"loss"}),
        *(f"generator/{name}" for name in ("adversarial", "adversarial_weighted", "loss")),
    }
    assert game.summary(metrics) == {
        "d_loss": metrics["discriminator/loss"],
        "g_loss": metrics["generator/loss"],
        "accuracy_real": metrics["discriminator/accuracy_real"],
        "accuracy_fake": metrics["discriminator/accuracy_fake"],
    }


def test_two_step_metrics_and_summary(two_step):
    _, game, _, metrics, _ = two_step
    assert set(metrics) == {
        *(f"d_real/{name}" for name in ("real", "real_weighted", "accuracy", "loss")),
        *(f"d_fake/{name}" for name in ("fake", "fake_weighted", "accuracy", "loss")),
        *(f"generator/{name}" for name in ("adversarial", "adversarial_weighted", "loss")),
    }
    summary = game.summary(metrics)
    half = 0.5 * (metrics["d_real/loss"] + metrics["d_fake/loss"])
    assert summary["d_loss"] == pytest.approx(half, rel=1e-6)
    assert summary["g_loss"] == metrics["generator/loss"]
    assert summary["accuracy_real"] == metrics["d_real/accuracy"]
    assert summary["accuracy_fake"] == metrics["d_fake/accuracy"]


@pytest.mark.parametrize("form", ["joint", "two_step"])
def test_players_name_their_networks_and_terms(form):
    game = getattr(latent, form)(adversarial=adversarial.hinge, latent_dim=LATENT)
    players = [(p.name, p.nets, p.terms) for p in game.players]
    d = ("discriminator",)
    expected = {
        "joint": [("discriminator", d, ("real", "fake"))],
        "two_step": [("d_real", d, ("real",)), ("d_fake", d, ("fake",))],
    }
    assert players == [*expected[form], ("generator", ("generator",), ("adversarial",))]


def test_networks_are_called_with_the_label_where_there_is_one():
    game = latent.joint(adversarial=adversarial.hinge, latent_dim=LATENT)
    for conditional in (False, True):
        one = batch(conditional)
        noise = game.draw(jax.random.key(0), one)
        inputs = game.inputs(one, noise)
        assert [len(inputs[n]) for n in ("generator", "discriminator")] == [1 + conditional] * 2
        assert inputs["generator"][0] is noise["latent"]
        assert inputs["discriminator"][0] is IMAGES
        assert all(x[1] is LABELS for x in inputs.values() if conditional)


def test_noise_is_standard_normal_one_row_for_each_image():
    game = latent.joint(adversarial=adversarial.hinge, latent_dim=100)
    images = {"image": jnp.zeros((400, 1, 1, 1))}
    z = np.asarray(game.draw(jax.random.key(0), images)["latent"])
    assert z.shape == (400, 100) and z.dtype == np.float32
    # Over 40,000 numbers the mean strays by 0.005, the variance by 0.007.
    assert abs(z.mean()) < 0.025 and abs(z.var() - 1) < 0.035
    # And rows are independent: correlations stray by 0.1.
    correlation = np.corrcoef(z[:50])
    assert np.abs(correlation - np.eye(50)).max() < 0.6


class Bare(Discriminator):
    """Without running statistics, which penalties refuse."""

    def count(self, train):
        pass


def begin(game, images, discriminator, terms):
    return create_state(
        jax.random.key(0),
        game,
        images,
        nets={"generator": Generator(), "discriminator": discriminator},
        optimizers={name: optax.sgd(RATE) for name in ("generator", "discriminator")},
        weights=WEIGHTS | terms,
    )


PENALTIES = {"r1": Penalty(penalties.R1(), every=2), "lecam": Penalty(penalties.LeCam(start=1))}


def test_penalties_are_terms_of_the_discriminator():
    game = latent.joint(
        adversarial=adversarial.least_squares, latent_dim=LATENT, penalties=PENALTIES
    )
    state = begin(game, batch(False), Bare(), {"r1": 0.3, "lecam": 0.0})
    noise = game.draw(jax.random.fold_in(state.key, 0), batch(False))
    step = jax.jit(lambda s: update(s, batch(False), game=game))
    after, metrics = step(state)
    hand = ByHand(False, np.asarray(noise["latent"]).sum(-1))
    slope = 0.5 * hand.real_term()[1] + 2.0 * hand.fake_term()[1] + 2 * 0.3 * hand.a
    assert metrics["discriminator/r1"] == pytest.approx(2 * hand.a**2 / 2, rel=1e-6)
    assert weight(after, "discriminator") == pytest.approx(hand.a - RATE * slope, rel=1e-5)
    # LeCam remembers the mean logits that the step began with, and pays from the second on.
    anchors = after.memory["lecam"]
    assert anchors.real == pytest.approx(np.mean(hand.logit(hand.x)), rel=1e-5)
    assert anchors.fake == pytest.approx(np.mean(hand.logit(hand.fake)), rel=1e-5)
    assert metrics["discriminator/lecam"] == 0.0
    _, metrics = step(after)
    assert metrics["discriminator/r1"] == 0.0  # not due
    a, x = weight(after, "discriminator"), hand.x
    noise = game.draw(jax.random.fold_in(state.key, 1), batch(False))
    fake = weight(after, "generator") * np.asarray(noise["latent"]).sum(-1)
    over = np.maximum(a * x - float(anchors.fake), 0)
    under = np.maximum(float(anchors.real) - a * fake, 0)
    expected = np.mean(over**2) + np.mean(under**2)
    assert metrics["discriminator/lecam"] == pytest.approx(expected, rel=1e-4)


def test_penalties_refuse_batch_statistics():
    game = latent.joint(
        adversarial=adversarial.hinge, latent_dim=LATENT, penalties={"r1": PENALTIES["r1"]}
    )
    state = begin(game, batch(False), Discriminator(), {"r1": 1.0})
    with pytest.raises(
        UserError, match=r"batch normalisation.* penalties r1: .*normalise to False"
    ):
        update(state, batch(False), game=game)


MANY = np.float32([0.5, -1.0, 2.0, 0.25, 1.5, -0.75]).reshape(6, 1, 1, 1)


def test_repeated_steps_see_rows_and_noise_of_their_own():
    game = latent.repeated(
        adversarial=adversarial.least_squares,
        latent_dim=LATENT,
        discriminator_steps=3,
        generator_batch=5,
        penalties={"r1": Penalty(penalties.R1(), every=2)},
    )
    images = {"image": MANY}
    state = begin(game, images, Bare(), {"r1": 0.3})
    noise = game.draw(jax.random.fold_in(state.key, 0), images)
    after, metrics = jax.jit(lambda s: update(s, images, game=game))(state)
    z = np.asarray(noise["fakes"]["latent"]).sum(-1)
    assert len(z) == 6 and len(np.unique(z)) == 6
    a, w, found = 0.4, 0.7, []
    for k in range(3):
        x, fake = MANY.ravel()[k::3], w * z[k::3]
        real_error, fake_error, due = a * x - 1, a * fake, k % 2 == 0
        found.append(np.mean(real_error**2))
        assert metrics[f"discriminator_{k + 1}/real"] == pytest.approx(found[-1], rel=1e-5)
        assert metrics[f"discriminator_{k + 1}/r1"] == pytest.approx(due * a**2, rel=1e-5)
        slope = 0.5 * np.mean(2 * real_error * x) + 2.0 * np.mean(2 * fake_error * fake)
        a -= RATE * (slope + 0.3 * due * 2 * a)
    assert weight(after, "discriminator") == pytest.approx(a, rel=1e-5)
    made = np.asarray(noise["made"]["latent"]).sum(-1)
    assert len(made) == 5
    slope = np.mean(2 * (a * w * made - 1) * a * made)
    assert weight(after, "generator") == pytest.approx(w - RATE * 3.0 * slope, rel=1e-5)
    summary = game.summary(metrics)
    losses = [metrics[f"discriminator_{k}/loss"] for k in (1, 2, 3)]
    assert summary["d_loss"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_repeated_steps_draw_the_classes_of_generated_images():
    game = latent.repeated(
        adversarial=adversarial.hinge, latent_dim=2, discriminator_steps=2, generator_batch=0
    )
    images = {"image": np.zeros((4000, 1, 1, 1)), "label": np.eye(4)[np.zeros(4000, int)]}
    noise = game.draw(jax.random.key(5), images)
    assert noise["made"]["label"].shape == (2000, 4)
    counts = np.asarray(noise["fakes"]["label"]).sum(axis=0)
    # Binomial with mean 1000 and deviation 27.4: within five of them.
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(4000 * 0.25 * 0.75))
    np.testing.assert_array_equal(np.asarray(noise["fakes"]["label"]).sum(axis=1), 1.0)


def test_repeated_steps_share_the_batch_evenly():
    game = latent.repeated(adversarial=adversarial.hinge, latent_dim=2, discriminator_steps=4)
    state = begin(game, {"image": MANY}, Bare(), {})
    with pytest.raises(UserError, match="data.batch_size is 6, and 4 steps .* multiple of 4"):
        update(state, {"image": MANY}, game=game)

"""Games whose discriminators see augmented images, on networks of one parameter."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gans.core.state import create_state
from gans.core.types import Game, Outcome, Player
from gans.core.update import update
from gans.errors import UserError
from gans.games import cycle, latent
from gans.games.augmented import Adaptive, augmented
from gans.losses import adversarial
from gans.ops import axis
from gans.ops.augment.diffaugment import DiffAugment

RATE = 0.1
IMAGES = np.float32([0.5, -1.0, 2.0, 0.25]).reshape(4, 1, 1, 1)
BATCH = {"image": jnp.asarray(IMAGES)}
LABELLED = {**BATCH, "label": jnp.eye(4, 2)}
W_G, W_D = 0.7, 0.4


class Generator(nn.Module):
    """`weight * z`, `z` the sum of the latent vector."""

    @nn.compact
    def __call__(self, z, label=None, *, train):
        del label, train
        weight = self.param("weight", nn.initializers.constant(W_G), ())
        return (weight * z.sum(-1)).reshape(-1, 1, 1, 1)


class Discriminator(nn.Module):
    """The logit `weight * image`, and what the label is."""

    @nn.compact
    def __call__(self, image, label=None, *, train):
        del train
        weight = self.param("weight", nn.initializers.constant(W_D), ())
        logit = weight * image.reshape(-1, 1)
        return logit if label is None else logit + label[:, :1]


def shifted(images, key, probability):
    """Adds a number of its own to each image."""
    return images + probability * axis.uniform(key, (len(images), 1, 1, 1))


def tripled(images, key, probability):
    del key, probability
    return 3.0 * images


def joint(form="joint"):
    return getattr(latent, form)(adversarial=adversarial.least_squares, latent_dim=2)


def begin(game, batch=BATCH, remat=False):
    nets = {"generator": Generator(), "discriminator": Discriminator()}
    return create_state(
        jax.random.key(0),
        game,
        batch,
        nets={name: nets[name] for player in game.players for name in player.nets},
        optimizers={name: optax.sgd(RATE) for name in nets},
        weights={term: 1.0 for player in game.players for term in player.terms},
        remat=remat,
    )


def run(game, steps=1, batch=BATCH, state=None, **fields):
    state = begin(game, batch, **fields) if state is None else state
    step, logged = jax.jit(lambda state: update(state, batch, game=game)), []
    for _ in range(steps):
        state, metrics = step(state)
        logged.append(jax.device_get(metrics))
    return state, logged


def draws(state, game, player, call):
    """What `shifted` adds in a call of a player."""
    extras = game.draw(jax.random.fold_in(state.key, 0), BATCH)
    key = jax.random.fold_in(jax.random.fold_in(extras["augment_key"], player), call)
    return np.asarray(jax.random.uniform(key, (4, 1, 1, 1))), np.asarray(extras["latent"]).sum(-1)


@pytest.mark.parametrize("form", ["joint", "two_step"])
def test_real_images_fakes_and_the_generators_see_draws_of_their_own(form):
    game = augmented(joint(form), shifted, probability=0.5)
    before = begin(game)
    state, (found,) = run(game, state=before)
    # The player and the call of each pass, and what it is logged as.
    passes = {
        "joint": {"discriminator/real": (0, 0), "discriminator/fake": (0, 1)},
        "two_step": {"d_real/real": (0, 0)},
    }[form]
    for name, place in passes.items():
        u, z = draws(before, game, *place)
        images = IMAGES if name.endswith("real") else W_G * z.reshape(IMAGES.shape)
        logits = W_D * (images + 0.5 * u)
        loss = np.mean((logits - name.endswith("real")) ** 2)
        assert found[name] == pytest.approx(loss, rel=1e-5), name
    # The generator's, after the discriminator has moved.
    u, z = draws(before, game, len(game.rounds) - 1, 0)
    moved = float(state.nets["discriminator"].params["weight"])
    logits = moved * (W_G * z.reshape(u.shape) + 0.5 * u)
    assert found["generator/adversarial"] == pytest.approx(np.mean((logits - 1) ** 2), rel=1e-5)
    # Its gradient flows through: mean 2 (logit - 1) moved z.
    slope = np.mean(2 * (logits - 1) * moved * z.reshape(u.shape))
    weight = float(state.nets["generator"].params["weight"])
    assert weight == pytest.approx(W_G - RATE * slope, rel=1e-5)
    drawn = [draws(before, game, *place)[0] for place in ((0, 0), (0, 1), (1, 0), (2, 0))]
    assert len(np.unique(drawn)) == 16


def test_every_iteration_is_drawn_anew():
    game = augmented(joint(), shifted)
    key = begin(game).key
    first, second = (game.draw(jax.random.fold_in(key, i), BATCH)["augment_key"] for i in range(2))
    assert (jax.random.key_data(first) != jax.random.key_data(second)).any()


def test_the_label_is_left_and_the_image_is_not():
    plain, (before,) = run(joint(), batch=LABELLED)
    _, (after,) = run(augmented(joint(), tripled), batch=LABELLED)
    logits = W_D * 3 * IMAGES.reshape(4) + np.eye(4, 2)[:, 0]
    assert after["discriminator/real"] == pytest.approx(np.mean((logits - 1) ** 2), rel=1e-5)
    assert before["discriminator/real"] != pytest.approx(after["discriminator/real"], rel=1e-2)


@pytest.mark.as_in_use
def test_an_augmentation_that_leaves_images_alone_changes_no_bit_of_training():
    plain, logged = run(joint(), 3)
    state, same = run(augmented(joint(), DiffAugment(), probability=0.0), 3)
    assert logged == same
    for ours, theirs in zip(jax.tree.leaves(state.nets), jax.tree.leaves(plain.nets), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_not_training_is_not_augmented():
    plain, game = joint(), augmented(joint(), tripled)
    state = begin(game)
    np.testing.assert_array_equal(game.logits(state.nets, BATCH), plain.logits(state.nets, BATCH))

    def loss(nets, batch, extras):
        quiet, _ = nets["discriminator"](batch["image"], train=False)
        loud, net = nets["discriminator"](batch["image"])
        metrics = {"quiet": quiet.mean(), "loud": loud.mean()}
        return Outcome({"real": loud.mean()}, {"discriminator": net}, metrics)

    _, (found,) = run(augmented(single(loss), tripled))
    assert found["only/quiet"] == pytest.approx(W_D * IMAGES.mean(), rel=1e-6)
    assert found["only/loud"] == pytest.approx(3 * W_D * IMAGES.mean(), rel=1e-6)


def single(loss, every=1):
    """A game of one player, whose discriminator's `loss` it is."""
    player = Player("only", ("discriminator",), ("real",), loss, every=every)
    return Game(
        rounds=((player,),),
        draw=lambda key, batch: {"latent": axis.normal(key, (len(batch["image"]), 2))},
        inputs=lambda batch, extras: {"discriminator": (batch["image"],)},
        summary=dict,
    )


def test_a_penalty_is_taken_at_the_image_before_it_and_a_network_comes_back_as_it_was():
    def loss(nets, batch, extras):
        def logits(x):
            return nets["discriminator"](x)[0].sum()

        slope = jax.grad(logits)(batch["image"])
        net = nets["discriminator"]
        return Outcome({"real": jnp.mean(slope**2)}, {"discriminator": net})

    game = augmented(single(loss), tripled)
    state, (found,) = run(game)
    assert found["only/real"] == pytest.approx((3 * W_D) ** 2, rel=1e-6)
    # w - rate * d(9 w^2)/dw
    weight = float(state.nets["discriminator"].params["weight"])
    assert weight == pytest.approx(W_D - RATE * 18 * W_D, rel=1e-5)
    extras = {"step": 0, **game.draw(jax.random.key(0), BATCH)}
    (player,) = game.players
    outcome = player.loss(state.nets, BATCH, extras)
    functions = [nets["discriminator"].apply_fn for nets in (outcome.nets, state.nets)]
    assert functions[0] is functions[1]


@pytest.mark.parametrize("every", [1, 2])
def test_turns_and_passes_computed_anew_see_the_same_draws(every):
    def loss(nets, batch, extras):
        logits, net = nets["discriminator"](batch["image"])
        return Outcome({"real": jnp.mean(jnp.sin(logits))}, {"discriminator": net})

    game = augmented(single(loss, every), shifted)
    (state, logged), (again, same) = (run(game, 4, remat=remat) for remat in (False, True))
    for one, other in zip(logged, same, strict=True):
        assert one["only/real"] == pytest.approx(float(other["only/real"]), rel=1e-6)
    weights = [float(x.nets["discriminator"].params["weight"]) for x in (state, again)]
    assert weights[0] == pytest.approx(weights[1], rel=1e-6)
    losses = [float(line["only/real"]) for line in logged]
    # By hand: w + u in iterations 0, every, ...
    w, key = W_D, begin(game).key
    for i in range(0, 4, every):
        extras = game.draw(jax.random.fold_in(key, i), BATCH)
        own = jax.random.fold_in(jax.random.fold_in(extras["augment_key"], 0), 0)
        x = IMAGES + np.asarray(jax.random.uniform(own, IMAGES.shape))
        assert losses[i] == pytest.approx(every * np.mean(np.sin(w * x)), rel=1e-4)
        w -= RATE * np.mean(np.cos(w * x) * x)
    assert weights[0] == pytest.approx(w, rel=1e-5)


def test_a_schedule_is_followed_and_logged():
    def chances(images, key, probability):
        return images + 0 * probability

    game = augmented(joint(), chances, probability=lambda step: 0.25 * step)
    _, logged = run(game, 3)
    assert [float(line["discriminator/augment_p"]) for line in logged] == [0.0, 0.25, 0.5]
    assert [float(game.summary(line)["augment_p"]) for line in logged] == [0.0, 0.25, 0.5]
    assert "augment_p" not in augmented(joint(), chances).summary(logged[0])


def test_an_adaptive_probability_by_hand():
    adaptive = Adaptive(target=0.25, images=100, every=2)
    watch = adaptive.begun().replace(batch=jnp.int32(10))
    found = []
    # The means of 2 a - 1 of two iterations: 0.5, 0.2, 0.25, which is the target, and 0.3.
    for accuracy in (0.5, 1.0, 0.75, 0.45, 0.5, 0.75, 0.7, 0.6):
        watch = adaptive.moved(watch, jnp.float32(accuracy))
        found.append(float(watch.probability))
    np.testing.assert_allclose(found, [0, 0.2, 0.2, 0, 0, 0, 0, 0.2], atol=1e-7)
    assert int(watch.iterations) == 0 and float(watch.signs) == 0


def test_an_adaptive_probability_stays_in_its_bounds():
    adaptive = Adaptive(target=0.0, images=30, every=1)
    watch = adaptive.begun().replace(batch=jnp.int32(20))
    for accuracy, expected in ((0.0, 0), (1.0, 2 / 3), (1.0, 1), (1.0, 1), (0.0, 1 / 3), (0.0, 0)):
        watch = adaptive.moved(watch, jnp.float32(accuracy))
        assert float(watch.probability) == pytest.approx(expected, abs=1e-6)


def test_a_game_moves_its_probability_by_what_its_discriminator_calls_real():
    every, images, target = 3, 60, -0.6
    game = augmented(
        joint(), shifted, probability=Adaptive(target=target, images=images, every=every)
    )
    state, logged = run(game, 12)
    p, right = 0.0, []
    for i, line in enumerate(logged, 1):
        assert line["discriminator/augment_p"] == pytest.approx(p, abs=1e-6)
        assert game.summary(line)["augment_p"] == line["discriminator/augment_p"]
        right.append(2 * float(line["discriminator/accuracy_real"]) - 1)
        if i % every == 0:
            sign = np.sign(np.mean(right) - target)
            p, right = float(np.clip(p + sign * 4 * every / images, 0, 1)), []
    assert float(state.memory.watch.probability) == pytest.approx(p, abs=1e-6)
    assert {line["discriminator/augment_p"] > 0 for line in logged} == {False, True}


def test_a_games_own_memory_is_kept_beside_it():
    def count(memory, extras):
        return memory + 1, extras

    plain = joint()
    rounds = tuple(tuple(dataclasses.replace(x, recall=count) for x in y) for y in plain.rounds)
    counting = dataclasses.replace(
        plain,
        rounds=rounds,
        memory=lambda batch: jnp.zeros(()),
        after=lambda memory, metrics: memory + 10,
    )
    state, _ = run(augmented(counting, shifted, probability=Adaptive()), 2)
    assert float(state.memory.game) == 2 * (2 + 10)
    assert int(state.memory.watch.batch) == 4
    state, _ = run(augmented(counting, shifted), 2)
    assert float(state.memory) == 2 * (2 + 10)


def test_of_cyclegan_both_discriminators_see_augmented_images():
    plain = cycle.game(adversarial=adversarial.least_squares, pool_size=0)
    game = augmented(plain, tripled, discriminators=cycle.DISCRIMINATORS)
    nets = dict.fromkeys(cycle.DISCRIMINATORS, begin(joint()).nets["discriminator"])
    batch = {"a": BATCH["image"], "b": 2 * BATCH["image"]}
    extras = {"step": 0, "fake_a": batch["b"], "fake_b": batch["a"]}
    extras |= game.draw(jax.random.key(0), batch)
    found = [x.players[1].loss(nets, batch, extras).terms for x in (plain, game)]
    for domain, name in (("a", "real_a"), ("b", "real_b"), ("b", "fake_a"), ("a", "fake_b")):
        logits, wanted = W_D * batch[domain], name.startswith("real")
        for terms, factor in zip(found, (1, 3), strict=True):
            expected = float(np.mean((factor * logits - wanted) ** 2))
            assert float(terms[name]) == pytest.approx(expected, rel=1e-5)


def test_a_game_without_the_discriminator_or_its_accuracy_is_refused_in_a_sentence():
    plain = cycle.game(adversarial=adversarial.least_squares, pool_size=0)
    with pytest.raises(
        UserError, match="has 'discriminator', which is no discriminator .* discriminator_a"
    ):
        augmented(plain, tripled)

    def loss(nets, batch, extras):
        logits, net = nets["discriminator"](batch["image"])
        return Outcome({"real": jnp.mean(logits)}, {"discriminator": net})

    with pytest.raises(UserError, match="accuracy_real, which this game does not report"):
        run(augmented(single(loss), tripled, probability=Adaptive()))

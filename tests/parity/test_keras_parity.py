"""The tutorials' networks and training iterations, written with Keras, against ours.

Everything on the Keras side is written from the tutorials' specification with Keras' own
layers, losses and optimizers. Its layers carry the names of the Flax modules, so that a
Keras variable `generator/Dense_0/kernel` is the parameter `["Dense_0"]["kernel"]`.

What is right is what Keras' side makes in float64; how far ours may be from that, `closeness` says.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from closeness import FLOOR, assert_no_further, at, exactly, of_all, of_layer, tolerances
from keras import layers

from gans.core import optim
from gans.core.state import create_state
from gans.core.update import update
from gans.games import latent
from gans.losses import adversarial
from gans.models.dcgan import Discriminator, Generator

CLASSES = 10
LATENT = 100
BATCH = 4

FLAX_NAMES = {
    "kernel": "kernel",
    "bias": "bias",
    "gamma": "scale",
    "beta": "bias",
    "moving_mean": "mean",
    "moving_variance": "var",
}


# The networks as the tutorials list them.


def keras_generator(conditional):
    z = keras.Input((LATENT,))
    inputs, x = [z], z
    if conditional:
        label = keras.Input((CLASSES,))
        inputs, x = [z, label], layers.Concatenate()([z, label])
    x = layers.Dense(8 * 8 * 128, activation="relu", name="Dense_0")(x)
    x = layers.Reshape((8, 8, 128))(x)
    for i, filters in enumerate((128, 64)):
        x = layers.UpSampling2D()(x)
        x = layers.Conv2D(filters, 3, padding="same", name=f"UpsampleConv_{i}")(x)
        x = layers.BatchNormalization(momentum=0.8, name=f"BatchNorm_{i}")(x)
        x = layers.Activation("relu")(x)
    x = layers.Conv2D(3, 3, padding="same", activation="tanh", name="Conv_0")(x)
    return keras.Model(inputs, x, name="generator")


def keras_discriminator(conditional, last_stride=1):
    image = keras.Input((32, 32, 3))
    inputs, x = [image], image
    for i, (filters, stride) in enumerate(((32, 2), (64, 2), (128, 2), (256, last_stride))):
        x = layers.Conv2D(filters, 3, strides=stride, padding="same", name=f"Conv_{i}")(x)
        if i > 0:
            x = layers.BatchNormalization(momentum=0.8, name=f"BatchNorm_{i - 1}")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Flatten()(x)
    if conditional:
        label = keras.Input((CLASSES,))
        inputs, x = [image, label], layers.Concatenate()([x, label])
        x = layers.Dense(512, activation="relu", name="Dense_0")(x)
    # A logit; the tutorials apply the sigmoid here, we in the loss.
    x = layers.Dense(1, name="Dense_1" if conditional else "Dense_0")(x)
    return keras.Model(inputs, x, name="discriminator")


@dataclasses.dataclass(frozen=True)
class Case:
    """One network on both sides, and its parameters as counted in the tutorial."""

    keras: object
    flax: object
    input_shape: tuple
    conditional: bool
    trainable: int
    total: int


IMAGE = (32, 32, 3)
HIDDEN = {"hidden_features": (512,)}

CASES = {
    "generator": Case(
        lambda: keras_generator(False), Generator(), (LATENT,), False, 1_050_883, 1_051_267
    ),
    "discriminator": Case(
        lambda: keras_discriminator(False), Discriminator(), IMAGE, False, 393_409, 394_305
    ),
    "conditional_generator": Case(
        lambda: keras_generator(True), Generator(), (LATENT,), True, 1_132_803, 1_133_187
    ),
    "conditional_discriminator": Case(
        lambda: keras_discriminator(True),
        Discriminator(**HIDDEN),
        IMAGE,
        True,
        2_492_609,
        2_493_505,
    ),
    "conditional_discriminator_stride_2": Case(
        lambda: keras_discriminator(True, last_stride=2),
        Discriminator(strides=(2, 2, 2, 2), **HIDDEN),
        IMAGE,
        True,
        919_745,
        # And the running mean and variance of 64 + 128 + 256 channels.
        919_745 + 2 * 448,
    ),
}


# Between the two libraries.


def to_flax(variables, values=None):
    """Keras variables, or other values in their order, as a tree with the names of Flax."""
    tree = {}
    values = [v.value for v in variables] if values is None else values
    for variable, value in zip(variables, values, strict=True):
        layer, name = variable.path.split("/")[-2:]
        tree.setdefault(layer, {})[FLAX_NAMES[name]] = value
    return tree


def scramble(model, seed, clear_of_kinks=False):
    """Random weights and running statistics, none of them at its initial value.

    Where a number before a ReLU is zero to rounding, the two sides may take different
    slopes, and gradients then differ by far more than rounding. Among 500,000 such
    numbers in an iteration this happens. With `clear_of_kinks` it hardly does: offsets are
    several deviations from zero, so that only tails change sign.
    """
    rng = np.random.default_rng(seed)
    for v in model.variables:
        name = v.path.split("/")[-1]
        # An image's channels or a logit: no ReLU follows.
        clear = clear_of_kinks and v.shape[-1] not in (1, 3)
        if name == "kernel":
            # Of the size that keeps activations, and so gradients, of the order of one.
            gain = 0.2 if clear else 1.5
            value = rng.normal(size=v.shape) * np.sqrt(gain / np.prod(v.shape[:-1]))
        elif name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, size=v.shape)
            value *= 0.3 if clear and name == "gamma" else 1.0
        elif name in ("beta", "bias") and clear:
            # The generator's ReLU would be dead below zero, D's LeakyReLU is not.
            sign = 1 if model.name == "generator" else rng.choice([-1, 1], size=v.shape)
            value = sign * rng.uniform(1.0, 2.0, size=v.shape)
        else:
            value = 0.2 * rng.normal(size=v.shape)
        v.assign(value.astype(np.float32))
    return model


def examples(rng, count):
    """Images in [-1, 1] with structure at several scales, and one-hot labels."""
    coarse = rng.uniform(-1, 1, (count, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    images = np.clip(0.7 * coarse + 0.3 * rng.normal(size=coarse.shape), -1, 1)
    labels = np.eye(CLASSES)[rng.integers(CLASSES, size=count)]
    return images.astype(np.float32), labels.astype(np.float32)


# The networks alone.


@pytest.mark.parametrize("name", CASES)
def test_parameter_counts_are_those_of_the_tutorial(name):
    case = CASES[name]
    label = (jnp.zeros((1, CLASSES)),) if case.conditional else ()
    shapes = jax.eval_shape(
        lambda key: case.flax.init(key, jnp.zeros((1, *case.input_shape)), *label, train=False),
        jax.random.key(0),
    )

    def count(tree):
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    assert count(shapes["params"]) == case.trainable
    assert count(shapes) == case.total
    assert case.keras().count_params() == case.total


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_moved_statistics_are_those_of_keras(name):
    case = CASES[name]
    model = scramble(case.keras(), seed=1)
    params, stats = to_flax(model.trainable_variables), to_flax(model.non_trainable_variables)

    @jax.jit
    def ours(*inputs):
        variables = {"params": params, "batch_stats": stats}
        inference = case.flax.apply(variables, *inputs, train=False)
        return inference, case.flax.apply(variables, *inputs, train=True, mutable=["batch_stats"])

    def theirs(*inputs):
        variables = [[v.value for v in model.trainable_variables]]
        variables += [[v.value for v in model.non_trainable_variables]]
        inputs = list(inputs) if case.conditional else inputs[0]
        inference, kept = model.stateless_call(*variables, inputs, training=False)
        return inference, kept, *model.stateless_call(*variables, inputs, training=True)

    def named(inference, kept, training, moved):
        """Keras' results under Flax' names."""
        kept, moved = (to_flax(model.non_trainable_variables, values) for values in (kept, moved))
        return inference, training, kept, moved

    in_float32, in_float64 = jax.jit(theirs), exactly(theirs)
    rng = np.random.default_rng(2)
    # Even one image has statistics: they are taken over its pixels too.
    for batch in (1, 5):
        images, label = examples(rng, batch)
        x = images if case.input_shape == IMAGE else rng.normal(size=(batch, LATENT))
        inputs = (x.astype(np.float32), label)[: 1 + case.conditional]
        inference, (training, moved) = ours(*inputs)
        expected, exact = (named(*side(*inputs)) for side in (in_float32, in_float64))
        found = inference, training, stats, moved["batch_stats"]
        for three in zip(found, expected, exact, strict=True):
            assert_no_further(*three)


# Whole iterations.


@functools.cache
def keras_models(conditional):
    return {
        "generator": scramble(keras_generator(conditional), seed=3, clear_of_kinks=True),
        "discriminator": scramble(keras_discriminator(conditional), seed=4, clear_of_kinks=True),
    }


class Reference:
    """The tutorials' training loop with Keras' networks, loss and optimizers.

    A network's state is `(trainable, running statistics)`, lists in Keras' order.
    """

    def __init__(self, conditional, compile):
        """With `jax.jit` for `compile` in float32, with `exactly` in float64."""
        self.compile = compile
        self.models = keras_models(conditional)
        self.bce = keras.losses.BinaryCrossentropy(from_logits=True)
        self.generate = compile(self._generate)
        # Each gives `((loss, (running statistics, terms)), gradients)` by its first argument.
        players = {
            "d_real": self._d_real,
            "d_fake": self._d_fake,
            "discriminator": self._discriminator,
            "generator": self._generator,
        }
        self.players = {
            name: compile(jax.value_and_grad(loss, has_aux=True)) for name, loss in players.items()
        }

    def _call(self, name, trainable, stats, x, label):
        inputs = x if label is None else [x, label]
        return self.models[name].stateless_call(trainable, stats, inputs, training=True)

    def _generate(self, trainable, stats, z, label):
        return self._call("generator", trainable, stats, z, label)[0]

    def _judge(self, trainable, stats, x, label, real):
        logits, stats = self._call("discriminator", trainable, stats, x, label)
        return self.bce(jnp.full_like(logits, float(real)), logits), stats

    def _d_real(self, trainable, stats, images, fakes, label):
        del fakes
        loss, stats = self._judge(trainable, stats, images, label, True)
        return loss, (stats, {"real": loss})

    def _d_fake(self, trainable, stats, images, fakes, label):
        del images
        loss, stats = self._judge(trainable, stats, fakes, label, False)
        return loss, (stats, {"fake": loss})

    def _discriminator(self, trainable, stats, images, fakes, label):
        real, stats = self._judge(trainable, stats, images, label, True)
        fake, stats = self._judge(trainable, stats, fakes, label, False)
        return 0.5 * real + 0.5 * fake, (stats, {"real": real, "fake": fake})

    def _generator(self, trainable, stats, frozen, z, label):
        images, stats = self._call("generator", trainable, stats, z, label)
        # What the frozen discriminator's statistics would become is dropped.
        loss, _ = self._judge(*frozen, images, label, True)
        return loss, (stats, {"adversarial": loss})

    def iteration(self, form, nets, step, images, z, label):
        """The nets after one iteration and, by player, `(loss, terms, gradients)`.

        `step(net, trainable, gradients)` is the optimizers' part.
        """
        report = {}

        def move(player, net, *args):
            trainable, stats = nets[net]
            (loss, (stats, terms)), grads = self.players[player](trainable, stats, *args)
            report[player] = loss, terms, grads
            return {**nets, net: (step(net, trainable, grads), stats)}

        # In training mode, but the statistics of a frozen generator stay as they are.
        fakes = self.generate(*nets["generator"], z, label)
        for player in {"two_step": ("d_real", "d_fake"), "joint": ("discriminator",)}[form]:
            nets = move(player, "discriminator", images, fakes, label)
        nets = move("generator", "generator", nets["discriminator"], z, label)
        return nets, report


reference = functools.cache(Reference)


class KerasOptimizers:
    """A Keras optimizer for each network, its variables held outside."""

    def __init__(self, make, side):
        self.rules = {name: make(name) for name in side.models}
        for name, rule in self.rules.items():
            rule.build(side.models[name].trainable_variables)
        self.slots = {name: [v.value for v in r.variables] for name, r in self.rules.items()}
        self.apply = {n: side.compile(rule.stateless_apply) for n, rule in self.rules.items()}

    def step(self, net, trainable, grads):
        trainable, self.slots[net] = self.apply[net](self.slots[net], grads, trainable)
        return trainable

    def moments(self, net, word):
        """The variables whose name ends with `word`, in the order of the parameters."""
        paths = [v.path for v in self.rules[net].variables]
        return [x for x, p in zip(self.slots[net], paths, strict=True) if p.endswith(word)]


def remember_gradients(count):
    """Passes gradients on, and keeps the last `count` of them in its state."""

    def init(params):
        return (jax.tree.map(jnp.zeros_like, params),) * count

    def step(grads, state, params=None):
        del params
        return grads, (*state[1:], grads)

    return optax.GradientTransformation(init, step)


RATE, B1, B2, EPS = 2e-4, 0.5, 0.999, 1e-7
# Of a size with which both networks' parameters move by far more than rounding.
SGD_RATES = {"generator": 0.2, "discriminator": 0.01}

OPTIMIZERS = {
    "keras_adam": (
        lambda net: optim.keras_adam(RATE, b1=B1, b2=B2, eps=EPS),
        lambda net: keras.optimizers.Adam(RATE, beta_1=B1, beta_2=B2, epsilon=EPS),
    ),
    "sgd": (
        lambda net: optax.sgd(SGD_RATES[net]),
        lambda net: keras.optimizers.SGD(SGD_RATES[net]),
    ),
}
WEIGHTS = {
    "two_step": {"real": 1.0, "fake": 1.0, "adversarial": 1.0},
    "joint": {"real": 0.5, "fake": 0.5, "adversarial": 1.0},
}


class KerasGame:
    """Keras' side of a game as it is played, in float32 or in float64."""

    def __init__(self, form, conditional, optimizer, compile):
        self.form = form
        self.side = reference(conditional, compile)
        self.optimizers = KerasOptimizers(OPTIMIZERS[optimizer][1], self.side)
        self.nets = {
            name: (
                [v.value for v in model.trainable_variables],
                [v.value for v in model.non_trainable_variables],
            )
            for name, model in self.side.models.items()
        }

    def play(self, images, z, label):
        """Plays one iteration; an `Iteration` under Flax' names."""
        self.nets, report = self.side.iteration(
            self.form, self.nets, self.optimizers.step, images, z, label
        )
        models = self.side.models
        weights = {name: model.trainable_variables for name, model in models.items()}
        grads = {name: [] for name in models}
        for player, (_, _, gradient) in report.items():
            net = "generator" if player == "generator" else "discriminator"
            grads[net].append(to_flax(weights[net], gradient))
        moments = {}
        for name in models:
            both = [self.optimizers.moments(name, word) for word in ("momentum", "velocity")]
            if all(both):
                moments[name] = [to_flax(weights[name], values) for values in both]
        return Iteration(
            losses={player: loss for player, (loss, _, _) in report.items()},
            terms={player: terms for player, (_, terms, _) in report.items()},
            grads=grads,
            params={name: to_flax(weights[name], self.nets[name][0]) for name in models},
            stats={
                name: to_flax(model.non_trainable_variables, self.nets[name][1])
                for name, model in models.items()
            },
            moments=moments,
        )


@dataclasses.dataclass(frozen=True)
class Iteration:
    """One side after an iteration.

    Attributes:
      losses: by player, the loss.
      terms: by player, its terms by name.
      grads: by network, a list with one tree for each optimizer step.
      params: by network.
      stats: by network, the running statistics.
      moments: by network, a list of two: Adam's first and second moments.
    """

    losses: dict
    terms: dict
    grads: dict
    params: dict
    stats: dict
    moments: dict


@functools.cache
def play(form, conditional, optimizer, iterations):
    """From the same start, on the same images and noise: ours, Keras' and Keras' in float64.

    Returns:
      For each iteration three of `Iteration`.
    """
    theirs, exact = (
        KerasGame(form, conditional, optimizer, compile) for compile in (jax.jit, exactly)
    )
    nets = {
        "generator": Generator(),
        "discriminator": Discriminator(**(HIDDEN if conditional else {})),
    }
    game = getattr(latent, form)(adversarial=adversarial.non_saturating, latent_dim=LATENT)
    moves = {"generator": 1, "discriminator": len(game.players) - 1}
    ours = OPTIMIZERS[optimizer][0]
    optimizers = {
        name: optax.chain(remember_gradients(count), ours(name)) for name, count in moves.items()
    }
    rng = np.random.default_rng(5)

    def batch():
        images, label = examples(rng, BATCH)
        return {"image": images, "label": label} if conditional else {"image": images}

    any_batch = batch()
    start = jax.jit(
        lambda key: create_state(
            key, game, any_batch, nets=nets, optimizers=optimizers, weights=WEIGHTS[form]
        )
    )
    state = start(jax.random.key(6))
    for name, model in keras_models(conditional).items():
        state.nets[name] = state.nets[name].replace(
            params=to_flax(model.trainable_variables),
            model_state={"batch_stats": to_flax(model.non_trainable_variables)},
        )

    our_step = jax.jit(lambda state, batch: update(state, batch, game=game))
    history = []
    for _ in range(iterations):
        one = batch()
        z = game.draw(jax.random.fold_in(state.key, state.step), one)["latent"]
        state, metrics = our_step(state, one)
        keras_sides = (side.play(one["image"], z, one.get("label")) for side in (theirs, exact))
        history.append([jax.device_get(x) for x in (iteration_of(state, metrics), *keras_sides)])
    return history


def iteration_of(state, metrics):
    """What our side has after an iteration."""
    losses, terms = {}, {}
    for name, value in metrics.items():
        player, term = name.split("/")
        if term == "loss":
            losses[player] = value
        elif term in ("real", "fake", "adversarial"):
            terms.setdefault(player, {})[term] = value
    moments = {}
    for name, net in state.nets.items():
        rule = net.opt_state[1][0]
        if isinstance(rule, optax.ScaleByAdamState):
            moments[name] = [rule.mu, rule.nu]
    return Iteration(
        losses=losses,
        terms=terms,
        grads={name: list(net.opt_state[0]) for name, net in state.nets.items()},
        params={name: net.params for name, net in state.nets.items()},
        stats={name: net.model_state["batch_stats"] for name, net in state.nets.items()},
        moments=moments,
    )


def adam_slack(gradients, errors):
    """How far rounding in gradients may move parameters under Adam, for each element.

    A step is `rate * m / (sqrt(v) + eps)`. With gradients of size s it answers an error
    of theirs with `rate * error / (s + eps')`, `eps' = eps / sqrt(1 - b2^t)`: next to nothing
    for most elements, but up to whole steps, each below `2 * rate`, where the gradient is
    itself but rounding.

    Args:
      gradients: the exact ones, of all steps from the first, as trees.
      errors: for each step how far from them gradients may be, by path.
    """

    def bound(path, *history):
        v, slack = 0.0, 0.0
        for t, (g, allowed) in enumerate(zip(history, errors, strict=True), 1):
            v = B2 * v + (1 - B2) * g**2
            scale = (np.sqrt(v) + EPS) / np.sqrt(1 - B2**t)
            slack = slack + RATE * np.minimum(2.0, allowed[path] / scale)
        return slack

    return jax.tree_util.tree_map_with_path(bound, *gradients)


GAMES = {
    "dcgan_two_step": ("two_step", False),
    "cgan_two_step": ("two_step", True),
    "dcgan_joint": ("joint", False),
}


@pytest.fixture(params=GAMES)
def adam_history(request):
    return play(*GAMES[request.param], "keras_adam", 2)


@pytest.fixture
def sgd_history():
    return play(*GAMES["cgan_two_step"], "sgd", 2)


def sides(iteration, attribute):
    """What the three sides have of a kind."""
    return [getattr(side, attribute) for side in iteration]


def test_losses_and_terms_of_each_move_are_those_of_keras(adam_history):
    for iteration in adam_history:
        assert_no_further(*sides(iteration, "losses"), size=of_all)
        assert_no_further(*sides(iteration, "terms"), size=of_all)


def test_gradients_of_each_move_are_those_of_keras(adam_history):
    for iteration in adam_history:
        ours, theirs, exact = sides(iteration, "grads")
        for net, steps in exact.items():
            for three in zip(ours[net], theirs[net], steps, strict=True):
                assert_no_further(*three, size=of_layer)


def test_moments_of_adam_are_those_of_keras(adam_history):
    for iteration in adam_history:
        ours, theirs, exact = sides(iteration, "moments")
        for net, (mu, nu) in exact.items():
            assert_no_further(ours[net][0], theirs[net][0], mu, size=of_layer)
            # Of the squared gradients' average the root, whose error is again that of gradients.
            roots = (jax.tree.map(np.sqrt, x) for x in (ours[net][1], theirs[net][1], nu))
            assert_no_further(*roots, size=of_layer)


def slacks(history, net):
    """After each iteration `adam_slack` of the network, with all gradients until then."""
    gradients, errors = [], []
    for iteration in history:
        _, theirs, exact = (grads[net] for grads in sides(iteration, "grads"))
        gradients += exact
        errors += [tolerances(*both, size=of_layer) for both in zip(theirs, exact, strict=True)]
        yield adam_slack(gradients, errors)


def test_parameters_after_adam_are_those_of_keras_to_rounding(adam_history):
    for net in ("generator", "discriminator"):
        for iteration, slack in zip(adam_history, slacks(adam_history, net), strict=True):
            ours, _, exact = (params[net] for params in sides(iteration, "params"))
            for path, value in jax.tree_util.tree_leaves_with_path(exact):
                allowed = at(slack, path) + FLOOR * np.maximum(np.abs(value), RATE)
                excess = np.abs(at(ours, path) - value) - allowed
                assert excess.max() <= 0, f"{jax.tree_util.keystr(path)}: {excess.max():.3g} more"
            # The slack is no free pass: mostly it is below a twentieth of a step.
            everything = np.concatenate([x.ravel() for x in jax.tree.leaves(slack)])
            assert np.median(everything) < 0.05 * RATE


def test_running_statistics_after_adam_are_those_of_keras(adam_history):
    for net in ("generator", "discriminator"):
        moved = 0.0
        for iteration, slack in zip(adam_history, slacks(adam_history, net), strict=True):
            ours, theirs, exact = (stats[net] for stats in sides(iteration, "stats"))
            # Biases that rounding moves (see `adam_slack`) move the means with them, by a fifth
            # for each of an iteration's two passes.
            moved += 2 * 0.2 * max(x["bias"].max() for x in slack.values())
            for path, allowed in tolerances(theirs, exact).items():
                excess = np.abs(at(ours, path) - at(exact, path)).max() - allowed
                assert excess <= (moved if path[-1].key == "mean" else 0), path


def test_all_parameters_and_statistics_after_sgd_are_those_of_keras(sgd_history):
    # SGD does not amplify rounding, so here no element needs an excuse.
    for iteration in sgd_history:
        for kind in ("params", "stats"):
            ours, theirs, exact = sides(iteration, kind)
            for net in exact:
                assert_no_further(ours[net], theirs[net], exact[net])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("net", ["generator", "discriminator"])
def test_the_steps_compared_here_move_every_kernel(optimizer, net):
    # Guards all of the above against comparing things that stand still.
    before = to_flax(keras_models(True)[net].trainable_variables)
    after = play("two_step", True, optimizer, 2)[0][0].params[net]
    least = {"keras_adam": 0.25 * RATE, "sgd": 5e-5}[optimizer]
    for path, value in jax.tree_util.tree_leaves_with_path(before):
        if path[-1].key == "kernel":
            assert np.abs(at(after, path) - value).max() > least

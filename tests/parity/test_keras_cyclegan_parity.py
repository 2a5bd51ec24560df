"""The CycleGAN tutorial's networks, written with Keras, against ours with the same weights.

Written from the tutorial's specification with Keras' own layers; its instance
normalisation is Keras' group normalisation with a group for each channel. Layers carry the
names of the Flax modules. What is right is what Keras' side makes in float64; how far ours may
be from that, `closeness` says.
"""

import functools

import jax
import keras
import numpy as np
import pytest
from closeness import assert_no_further, exactly
from keras import layers

from gans.models.patchgan import Discriminator
from gans.models.unet import Generator

SLOPE = 0.3
FLAX_NAMES = {"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "bias"}


def halve(x, filters, index, norm):
    name = f"Conv_{index}"
    x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False, name=name)(x)
    return layers.LeakyReLU(negative_slope=SLOPE)(x if norm is None else instance_norm(x, norm))


def instance_norm(x, index):
    return layers.GroupNormalization(groups=-1, epsilon=1e-5, name=f"InstanceNorm_{index}")(x)


def double(x, filters, index, **kwargs):
    name = f"ConvTranspose_{index}"
    return layers.Conv2DTranspose(filters, 4, strides=2, padding="same", name=name, **kwargs)(x)


def keras_generator(features):
    x = image = keras.Input((None, None, 3))
    skips = []
    for i, filters in enumerate(features):
        x = halve(x, filters, i, i - 1 if i else None)
        skips.append(x)
    for i, skip in enumerate(reversed(skips[:-1])):
        x = double(x, skip.shape[-1], i, use_bias=False)
        x = instance_norm(x, len(features) - 1 + i)
        if i < 3:
            x = layers.Dropout(0.5)(x)
        x = layers.Concatenate()([layers.ReLU()(x), skip])
    x = double(x, 3, len(features) - 1, activation="tanh")
    return keras.Model(image, x)


def keras_discriminator(features):
    x = image = keras.Input((None, None, 3))
    for i, factor in enumerate((1, 2, 4)):
        x = halve(x, factor * features, i, i - 1 if i else None)
    x = layers.ZeroPadding2D()(x)
    x = layers.Conv2D(8 * features, 4, use_bias=False, name="Conv_3")(x)
    x = layers.LeakyReLU(negative_slope=SLOPE)(instance_norm(x, 2))
    return keras.Model(image, layers.Conv2D(1, 4, name="Conv_4")(layers.ZeroPadding2D()(x)))


def scramble(model):
    """Weights that keep numbers of the order of one, none at its initial value."""
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        value = rng.normal(size=v.shape)
        if v.path.endswith("kernel"):
            # Of a transposed convolution, the inputs are the last axis.
            inputs = v.shape[-1] if "ConvTranspose" in v.path else v.shape[-2]
            value *= np.sqrt(1.5 / (16 * inputs))
        else:
            value = 0.2 * value + v.path.endswith("gamma")
        v.assign(value.astype(np.float32))
    return model


def to_flax(variables):
    tree = {}
    for v in variables:
        layer, name = v.path.split("/")[-2:]
        value = np.asarray(v.value)
        if layer.startswith("ConvTranspose") and name == "kernel":
            # Keras' is [h, w, out, in], and turned.
            value = value[::-1, ::-1].swapaxes(2, 3)
        tree.setdefault(layer, {})[FLAX_NAMES[name]] = value
    return tree


SMALL = (4, 8, 12, 16, 16, 16, 16, 16)
PATCHGAN = functools.partial(Discriminator, slope=SLOPE, affine=True, use_bias=False)

CASES = {
    "generator": (keras_generator, SMALL, Generator(features=SMALL), (1, 256, 256, 3)),
    "discriminator": (keras_discriminator, 6, PATCHGAN(features=6), (2, 72, 64, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_keras(name):
    make, features, module, shape = CASES[name]
    model = scramble(make(features))
    params = to_flax(model.trainable_variables)
    image = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)

    # The seeds of dropout.
    others = [v.value for v in model.non_trainable_variables]

    def theirs(variables, image):
        return model.stateless_call(variables, others, image, training=False)[0]

    variables = [v.value for v in model.trainable_variables]
    expected, exact = jax.jit(theirs)(variables, image), exactly(theirs)(variables, image)
    y = jax.jit(functools.partial(module.apply, train=False))({"params": params}, image)
    init = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), image)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, init["params"])
    assert y.shape == expected.shape
    assert np.std(expected) > 0.1
    assert_no_further(y, expected, exact)

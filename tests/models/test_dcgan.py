"""The DCGAN modules beyond the tutorials' sizes; those are compared with Keras."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import sums_round_by

from gans.models import dcgan
from gans.models.dcgan import Discriminator, Generator

SMALL = Generator(image_size=8, channels=3, stem_features=4, features=(4,))
JUDGE = Discriminator(features=(4, 6), strides=(2, 1))


def shapes(net, *inputs):
    """Shapes of the output and of the variables, without computing anything."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    return jax.eval_shape(
        lambda *x: net.init_with_output(jax.random.key(0), *x, train=False), *inputs
    )


def run(net, *inputs, train=False):
    """The output with weights that are random, but the same for networks of one shape."""
    rng = np.random.default_rng(0)
    _, variables = shapes(net, *(x.shape for x in inputs))
    params = jax.tree.map(
        lambda x: rng.normal(size=x.shape) / np.sqrt(max(np.prod(x.shape[:-1]), 1)),
        variables["params"],
    )
    statistics = jax.tree.map(lambda x: np.ones(x.shape), variables["batch_stats"])
    variables = jax.tree.map(np.float32, {"params": params, "batch_stats": statistics})
    apply = jax.jit(lambda v, *x: net.apply(v, *x, train=train, mutable=["batch_stats"])[0])
    return apply(variables, *inputs)


def normal(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "features", "stem"),
    [(32, (128, 64), 8), (28, (8, 4), 7), (64, (8, 8, 4), 8), (6, (4,), 3), (5, (), 5)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_generator_doubles_from_stem_to_image(size, features, stem, channels):
    net = Generator(image_size=size, channels=channels, stem_features=8, features=features)
    images, variables = shapes(net, (3, 10))
    assert images.shape == (3, size, size, channels)
    assert variables["params"]["Dense_0"]["kernel"].shape == (10, stem * stem * 8)
    assert sum(name.startswith("Upsample") for name in variables["params"]) == len(features)


@pytest.mark.parametrize(("size", "features"), [(30, (8, 4)), (1, (8,)), (0, (8,))])
def test_a_size_that_doubling_cannot_reach_is_refused_by_its_number(size, features):
    net = Generator(image_size=size, stem_features=8, features=features)
    with pytest.raises(ValueError, match=f"image_size {size} .*{2 ** len(features)}"):
        shapes(net, (3, 10))


@pytest.mark.parametrize(
    ("size", "strides", "flat"),
    # "SAME" rounds up: 9 -> 5 -> 5, 9 -> 5 -> 3.
    [
        ((8, 8), (2, 1), 4 * 4),
        ((9, 7), (2, 1), 5 * 4),
        ((9, 9), (2, 2), 3 * 3),
        ((1, 1), (2, 2), 1),
    ],
)
def test_the_discriminator_takes_any_image_size(size, strides, flat):
    net = Discriminator(features=(4, 6), strides=strides)
    logits, variables = shapes(net, (3, *size, 2))
    assert logits.shape == (3, 1)
    assert variables["params"]["Dense_0"]["kernel"].shape == (flat * 6, 1)


def test_the_label_joins_the_features_before_the_hidden_layers():
    net = Discriminator(features=(4, 6), strides=(2, 1), hidden_features=(16, 8))
    _, variables = shapes(net, (3, 8, 8, 1), (3, 5))
    kernels = [variables["params"][f"Dense_{i}"]["kernel"].shape for i in range(3)]
    assert kernels == [(4 * 4 * 6 + 5, 16), (16, 8), (8, 1)]


def test_the_first_convolution_is_not_normalised():
    _, variables = shapes(JUDGE, (3, 8, 8, 1))
    assert set(variables["batch_stats"]) == {"BatchNorm_0"}
    assert variables["batch_stats"]["BatchNorm_0"]["mean"].shape == (6,)


def test_features_and_strides_must_be_as_many():
    with pytest.raises(ValueError):
        shapes(Discriminator(features=(4, 6), strides=(2,)), (3, 8, 8, 1))


def test_images_are_within_the_range_of_tanh_and_not_constant():
    images = run(SMALL, 10 * normal(5, 10), train=True)
    assert images.dtype == jnp.float32
    assert np.abs(images).max() <= 1.0
    assert np.std(images) > 0.1


def test_labels_change_what_both_networks_answer():
    z, (one, two) = np.ones((1, 4), np.float32), np.eye(2, dtype=np.float32)[:, None]
    assert np.abs(run(SMALL, z, one) - run(SMALL, z, two)).max() > 1e-3
    image = np.ones((1, 8, 8, 3), np.float32)
    assert np.abs(run(JUDGE, image, one) - run(JUDGE, image, two)).max() > 1e-3


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_bfloat16_keeps_parameters_and_outputs_in_float32(name):
    net, x = {
        "generator": (SMALL, normal(6, 10)),
        "discriminator": (JUDGE, normal(6, 8, 8, 3)),
    }[name]
    rough = net.clone(dtype=jnp.bfloat16)
    output, variables = shapes(rough, x.shape)
    assert {leaf.dtype for leaf in jax.tree.leaves((output, variables))} == {jnp.dtype("float32")}
    y, exact = run(rough, x, train=True), run(net, x, train=True)
    np.testing.assert_allclose(y, exact, rtol=0.05, atol=0.05)
    # It is bfloat16 that was computed.
    assert np.abs(y - exact).max() > 1e-5


def test_projection_adds_the_inner_product_with_the_vector_of_the_class():
    """Miyato and Koyama 2018, eq. 3: the features found out one by one, through unit vectors."""
    image = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 2)), jnp.float32)
    label = jnp.eye(5)[jnp.array([1, 4, 1])]
    shape = {"features": (3,), "strides": (2,)}
    plain, net = dcgan.Discriminator(**shape), dcgan.ProjectionDiscriminator(**shape)
    params = net.init(jax.random.key(0), image, label, train=False)["params"]
    vectors, logit = params["Dense_0"]["kernel"], params["Dense_1"]
    assert vectors.shape == (5, 12)
    alone = plain.apply(
        {"params": {"Conv_0": params["Conv_0"], "Dense_0": logit}}, image, train=False
    )

    def projected(vectors):
        changed = {**params, "Dense_0": {"kernel": vectors}}
        return net.apply({"params": changed}, image, label, train=False) - alone

    units = jnp.eye(12)
    features = jnp.stack([projected(jnp.tile(unit, (5, 1)))[:, 0] for unit in units], axis=-1)

    def is_sum(found, weights):
        """Of the features, each of which is a difference of sums of twelve and of one more."""
        products = np.abs(np.float64(features) * weights).sum(-1) + np.abs(np.float64(alone[:, 0]))
        exact = np.sum(np.float64(features) * weights, axis=-1)
        assert (np.abs(found - exact) <= sums_round_by(products, 4 * 12)).all()

    is_sum(alone[:, 0] - logit["bias"], np.float64(logit["kernel"][:, 0]))
    is_sum(projected(vectors)[:, 0], np.float64(vectors)[[1, 4, 1]])


def test_the_auxiliary_discriminator_tells_real_from_fake_as_the_plain_one():
    image = jnp.asarray(np.random.default_rng(0).normal(size=(3, 8, 8, 3)), jnp.float32)
    net = dcgan.AuxiliaryDiscriminator(classes=7, features=(4, 5), strides=(2, 1))
    variables = net.init(jax.random.key(0), image, train=False)
    real, classes = net.apply(variables, image, train=False)
    assert (real.shape, classes.shape) == ((3, 1), (3, 7))
    params = variables["params"]
    assert params["Dense_1"]["kernel"].shape == (80, 7)
    alone = {name: x for name, x in params.items() if name != "Dense_1"}
    plain = dcgan.Discriminator(features=(4, 5), strides=(2, 1))
    np.testing.assert_array_equal(
        real, plain.apply({**variables, "params": alone}, image, train=False)
    )


JUDGES = {
    "plain": (dcgan.Discriminator, {"hidden_features": (5,)}, [(3, 8, 8, 1), (3, 2)]),
    "projection": (dcgan.ProjectionDiscriminator, {}, [(3, 8, 8, 1), (3, 2)]),
    "auxiliary": (dcgan.AuxiliaryDiscriminator, {"classes": 2}, [(3, 8, 8, 1)]),
}


@pytest.mark.parametrize("name", JUDGES)
def test_every_kernel_of_a_discriminator_can_be_divided_by_its_norm(name):
    kind, own, inputs = JUDGES[name]
    own = {**own, "features": (4, 6), "strides": (2, 1)}
    output, variables = shapes(kind(**own, spectral=True), *inputs)
    expected, plain = shapes(kind(**own), *inputs)
    assert "spectral" not in plain
    vectors = variables.pop("spectral")
    assert (output, variables) == (expected, plain)
    layers = {name for name, params in plain["params"].items() if "kernel" in params}
    assert set(vectors) == layers
    for layer in layers:
        assert vectors[layer]["u"].shape == plain["params"][layer]["kernel"].shape[-1:]


@pytest.mark.parametrize("name", JUDGES)
def test_a_discriminator_without_normalisation_judges_each_image_alone(name):
    kind, own, (size, *label) = JUDGES[name]
    net = kind(**own, features=(4, 6), strides=(2, 1), normalise=False)
    inputs = [normal(*size), *(np.eye(2, dtype=np.float32)[[0, 1, 1]] for _ in label)]
    variables = net.init(jax.random.key(0), *inputs, train=False)
    assert set(variables) == {"params"}
    whole = net.apply(variables, *inputs, train=True)
    alone = net.apply(variables, *(x[:1] for x in inputs), train=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[:1], b, rtol=1e-5), whole, alone)

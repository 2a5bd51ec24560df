"""Names and shapes of the PyTorch code's networks, and that a refusal says what differs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gans.errors import UserError
from gans.inference import pytorch_weights
from gans.models import dcgan, patchgan, resnet, unet


def resnet_weights(features=4, blocks=2, dropout=False):
    """A state dict of the ResNet generator with the names of the published files."""
    f = features
    shapes = {"model.1": (f, 3, 7, 7), "model.4": (2 * f, f, 3, 3), "model.7": (4 * f, 2 * f, 3, 3)}
    for i in range(10, 10 + blocks):
        for j in (1, 6 if dropout else 5):
            shapes[f"model.{i}.conv_block.{j}"] = (4 * f, 4 * f, 3, 3)
    end = 10 + blocks
    shapes[f"model.{end}"] = (4 * f, 2 * f, 3, 3)
    shapes[f"model.{end + 3}"] = (2 * f, f, 3, 3)
    shapes[f"model.{end + 7}"] = (3, f, 7, 7)
    rng = np.random.default_rng(0)
    weights = {}
    for name, shape in shapes.items():
        outputs = shape[1] if name in (f"model.{end}", f"model.{end + 3}") else shape[0]
        weights[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(size=outputs).astype(np.float32)
    return weights


def convert(weights, module):
    x = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    return pytorch_weights.convert(weights, module, variables["params"])


RESNET = resnet.Generator(features=4, blocks=2)


def test_taps_and_channels_go_where_they_belong():
    weights = resnet_weights()
    params = convert(weights, RESNET)
    conv, there = params["ResidualBlock_1"]["Conv_0"], weights["model.11.conv_block.1.weight"]
    assert conv["kernel"][0, 2, 5, 7] == there[7, 5, 0, 2]
    up, there = params["ConvTranspose_0"], weights["model.12.weight"]
    # Turned by 180 degrees, the inputs before the outputs.
    assert up["kernel"][0, 2, 13, 6] == there[13, 6, 2, 0]
    np.testing.assert_array_equal(up["bias"], weights["model.12.bias"])
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("form", ["buffers", "module.", "dropout", "float16"])
def test_variants_of_a_file_give_the_same_parameters(form):
    weights = resnet_weights()
    expected = convert(weights, RESNET)
    if form == "buffers":
        weights["model.2.running_mean"] = weights["model.2.running_var"] = np.ones(4, np.float32)
        weights["model.2.num_batches_tracked"] = np.ones((), np.int64)
    elif form == "module.":
        weights = {f"module.{name}": value for name, value in weights.items()}
    elif form == "dropout":
        weights = resnet_weights(dropout=True)
    else:
        weights = {name: value.astype(np.float16) for name, value in weights.items()}
        expected = jax.tree.map(lambda x: x.astype(np.float16).astype(np.float32), expected)
    jax.tree.map(np.testing.assert_array_equal, convert(weights, RESNET), expected)


def with_batch_norm(running=True):
    """As the authors' code has it: no biases before it, and in blocks where dropout could be."""
    weights = resnet_weights()
    for layer, width in {"model.2": 4, "model.10.conv_block.6": 16}.items():
        for name in ("weight", "bias", *(["running_mean", "running_var"] if running else [])):
            weights[f"{layer}.{name}"] = np.ones(width, np.float32)
    del weights["model.1.bias"]
    return weights


@pytest.mark.parametrize(
    ("weights", "module", "message"),
    [
        (
            resnet_weights(features=2),
            RESNET,
            "model.1.weight has shape (2, 3, 7, 7) in the file, (4, 3, 7, 7) in the network.",
        ),
        (
            resnet_weights(blocks=1),
            RESNET,
            "the file has no model.11.conv_block.1.weight of shape (16, 16, 3, 3), "
            "but has model.11.weight of shape (16, 8, 3, 3).",
        ),
        (
            resnet_weights(blocks=3),
            RESNET,
            "the file has no model.12.weight of shape (16, 8, 3, 3), "
            "but has model.12.conv_block.1.weight of shape (16, 16, 3, 3).",
        ),
        (
            {**resnet_weights(), "model.9.weight": np.ones((1, 1), np.float32)},
            RESNET,
            "the file has model.9.weight of shape (1, 1), which the network has not.",
        ),
        (
            with_batch_norm(),
            RESNET,
            "model.2 in the file is batch normalisation, and the network has instance "
            "normalisation without parameters: import one that was trained with --norm instance.",
        ),
        (
            with_batch_norm(running=False),
            RESNET,
            "model.2 in the file is a normalisation with parameters, and the network has instance "
            "normalisation without parameters: import one that was trained with --norm instance.",
        ),
        (
            {"model.1.weight": np.zeros((4, 3, 7, 7))},
            RESNET,
            "the file has no model.1.bias of shape (4,).",
        ),
        (
            resnet_weights(),
            unet.PaperGenerator(features=(4, 8)),
            "the file has no model.model.0.weight of shape (4, 3, 4, 4), "
            "but has model.1.weight of shape (4, 3, 7, 7).",
        ),
        (
            {},
            unet.Generator(features=(4, 8)),
            "unet.Generator is not a network of the PyTorch code; those are resnet.Generator, "
            "unet.PaperGenerator, patchgan.Discriminator, patchgan.PixelDiscriminator.",
        ),
        (
            {},
            resnet.Generator(upsampling="resize"),
            "the network's upsampling is 'resize', that of the PyTorch code is 'transposed'.",
        ),
        (
            {},
            patchgan.Discriminator(slope=0.3),
            "the network's slope is 0.3, that of the PyTorch code is 0.2.",
        ),
        (
            {},
            patchgan.Discriminator(affine=True),
            "the network's affine is True, that of the PyTorch code is False.",
        ),
    ],
)
def test_the_first_difference_is_named(weights, module, message):
    with pytest.raises(UserError) as error:
        convert(weights, module)
    assert str(error.value) == message


def test_a_module_of_another_kind_is_refused():
    with pytest.raises(UserError, match="dcgan.Generator is not a network of the PyTorch code"):
        pytorch_weights.convert({}, dcgan.Generator(), {})

"""Files of PyTorch: which are read, which are refused, and that the refusal says why."""

import pickle
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gans import pytorch
from gans.errors import UserError
from gans.models import dcgan, patchgan, resnet, unet


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.folder),)


TENSORS = {"net.0.weight": torch.arange(6.0).reshape(2, 3, 1, 1), "net.0.bias": torch.ones(2)}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_state_dict_is_read(tmp_path, zipped, wrapped):
    path = tmp_path / "net.pth"
    saved = {"epoch": 3, "state_dict": TENSORS} if wrapped else TENSORS
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    found = pytorch.load(path)
    assert list(found) == list(TENSORS)
    for name, value in found.items():
        np.testing.assert_array_equal(value, TENSORS[name].numpy())


def test_parameters_and_half_precision_are_read(tmp_path):
    torch.save({"a": parameter(torch.bfloat16), "b": parameter(torch.float16)}, tmp_path / "x")
    for value in pytorch.load(tmp_path / "x").values():
        np.testing.assert_array_equal(value, [0.5, -2.0])


def parameter(dtype):
    return torch.nn.Parameter(torch.tensor([0.5, -2.0], dtype=dtype))


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle", "beside tensors"])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, form):
    folder, path = tmp_path / "made", tmp_path / "net.pth"
    if form == "pickle":
        path.write_bytes(pickle.dumps(Malicious(folder)))
    else:
        saved = (
            {**TENSORS, "x": Malicious(folder)} if form == "beside tensors" else Malicious(folder)
        )
        torch.save(saved, path, _use_new_zipfile_serialization=form != "old torch")
    # PyTorch never wrote the newer protocol that `pickle.dumps` takes.
    message = "no file of torch.save" if form == "pickle" else "holds Python objects"
    with pytest.raises(UserError, match=message):
        pytorch.load(path)
    assert not folder.exists()
    # What was refused is code indeed.
    if form == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert folder.exists()


def test_a_pickled_network_is_refused(tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "net.pth")
    with pytest.raises(UserError, match="save the state_dict"):
        pytorch.load(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (torch.ones(3), "holds a Tensor, not the state dict"),
        ([1, 2], "holds a list, not the state dict"),
        ({}, "holds a dict, not the state dict"),
        ({"epoch": 3, "G_A": TENSORS}, "entry 'epoch' is a int: save the state_dict"),
        ({"G_A": TENSORS, "G_B": TENSORS}, "entry 'G_A' is a dict: save the state_dict"),
    ],
)
def test_a_file_with_something_else_says_what(tmp_path, saved, message):
    torch.save(saved, tmp_path / "net.pth")
    with pytest.raises(UserError, match=re.escape(message)):
        pytorch.load(tmp_path / "net.pth")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(TENSORS, path)
    whole = path.read_bytes()
    for content in (
        b"",
        b"<html>not found</html>",
        bytes(64),
        whole[:100],
        whole[: len(whole) // 2],
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"net\.pth is damaged, or no file of torch\.save"):
            pytorch.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*net\.pth: No such file"):
        pytorch.load(tmp_path / "net.pth")
    with pytest.raises(UserError, match="Cannot read .*: Is a directory"):
        pytorch.load(tmp_path)


def test_without_pytorch_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="pip install torch"):
        pytorch.load(tmp_path / "net.pth")


# Conversion.


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
    return pytorch.convert(weights, module, variables["params"])


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


def with_batch_norm():
    weights = resnet_weights()
    weights["model.2.weight"] = weights["model.2.bias"] = np.ones(4, np.float32)
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
            with_batch_norm(),
            RESNET,
            "the file has model.2.weight of shape (4,), which the network has not.",
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
        pytorch.convert({}, dcgan.Generator(), {})

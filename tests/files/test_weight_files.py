"""Files of weights: safetensors are read, and others are named as what they are."""

import io
import json
import re
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gans.errors import UserError
from gans.files import weight_files

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16}


def safetensors(arrays):
    """The format as its page describes it: the header's length, the header, the numbers."""
    header, data = {}, b""
    for name, (dtype, array) in arrays.items():
        numbers = array.tobytes()
        offsets = [len(data), len(data) + len(numbers)]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": offsets}
        data += numbers
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_are_read_whatever_their_name(tmp_path, dtype):
    array = np.array([[0.5, -2.0, 1.0], [3.0, 0.25, 0.0]], DTYPES[dtype])
    count = np.array(7, np.int64)
    (tmp_path / "net.pth").write_bytes(safetensors({"w": (dtype, array), "n": ("I64", count)}))
    found = weight_files.load(tmp_path / "net.pth")
    assert found["w"].dtype == np.float32 and found["n"].dtype == np.int64
    np.testing.assert_array_equal(found["w"], array.astype(np.float32))
    assert found["n"] == 7


def test_damaged_safetensors_are_refused(tmp_path):
    path, whole = tmp_path / "net.safetensors", safetensors({"w": ("F32", np.ones(4, np.float32))})
    huge = safetensors({"w": ("F32", np.ones(4, np.float32))}).replace(b"[4]", b"[9]")
    for content in (whole[:-1], whole[:30], whole + b"x", huge):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"net\.safetensors is damaged"):
            weight_files.load(path)
    path.write_bytes(safetensors({}))
    with pytest.raises(UserError, match="holds no arrays"):
        weight_files.load(path)
    path.write_bytes(safetensors({"w": ("F8_E5M2", np.ones(4, np.uint8))}))
    with pytest.raises(UserError, match="holds w as F8_E5M2"):
        weight_files.load(path)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, form, wrong):
    array = np.array([1.0, wrong, 2.0, wrong])
    if form == "torch":
        torch.save({"w": torch.from_numpy(array)}, tmp_path / "net")
    else:
        (tmp_path / "net").write_bytes(safetensors({"w": ("F64", array)}))
    with pytest.raises(UserError, match="net: 2 of the 4 numbers in w are not finite"):
        weight_files.load(tmp_path / "net")


def archive(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return content.getvalue()


def numpy_arrays():
    content = io.BytesIO()
    np.savez(content, x=np.ones(3))
    return content.getvalue()


# The first fields of a model: version 8 of the format, by "pytorch", "2.1".
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x032.1:"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("net.pth", b"", "is empty"),
        ("net.pth", b"<!DOCTYPE html><html>", "is a web page"),
        ("net.pth", b"\n <html>", "is a web page"),
        ("net.pth", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        ("net.pth", b"\x1f\x8b\x08" + bytes(9), "is packed by gzip"),
        ("net.pth", ONNX, "is a model of ONNX"),
        ("net.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file"),
        ("net.keras", archive("config.json", "model.weights.h5"), "is a model of Keras"),
        ("net.tflite", b"\x1c\0\0\0TFL3" + bytes(99), "is a model of TensorFlow Lite"),
        ("net.ckpt.index", bytes(99), "is a file of TensorFlow"),
        ("net.ckpt.data-00000-of-00001", bytes(99), "is a file of TensorFlow"),
        ("checkpoint", b'model_checkpoint_path: "a"', "is the index of a TensorFlow checkpoint"),
        ("saved_model.pb", b"\x08\x01" + bytes(99), "is a file of TensorFlow"),
        ("net.npz", numpy_arrays(), "is an .npz of numpy"),
        ("net.npy", b"\x93NUMPY\x01\x00" + bytes(99), "is a single array of numpy"),
        ("net.gguf", b"GGUF" + bytes(99), "is a GGUF file"),
        ("net.pt", archive("m/data.pkl", "m/constants.pkl", "m/code/x.py"), "of TorchScript"),
        ("net.pt2", archive("archive_format", "models/model.json"), "is a program of torch.export"),
        ("g.zip", archive("generator.jaxexport", "about.json"), "that experiments.export wrote"),
        ("net.zip", archive("latest_net_G.pth"), "is a zip archive of other files"),
    ],
)
def test_a_foreign_format_is_named(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{re.escape(name)} .*{what}"):
        weight_files.load(tmp_path / name)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="is a folder; give a file"):
        weight_files.load(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(UserError, match="is a SavedModel of TensorFlow"):
        weight_files.load(tmp_path)

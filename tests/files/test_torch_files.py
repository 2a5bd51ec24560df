"""Files of PyTorch: which are read, which are refused, and that the refusal says why."""

import pickle
import re
import sys
import warnings

import numpy as np
import pytest
import torch

from gans.errors import UserError
from gans.files import weight_files


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
    found = weight_files.load(path)
    assert list(found) == list(TENSORS)
    for name, value in found.items():
        np.testing.assert_array_equal(value, TENSORS[name].numpy())


def test_parameters_and_half_precision_are_read(tmp_path):
    torch.save({"a": parameter(torch.bfloat16), "b": parameter(torch.float16)}, tmp_path / "x")
    for value in weight_files.load(tmp_path / "x").values():
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
        weight_files.load(path)
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
        weight_files.load(tmp_path / "net.pth")


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
        weight_files.load(tmp_path / "net.pth")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(TENSORS, path)
    whole = path.read_bytes()
    for content in (b"weights", bytes(64), whole[:100], whole[: len(whole) // 2], whole[:-9]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"net\.pth is damaged, or no file of torch\.save"):
            weight_files.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*net\.pth: No such file"):
        weight_files.load(tmp_path / "net.pth")
    with pytest.raises(UserError, match="is a folder; give a file"):
        weight_files.load(tmp_path)


def test_without_pytorch_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "net.pth").write_bytes(bytes(64))
    with pytest.raises(UserError, match="pip install torch"):
        weight_files.load(tmp_path / "net.pth")


def ones():
    return torch.ones(4, 3)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: ones().to_sparse(), "a sparse tensor"),
        (lambda: ones().to_sparse_csr(), "a sparse tensor"),
        (lambda: torch.quantize_per_tensor(ones(), 0.1, 0, torch.qint8), "a quantized tensor"),
        (lambda: ones().to("meta"), "a tensor without data"),
        (lambda: ones().to(torch.complex64), "complex numbers"),
        (lambda: torch.nested.nested_tensor([ones(), ones()[:2]]), "a nested tensor"),
    ],
)
def test_a_tensor_that_is_no_array_is_named(tmp_path, make, kind):
    with warnings.catch_warnings():  # of what PyTorch calls experimental
        warnings.simplefilter("ignore")
        torch.save({**TENSORS, "x": make()}, tmp_path / "net.pth")
        with pytest.raises(UserError, match=rf"net\.pth holds x as {kind}"):
            weight_files.load(tmp_path / "net.pth")


def test_views_of_tensors_are_read_as_what_they_show(tmp_path):
    x = torch.arange(6.0)
    saved = {
        "shared": x[1:3],
        "expanded": x[2:3].expand(4),
        "negated": torch.complex(x, x).conj().imag,
        "none": torch.zeros(0, 3),
    }
    torch.save({**saved, "whole": x}, tmp_path / "net.pth")
    found = weight_files.load(tmp_path / "net.pth")
    for name, value in saved.items():
        np.testing.assert_array_equal(found[name], value.numpy(force=True))


def test_a_tensor_that_repeats_a_number_without_end_is_refused_before_it_is_made(tmp_path):
    endless = torch.ones(1, dtype=torch.bfloat16).expand(2**30, 2**20)
    torch.save({**TENSORS, "x": endless}, tmp_path / "net.pth")
    with pytest.raises(UserError, match="out of all proportion to its size"):
        weight_files.load(tmp_path / "net.pth")


def test_a_flipped_bit_in_a_tensor_is_found(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"x": torch.full((100,), 0.25)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(0.25).tobytes() * 100) + 42] ^= 1
    path.write_bytes(content)
    assert torch.load(path)["x"].unique().numel() == 2  # PyTorch does not mind
    with pytest.raises(UserError, match="is damaged, in its part .*data/0"):
        weight_files.load(path)

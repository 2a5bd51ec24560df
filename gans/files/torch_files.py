"""Files of `torch.save` that hold the state dict of a network; PyTorch is needed to read them."""

from __future__ import annotations

import errno
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from gans.errors import UserError
from gans.files import archives

_WRAPPERS = ("state_dict", "model_state_dict")


def load(path: Path) -> dict[str, np.ndarray]:
    """The state dict in a file of `torch.save`; nothing in the file is executed.

    Args:
      path: the file. The dict may also be an entry `state_dict` of another one.

    Returns:
      The tensors by name, as arrays; floating-point numbers of 16 bits and less as float32.

    Raises:
      UserError: it is no state dict, a tensor is of a kind that networks' weights are not, or
        PyTorch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise UserError(f"PyTorch is needed to read {path}: python -m pip install torch.") from None
    found = _unpickled(path)
    for name in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path} holds a {type(found).__name__}, not the state dict of a network.")
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise UserError(
                f"{path} is not the state dict of one network, for its entry {name!r} is a "
                f"{type(value).__name__}: save the state_dict() of each network alone."
            )
        if odd := _odd(value):
            raise UserError(
                f"{path} holds {name} as {odd}; only dense tensors of real numbers are read."
            )
    # A tensor may repeat a few stored numbers without end.
    archives.require_size(path, sum(value.numel() * 4 for value in found.values()))
    return {str(name): _as_array(value) for name, value in found.items()}


def _unpickled(path: Path) -> Any:
    """What `torch.load` makes of a file without executing anything in it."""
    import torch

    try:
        if zipfile.is_zipfile(path):
            archives.require_whole(path)
        with warnings.catch_warnings():  # of oddities in files that are refused below
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:  # which reading at a wrong place in it gives
            raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
        raise UserError(f"{path} is damaged, or no file of torch.save.") from error
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():
            raise UserError(f"{path} is damaged, or no file of torch.save.") from error
        raise UserError(
            f"{path} holds Python objects, such as a whole network, not only tensors; it is not "
            "read, for they could run code: save the state_dict() of the network alone."
        ) from error
    except Exception as error:  # which ones, for a damaged file, is up to PyTorch
        raise UserError(f"{path} is damaged, or no file of torch.save.") from error


def _odd(tensor: Any) -> str | None:
    """What a tensor is that no array can be made of; None of any other."""
    if tensor.is_meta:
        return "a tensor without data (of the device meta)"
    if tensor.is_quantized:
        return "a quantized tensor"
    if tensor.is_nested:
        return "a nested tensor"
    if str(tensor.layout) != "torch.strided":
        return "a sparse tensor"
    if tensor.is_complex():
        return "complex numbers"
    return None


def _as_array(tensor: Any) -> np.ndarray:
    # numpy has no bfloat16.
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().resolve_neg().numpy()

"""Files of weights, from wherever they come: arrays by name.

safetensors (https://github.com/huggingface/safetensors) and the state dicts of `torch.save` are
read: what a file is, its first bytes say, not its name. Of other formats it is said what they are.
Nothing in a file is executed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from gans.errors import UserError
from gans.files import finite, torch_files

_SAVE = "give the weights as safetensors or by torch.save(network.state_dict())"
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
"""Of safetensors."""

_FOREIGN = {
    b"\x89HDF\r\n\x1a\n": f"an HDF5 file, as Keras writes weights; {_SAVE}",
    b"\x93NUMPY": f"a single array of numpy; {_SAVE}",
    b"GGUF": f"a GGUF file; {_SAVE}",
    b"\x1f\x8b": "packed by gzip; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "packed by 7-Zip; unpack it first",
    b"\xfd7zXZ": "packed by xz; unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS to the file; fetch the file by git lfs pull",
    b"<": "a web page, or XML; download the file itself",
    b"model_checkpoint_path": f"the index of a TensorFlow checkpoint; {_SAVE}",
}
"""What other files begin with, and what is to be said of them."""


def load(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays in a file of safetensors or of `torch.save`.

    Args:
      path: the file.

    Returns:
      Arrays by name, those of floating-point numbers as float32.

    Raises:
      UserError: there is no such file, it is damaged, or of another format, which is named; or
        a number is not finite.
    """
    path = Path(path)
    arrays = _arrays(path)
    if not arrays:
        raise UserError(f"{path} holds no arrays.")
    single = {name: _single(value) for name, value in arrays.items()}
    finite.require(single, str(path), "take a file of before the training went wrong.")
    return single


def _single(array: np.ndarray) -> np.ndarray:
    """Floating-point numbers as float32, in which too large ones become infinite."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.is_dir():
        saved = (path / "saved_model.pb").exists()
        what = f"a SavedModel of TensorFlow; {_SAVE}" if saved else "a folder; give a file"
        raise UserError(f"{path} is {what}.")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    if not size:
        raise UserError(f"{path} is empty; get it again.")
    if _is_safetensors(head, size):
        return _safetensors(path)
    if what := _foreign(path, head):
        raise UserError(f"{path} is {what}.")
    return torch_files.load(path)


def _is_safetensors(head: bytes, size: int) -> bool:
    """A header of JSON, its length before it."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= max(size, 2**27)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    import safetensors

    try:
        found = safetensors.deserialize(path.read_bytes())
    except (safetensors.SafetensorError, ValueError, OverflowError, OSError) as error:
        raise UserError(f"{path} is damaged: as a safetensors file it has no sense.") from error
    arrays = {}
    for name, tensor in found:
        if tensor["dtype"] not in _DTYPES:
            known = ", ".join(_DTYPES)
            raise UserError(f"{path} holds {name} as {tensor['dtype']}; {known} can be read.")
        array = np.frombuffer(tensor["data"], _DTYPES[tensor["dtype"]])
        arrays[name] = array.reshape(tensor["shape"])
    return arrays


def _foreign(path: Path, head: bytes) -> str | None:
    """What a file is that is not read, and what to do; None if it may be of torch.save."""
    for beginning, what in _FOREIGN.items():
        if head.lstrip().startswith(beginning) if beginning == b"<" else head.startswith(beginning):
            return what
    if head[4:8] == b"TFL3":
        return f"a model of TensorFlow Lite; {_SAVE}"
    # The fields of ONNX's protocol buffer in their order: the version, who made it.
    if path.suffix == ".onnx" or (head[:1] == b"\x08" and head[2:3] == b"\x12" and head[1] < 32):
        return f"a model of ONNX, whose graph is not read; {_SAVE}"
    if path.suffix in (".index", ".pb") or ".data-0" in path.name:
        return f"a file of TensorFlow; {_SAVE}"
    if head.startswith(b"PK"):
        return _foreign_archive(path)
    return None


def _foreign_archive(path: Path) -> str | None:
    """The same of a zip archive, by the names in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # which ones, for a damaged file, is up to zipfile
        return None
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return f"a program of TorchScript, whose weights are not read alone; {_SAVE}"
    if "data.pkl" in inner:
        return None
    if names and all(name.endswith(".npy") for name in names):
        return f"an .npz of numpy, of which only this project's own are read; {_SAVE}"
    if "model.weights.h5" in names:
        return f"a model of Keras; {_SAVE}"
    if "generator.jaxexport" in names:
        return "a generator that experiments.export wrote; give the run folder that it is of"
    if "archive_format" in names or "archive_format" in inner:
        return f"a program of torch.export; {_SAVE}"
    return "a zip archive of other files; unpack it first"

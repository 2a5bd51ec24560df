"""Archives of arrays, none of which may unpack to many times its size.

A small file could otherwise ask for all the memory there is.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from gans.errors import UserError

_RATIO, _FREE = 16, 2**24  # a file may unpack to so many times its size, and so many bytes more


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file of `np.savez`.

    Raises:
      FileNotFoundError: there is none.
      UserError: it cannot be read, is damaged, or holds other than arrays.
    """
    try:
        require_whole(path)
        with np.load(path, allow_pickle=False) as file:
            # Of a plain .npy, np.load gives the array itself.
            arrays = dict(file) if isinstance(file, np.lib.npyio.NpzFile) else None
    except (FileNotFoundError, UserError):
        raise
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # which ones, for a damaged file, is up to numpy and zipfile
        raise UserError(f"{path} is damaged, or no file of np.savez.") from error
    if arrays is None or not all(isinstance(value, np.ndarray) for value in arrays.values()):
        raise UserError(f"{path} is no file of np.savez.")
    return arrays


def require_whole(path: Path) -> None:
    """Raises UserError for a zip archive that is damaged, or unpacks to many times its size.

    Raises:
      zipfile.BadZipFile: it is no zip archive.
      OSError: it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        require_size(path, sum(entry.file_size for entry in archive.infolist()))
        if damaged := archive.testzip():
            raise UserError(f"{path} is damaged, in its part {damaged}; get it again.")


def require_size(path: Path, wanted: int) -> None:
    """Raises UserError if a file asks for many times the memory of its own size.

    Args:
      path: the file.
      wanted: bytes in memory.
    """
    if wanted > _RATIO * path.stat().st_size + _FREE:
        raise UserError(
            f"{path} would take {wanted / 2**20:,.0f} MiB in memory, which is out of all "
            "proportion to its size, so it is not read; get it again from its author."
        )

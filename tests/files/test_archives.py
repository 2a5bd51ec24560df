"""Archives of arrays: damage is found, and none fills the memory."""

import io
import zipfile

import numpy as np
import pytest

from gans.errors import UserError
from gans.files import archives

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text")}


@pytest.fixture
def whole():
    content = io.BytesIO()
    np.savez_compressed(content, **ARRAYS)
    return content.getvalue()


def test_arrays_come_back(tmp_path, whole):
    (tmp_path / "x.npz").write_bytes(whole)
    found = archives.load_npz(tmp_path / "x.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_flipped_bit_is_found_wherever_it_changes_something(tmp_path, whole):
    path = tmp_path / "x.npz"
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            found = archives.load_npz(path)
        except UserError as error:
            assert "x.npz" in str(error)
        else:  # of the times and versions in an archive, nothing is made
            names = {name: found[name] for name in found}
            assert all((array == ARRAYS[name]).all() for name, array in names.items())


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_is_refused(tmp_path, whole, part):
    (tmp_path / "x.npz").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UserError, match=r"x\.npz is damaged, or no file of np\.savez"):
        archives.load_npz(tmp_path / "x.npz")


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", x=np.array([None]))
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as file:
        file.writestr("x.txt", "text")
    for name in ("x.npy", "objects.npz", "text.npz"):
        with pytest.raises(UserError, match=f"{name} is .*no file of np.savez"):
            archives.load_npz(tmp_path / name)
    with pytest.raises(UserError, match="Cannot read .*: Is a directory"):
        archives.load_npz(tmp_path)
    with pytest.raises(FileNotFoundError):
        archives.load_npz(tmp_path / "absent.npz")


def test_what_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(64 * 2**20, np.uint8))
    with pytest.raises(UserError, match="would take 64 MiB in memory, which is out of all prop"):
        archives.load_npz(tmp_path / "x.npz")
    # A header may say what the archive does not.
    content = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**50,)}
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as file:
        file.writestr("x.npy", content.getvalue())
    with pytest.raises(UserError, match=r"y\.npz is damaged"):
        archives.load_npz(tmp_path / "y.npz")

import pathlib
import subprocess
import sys

from gans.data import cifar10


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.prepare", *arguments],
        cwd=pathlib.Path(cifar10.__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
    )


def test_prints_where_prepared_data_is(tmp_path):
    folder = tmp_path / "cifar10" / "3.0.2"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    result = run("--name=cifar10", f"--data_dir={tmp_path}")
    assert (result.returncode, result.stdout) == (0, f"cifar10 is ready in {folder}\n")


def test_failure_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = run("--name=cifar10", f"--data_dir={tmp_path / 'file' / 'data'}")
    assert result.returncode == 2
    assert "Cannot prepare CIFAR-10" in result.stderr
    assert "Traceback" not in result.stderr

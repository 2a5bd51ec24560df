import pathlib
import subprocess
import sys
import textwrap

from gans.data import cifar10, cycle_gan


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


def test_a_member_of_a_family(tmp_path):
    folder = tmp_path / "cycle_gan" / "monet2photo" / "3.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    result = run("--name=cycle_gan", "--dataset=monet2photo", f"--data_dir={tmp_path}")
    expected = f"cycle_gan/monet2photo is ready in {folder}\n"
    assert (result.returncode, result.stdout) == (0, expected)


def test_wrong_names_are_one_line_that_lists_the_known(tmp_path):
    """In one process, since starting one takes seconds."""
    code = """
        import sys
        from absl import flags
        from experiments import prepare
        from gans.errors import UserError
        for name, dataset in zip(sys.argv[2::2], sys.argv[3::2]):
            flags.FLAGS(["", f"--data_dir={sys.argv[1]}", f"--name={name}", f"--dataset={dataset}"])
            try:
                prepare.main()
            except UserError as error:
                print(error)
    """
    cases = [
        "cifar",
        "",
        "prepared",
        "",
        "cifar10",
        "cifar10",
        "cycle_gan",
        "",
        "cycle_gan",
        "city",
    ]
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), *cases],
        cwd=pathlib.Path(cifar10.__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    known = ", ".join(cycle_gan.ARCHIVES)
    assert result.stdout.splitlines() == [
        "--name is 'cifar': choose one of cifar10, cycle_gan.",
        "--name is 'prepared': choose one of cifar10, cycle_gan.",
        "cifar10 is a single data set: leave --dataset out.",
        f"dataset is '': choose one of {known}.",
        f"dataset is 'city': choose one of {known}.",
    ]
    assert not list(tmp_path.iterdir())

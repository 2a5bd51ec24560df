"""One meaning of a tilde for commands, configs and functions; names as messages show them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import gans
from experiments import cli
from gans.data import cifar10
from gans.data.io import image_files
from gans.errors import UserError
from gans.evaluation import evaluate
from gans.evaluation.features import classifier, inception
from gans.files import cache, paths
from gans.inference import export, import_run
from gans.reports import collect, compare
from gans.training import train
from gans.training.sweeps import sweep


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder, and another folder to work in that must stay empty."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "home"
    assert not os.listdir(tmp_path / "here")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_tilde_is_the_home_folder_and_other_paths_stay_as_they_are(home, kind):
    assert paths.expanded(kind("~/runs/x")) == home / "runs" / "x"
    assert paths.expanded(kind("~")) == home
    assert paths.expanded(kind("~root/x")) == Path(os.path.expanduser("~root"), "x")
    for path in ("runs/~x", "/a/~", "a~", ""):
        assert paths.expanded(kind(path)) == Path(path)


def test_expanding_twice_is_expanding_once(home):
    for path in ("~/x", "./~", "./~nouser42/x", "a"):
        once = paths.expanded(path)
        assert paths.expanded(once) == once
    assert paths.expanded("./~/x") == Path.cwd() / "~" / "x"


def test_an_unknown_user_is_a_sentence_unless_a_file_is_called_so(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="~nouser42/x begins with the home folder of nouser42"):
        paths.expanded("~nouser42/x")
    with pytest.raises(UserError, match="holds a null character"):
        paths.expanded("a\0b")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "~nouser42").touch()
    monkeypatch.chdir(tmp_path / "there")
    assert paths.expanded("~nouser42") == Path("~nouser42")


def test_names_are_shown_on_one_line_in_characters_that_can_be_printed():
    assert paths.readable(Path("Zürich/画.png")) == "Zürich/画.png"
    assert paths.readable("a\nb\x1b[2J") == r"a\nb\x1b[2J"
    strange = os.fsdecode(b"caf\xe9")
    assert paths.readable(strange) == r"caf\xe9"
    with pytest.raises(UnicodeEncodeError):
        strange.encode()


@pytest.mark.parametrize(
    "use",
    [
        gans.load,
        gans.load_translator,
        export.export,
        evaluate.checkpoints,
        lambda path: list(evaluate.run(path, [None], {})),
        lambda path: compare.run([path], []),
        lambda path: collect.run(path, None, None, []),
        image_files.check_folder,
        classifier.load,
        inception.load,
    ],
)
def test_functions_name_the_path_in_the_home_folder(home, use):
    with pytest.raises(UserError, match=str(home / "nothing.npz")):
        use("~/nothing.npz")


def test_functions_that_write_make_their_folder_in_the_home_folder(home, monkeypatch):
    (home / "file").touch()
    for function, arguments in [(train.run, ()), (import_run.run, ({"generator_ab": "x"},))]:
        with pytest.raises(UserError, match=str(home / "file")):
            function(_digits(), "~/file", *arguments)
    with pytest.raises(UserError, match=str(home / "file")):
        launched = {"dry_run": True}
        sweep.run(_digits(), str(_CONFIG), {}, ["seed"], Path("~/file"), None, **launched)
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cached")
    assert cache.folder() == home / "cached" / "gans"
    prepared = home / "data" / "cifar10" / "3.0.2"
    prepared.mkdir(parents=True)
    (prepared / "x").touch()
    assert cifar10.prepare("~/data") == prepared


_CONFIG = Path(__file__).parents[2] / "configs" / "cgan_digits.py"


def _digits():
    from configs import cgan_digits

    return cgan_digits.get_config("test")


def test_flags_hold_paths_and_refuse_what_is_none(home):
    values = flags.FlagValues()
    parser = cli._Path()
    flags.DEFINE(parser, "workdir", None, "", values)
    values(["x", "--workdir=~/runs/a"])
    assert values.workdir == home / "runs" / "a"
    for given, sentence in [("", "it is empty"), ("~nouser42/x", "home folder of nouser42")]:
        with pytest.raises(flags.IllegalFlagValueError, match=sentence):
            values(["x", f"--workdir={given}"])


def test_every_flag_for_a_path_is_a_path():
    """A command that takes such a flag as text would make a folder called ~."""
    commands = Path(cli.__file__).parent.glob("*.py")
    texts = [path.read_text() for path in commands]
    assert len(texts) > 10
    for text in texts:
        for name in ("workdir", "out", "figure"):
            assert f'string("{name}"' not in "".join(text.split())


def test_the_path_of_a_config_file_is_expanded(home):
    assert cli._with_home("--config=~/a.py:test") == f"--config={home}/a.py:test"
    for other in ("--config=a.py", "--slurm.partition=~", "~/runs", "--config.data.data_dir=~/x"):
        assert cli._with_home(other) == other


def test_commands_print_names_that_are_not_utf_8():
    program = r"from experiments import cli; cli.run(lambda: print('caf\udce9'))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(_CONFIG.parents[1])},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (0, "caf\\udce9\n"), result.stderr

"""What a person sees: one sentence and a status for a mistake, never a traceback."""

import contextlib
import errno
import io
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from experiments import cli
from gans.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def command(module, *arguments, env=None):
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{module}", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_refused(result, sentence):
    assert result.returncode not in (0, -9), result.stdout + result.stderr
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


TRAIN = "--config=configs/dcgan_digits.py:test"


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            [TRAIN, "--workdir={}", "--config.loss.weigths.real=2"],
            "no field 'weigths'; did you mean 'weights'?",
        ),
        (
            [TRAIN, "--workdir={}", "--config.train.num_step=2"],
            "no field 'num_step'; did you mean 'num_steps'?",
        ),
        ([TRAIN, "--workdir={}", "--config.train.num_steps=many"], "many"),
        ([TRAIN, "--workdir={}", "--confg.seed=2"], "did you mean --config?"),
        ([TRAIN, "--workdir={}", "seed=2"], "seed=2"),
        ([TRAIN], "workdir"),
        (["--config=configs/absent.py", "--workdir={}"], "absent.py"),
        (["--config=configs/dcgan_digits.py:tiny", "--workdir={}"], "no form :tiny"),
    ],
)
def test_a_mistake_in_a_flag_is_one_sentence(arguments, sentence, tmp_path):
    workdir = str(tmp_path / "run")
    assert_refused(command("train", *[a.format(workdir) for a in arguments]), sentence)
    assert not (tmp_path / "run").exists()


def parsed(*changes):
    """The config that a command line gives, parsed as a command does it."""
    values = flags.FlagValues()
    argv = ["train", f"--config={ROOT}/configs/dcgan_digits.py:test", *changes]
    config_flags.DEFINE_config_file("config", None, "", flag_values=values, sys_argv=argv)
    with cli._in_sentences():
        values(argv)
    return values["config"].value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e5", 100_000), ("2.5e3", 2500), ("100_000", 100_000), ("7", 7), ("3.0", 3), ("-1", -1)],
)
def test_a_whole_number_may_be_written_in_any_way(text, value):
    steps = parsed(f"--config.train.num_steps={text}").train.num_steps
    assert steps == value and type(steps) is int


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("train.num_steps=many", "--config.train.num_steps=many: it is no whole number"),
        ("train.num_steps=2.5", "it is no whole number"),
        ("train.num_steps=1e-3", "it is no whole number"),
        ("train.num_steps=nan", "it is no whole number"),
        ("train.num_steps=1e999999999", "it is no whole number"),
        ("optim.generator.learning_rate=fast", "learning_rate=fast: it is no number"),
        ("data.labels=yes", "--config.data.labels=yes: it is neither True nor False"),
        ("optim=adam", "--config.optim=adam: it is a section of the config: set one of its fields"),
    ],
)
def test_a_value_of_another_kind_is_named(change, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(f"--config.{change}")
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and sentence in line


def test_a_field_without_its_section_is_found_in_its_own(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", f"--config={ROOT}/configs/dcgan_digits.py"])
    assert cli._no_field("batch_size").endswith("did you mean data.batch_size?")
    both = "optim.discriminator.b1 or optim.generator.b1"
    assert cli._no_field("b1").endswith(f"did you mean {both}?")
    assert cli._no_field("colour").endswith("as in --config.train.num_steps.")


def test_a_section_may_be_given_as_a_whole():
    weights = parsed("--config.loss.weights={'real': 2.0}").loss.weights
    assert weights.to_dict() == {"real": 2.0}


@pytest.mark.parametrize("module", ["train", "sweep", "evaluate"])
def test_help_shows_all_flags_of_a_command(module):
    shown = command(module, "--help")
    assert shown.returncode == 0
    expected = {
        "train": ("--config", "--[no]distributed", "--coordinator", "--process_id", "--workdir"),
        "sweep": ("--slurm.partition=", "--slurm.time_min=", "--sweep", "--[no]dry_run"),
        "evaluate": ("--step", "--seed", "--workdir"),
    }
    for name in expected[module]:
        assert name in shown.stdout


def ended(error):
    """The status and the message of a command in which an error comes up."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as stop, cli._guarded():
        raise error
    return stop.value.code, said.getvalue()


def test_what_the_machine_refuses_is_one_sentence():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/generator.zip")
    for error, words in {
        full: "refuses /somewhere/generator.zip: No space left on device",
        PermissionError(
            errno.EACCES, "Permission denied", "/root/x"
        ): "refuses /root/x: Permission denied",
        OSError(errno.EIO, "Input/output error"): "refuses: Input/output error",
        MemoryError("Unable to allocate 8.0 TiB for an array"): "(Unable to allocate 8.0 TiB",
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore"): "memory (RESOURCE_EXHAUSTED: Out",
        UserError("Choose."): "Choose.",
    }.items():
        status, said = ended(error)
        assert status == 2 and said.startswith("error: ") and words in said
        assert said.count("\n") == 1
    assert ended(KeyboardInterrupt()) == (130, "")


def test_an_error_of_the_programs_keeps_its_traceback():
    for error in (ValueError("x"), FileNotFoundError(errno.ENOENT, "No such file", "x")):
        with pytest.raises(type(error)), cli._guarded():
            raise error


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ("cuda", AssertionError(), "JAX_PLATFORMS=cuda asks for devices that are not to be had"),
        ("tpux", RuntimeError("Unknown backend tpux\nmore"), "here (Unknown backend tpux): unset"),
        (
            None,
            RuntimeError("No devices"),
            "JAX finds no device (No devices): set JAX_PLATFORMS=cpu",
        ),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(asked, error, words, monkeypatch):
    def devices():
        raise error

    monkeypatch.setattr("jax.devices", devices)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if asked:
        monkeypatch.setenv("JAX_PLATFORMS", asked)
    status, said = ended(error)
    assert status == 2 and words in said and said.count("\n") == 1


def test_a_gpu_where_there_is_none_is_one_sentence(tmp_path):
    environment = os.environ | {"JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": ""}
    result = command("train", TRAIN, f"--workdir={tmp_path / 'run'}", env=environment)
    assert result.returncode == 2
    assert_refused(result, "error: JAX_PLATFORMS=cuda asks for devices that are not to be had here")
    assert not (tmp_path / "run").exists()


SHOUT = """
from experiments import cli
def main():
    for _ in range(100_000):
        print("something to read")
cli.run(main)
"""


@pytest.mark.parametrize("lines", [0, 1])
def test_output_that_nobody_reads_any_more_ends_a_command_quietly(lines):
    shout = subprocess.Popen(
        [sys.executable, "-c", SHOUT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(lines):
        shout.stdout.readline()
    shout.stdout.close()
    assert shout.stderr.read() == ""
    assert shout.wait(timeout=60) == 128 + 13


def test_train_then_sample_as_the_readme_has_it(tmp_path):
    run, out = f"--workdir={tmp_path / 'run'}", tmp_path / "samples"
    trained = command("train", "--config=configs/cgan_digits.py:test", run)
    assert trained.returncode == 0, trained.stderr
    assert "step 6/6" in trained.stderr and "samples.gif" in trained.stdout
    for name, arguments in {
        "grid.png": ["--num=20"],
        "chosen.png": ["--classes=3,3,5"],
        "path.png": ["--interpolate=1,2", "--classes=3"],
        "many.npz": ["--num=5"],
    }.items():
        result = command("sample", run, f"--out={out / name}", *arguments)
        assert result.returncode == 0, result.stderr
        assert (out / name).stat().st_size > 100
    assert_refused(command("sample", run, f"--out={out}.jpg"), "must end in .png")
    assert_refused(
        command("sample", run, "--out=a.png", "--classes=cat"), "There is no class 'cat'"
    )

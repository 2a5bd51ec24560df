"""What a person sees: one sentence and a status for a mistake, never a traceback."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{module}", *arguments],
        cwd=ROOT,
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

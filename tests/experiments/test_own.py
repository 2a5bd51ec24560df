"""README's "Add your own", done as it says, in a folder outside the project."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]


def files():
    """The files that README's blocks of code begin with the names of."""
    section = (ROOT / "README.md").read_text().split("## Add your own\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", section, flags=re.DOTALL)
    return dict(blocks)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    for name, code in files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    return folder


def run(folder, command, *flags):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{command}", *flags],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_readme_shows_one_of_each():
    modules = {"models", "losses", "games", "discs", "evaluators"}
    assert set(files()) == {"my_config.py", *(f"my_project/{name}.py" for name in modules)}
    assert all(code.count("\n") <= 20 for code in files().values())


def test_a_project_outside_is_trained_resumed_judged_sampled_and_exported(project):
    train = ["--config=my_config.py:test", "--workdir=runs/discs", "--config.mesh.data=1"]
    for steps in (4, 8):
        done = run(project, "train", *train, f"--config.train.num_steps={steps}")
        assert done.returncode == 0, done.stderr
    workdir = project / "runs" / "discs"
    metrics = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [2, 4, 6, 8]
    for line in metrics:
        assert 0.5 * line["generator/grey"] == pytest.approx(
            line["generator/grey_weighted"], rel=1e-4
        )
    again = run(project, "evaluate", "--workdir=runs/discs")
    assert again.returncode == 0, again.stderr
    record = (workdir / "evaluations.jsonl").read_text().splitlines()
    found = [json.loads(line)["values"]["brightness"] for line in record]
    assert len(found) == 3 and found[-1] == pytest.approx(found[-2], abs=0.5)
    sampled = run(project, "sample", "--workdir=runs/discs", "--num=100", "--out=discs.npz")
    assert sampled.returncode == 0, sampled.stderr
    images = np.load(project / "discs.npz")["images"]
    assert images.shape == (100, 32, 32, 1)
    assert images.mean() == pytest.approx(found[-1], abs=0.5)
    exported = run(project, "export", "--workdir=runs/discs", "--out=discs.zip")
    assert exported.returncode == 0, exported.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("nets.generator.name=my_project.models.Generater", "my_project.models has Generator"),
        ("nets.generator.name=my_projekt.models.Generator", "nor a module my_projekt.models"),
        ("loss.adversarial=my_project.losses.softened", "my_project.losses has smooth"),
        ("game.name=subprocess.call", "nor a module subprocess of your own"),
        ("data.name=my_project.broken", "my_project.broken cannot be imported (SyntaxError"),
    ],
)
def test_a_mistake_in_a_name_is_one_sentence(project, changes, message):
    (project / "my_project" / "broken.py").write_text("def load(:\n")
    field, _, value = changes.partition("=")
    flags = ["--config=my_config.py:test", "--workdir=runs/wrong", f"--config.{field}={value}"]
    done = run(project, "train", *flags)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert message in done.stderr
    assert not (project / "runs" / "wrong").exists()

"""Imports go one way.

The layers themselves are a contract in pyproject.toml, which import-linter holds the code against.
"""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Games and networks know as little as they can: a researcher reads them alone. The first that
# a module is within counts.
ONLY = {
    "configs": ("configs",),
    "gans.models": ("gans.models.layers", "gans.ops"),
    "gans.games": ("gans.core", "gans.errors", "gans.games", "gans.losses", "gans.ops.axis"),
    "gans": ("gans",),
}

DEVICES = {"Mesh", "shard_map", "pmap"}
LINT = "from importlinter import cli; cli.lint_imports_command()"
FOR_CONFIGS = ("__future__", "configs", "ml_collections")


def within(module, package):
    return module == package or module.startswith(package + ".")


def imports(tree):
    """Full names of what is imported, `from gans.core.state import x` as `gans.core.state.x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def names(tree):
    """Every identifier used, imported or accessed as an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def allowed(module, target):
    """Whether `module` may import `target`, by full names; what is not ours always may."""
    if not any(within(target, package) for package in ("gans", "configs", "experiments", "tests")):
        return True
    for package, targets in ONLY.items():
        if within(module, package):
            return any(within(target, name) for name in targets)
    return True


def violations(module, source):
    """What is wrong with the imports of one module, as sentences."""
    tree = ast.parse(source)
    found = []
    for target in imports(tree):
        if target.startswith("."):
            found.append(f"{module} has a relative import of {target}; write its full name")
        elif within(target, "tensorflow"):
            found.append(f"{module} imports tensorflow")
        elif within(module, "configs") and target.partition(".")[0] not in FOR_CONFIGS:
            found.append(f"{module} imports {target}, not ml_collections or another config")
        elif not allowed(module, target):
            found.append(f"{module} must not import {target}")
    if not within(module, "gans.parallel"):
        devices = sorted(DEVICES & set(names(tree)))
        found += [f"{module} mentions {name}; only gans.parallel may" for name in devices]
    return found


def modules():
    """`{full name: path}` of every module of the project but the tests."""
    found = {}
    for package in ("gans", "configs", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def broken_contracts(root):
    """What import-linter says of the project in a folder; empty if all contracts are kept."""
    result = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return "" if result.returncode == 0 else result.stdout + result.stderr


def test_a_package_imports_only_from_those_below_it():
    assert broken_contracts(ROOT) == ""


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("gans/core/state.py", "from gans.games import latent", "only from those below"),
        ("gans/data/source.py", "from gans.parallel import hosts", "only from those below"),
        (
            "gans/config/build.py",
            "def f():\n    import gans.training.train",
            "only from those below",
        ),
        (
            "gans/files/paths.py",
            "from gans.inference.previews import SIDE",
            "only from those below",
        ),
        ("gans/ops/cpu/taps.py", "from gans.ops import convolution", "know nothing of it"),
        ("gans/training/train.py", "from experiments import cli", "does not know the commands"),
        ("gans/drawer/__init__.py", "", "only from those below"),
    ],
)
def test_what_breaks_a_contract_is_found(tmp_path, module, line, contract):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("gans", "experiments"):
        python = shutil.ignore_patterns("__pycache__", "*.npz", "results")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=python)
    path = tmp_path / module
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{line}\n")
    assert contract in broken_contracts(tmp_path)


@pytest.mark.parametrize("module", modules())
def test_a_module_keeps_the_rules_of_its_room(module):
    assert violations(module, modules()[module].read_text()) == []


def test_there_are_modules_to_look_at():
    assert {"gans", "gans.core.update", "gans.models.dcgan", "gans.games.latent"} <= set(modules())


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("gans.games.latent", "from gans.models.dcgan import Generator"),
        ("gans.games.latent", "from gans.models.layers import BatchNorm"),
        ("gans.games.latent", "from gans.data.source import Source"),
        ("gans.games.latent", "from gans.config import build"),
        ("gans.models.dcgan", "from gans.models.unet import UNet"),
        ("gans.models.dcgan", "from gans.errors import UserError"),
        ("gans.models.dcgan", "from . import layers"),
        ("gans.training.train", "from configs import dcgan_cifar10"),
        ("configs.dcgan", "from gans.core.optim import OPTIMIZERS"),
        ("configs.dcgan", "import jax"),
        ("gans.core.update", "from jax.sharding import Mesh"),
        ("gans.core.update", "import jax\nstep = jax.pmap(print)"),
        ("gans.training.train", "import jax\nstep = jax.shard_map(print)"),
        ("gans.data.cifar10", "import tensorflow as tf"),
        ("gans.runs.writers", "from tensorflow.io import gfile"),
    ],
)
def test_a_wrong_line_is_found(module, line):
    assert len(violations(module, line)) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("gans.core.update", "from gans.ops import axis"),
        ("gans.games.latent", "from gans.losses import adversarial"),
        ("gans.parallel.mesh", "from jax.sharding import Mesh"),
        ("gans.models.dcgan", "from gans.models.layers import Conv"),
        ("gans.data.cifar10", "import tensorflow_datasets as tfds"),
        ("gans.core.update", '"""Not jax.pmap, not shard_map: words in a docstring are free."""'),
        ("configs.cgan", "from configs import dcgan\nfrom ml_collections import ConfigDict"),
        ("experiments.train", "from experiments import cli\nfrom gans.training.train import train"),
    ],
)
def test_a_right_line_is_not(module, line):
    assert violations(module, line) == []

"""Imports go one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Highest first. A module may import from its own rank and from those below it.
# A name stands for all below it too, but for `gans`, which is the package's front alone.
RANKS = (
    ("experiments",),
    (
        "gans",
        "experiments.studies.benchmark",
        "gans.reports.collect",
        "gans.reports.compare",
        "gans.evaluation.evaluate",
        "gans.inference.export",
        "gans.load",
        "gans.load_translator",
        "gans.training.replicas",
        "gans.training.sweeps.sweep",
        "experiments.studies.theory",
        "gans.training.train",
        "gans.evaluation.train_classifier",
    ),
    (
        "gans.runs.animation",
        "gans.runs.beside",
        "gans.files.archives",
        "gans.runs.best",
        "gans.config.build",
        "gans.files.cache",
        "gans.reports.charts",
        "gans.runs.checkpoints",
        "gans.reports.collecting",
        "gans.data.io.colours",
        "gans.reports.comparing",
        "gans.data",
        "gans.reports.digest",
        "gans.evaluation.runner",
        "gans.runs.evaluation_record",
        "gans.runs.samples_page",
        "gans.evaluation.evaluators",
        "gans.runs.events",
        "gans.reports.exhibits",
        "gans.evaluation.features",
        "gans.files.writing",
        "gans.files.finite",
        "gans.reports.groups",
        "gans.inference.import_run",
        "gans.files.locks",
        "gans.training.loop",
        "gans.training.sweeps",
        "gans.training.sweeps.launching",
        "gans.runs.lengths",
        "experiments.machine",
        "gans.inference.norm_statistics",
        "gans.reports.pages",
        "gans.parallel",
        "gans.parallel.chunks",
        "gans.parallel.mesh",
        "gans.inference.grids",
        "gans.inference.postcard",
        "gans.inference.previews",
        "gans.training.progress",
        "gans.inference.pytorch_weights",
        "gans.config.ranges",
        "gans.reports.ranking",
        "gans.files.reading",
        "gans.training.recorder",
        "gans.runs.records",
        "gans.reports.report",
        "gans.runs.run_folder",
        "experiments.runtime",
        "gans.runs.samples_folder",
        "gans.inference.sampling",
        "gans.core.schedule",
        "gans.config.schema",
        "gans.training.setup",
        "gans.runs.standing",
        "gans.training.stopping",
        "gans.training.stopwatch",
        "gans.evaluation.subject",
        "gans.training.sweeps.plan",
        "gans.inference.tiles",
        "gans.files.torch_files",
        "gans.inference.translating",
        "gans.core.update",
        "gans.evaluation.views",
        "gans.files.weight_files",
        "gans.runs.writers",
    ),
    ("gans.games",),
    (
        "gans.losses",
        "gans.games.memory",
        "gans.evaluation.metrics",
        "gans.core.optim",
        "gans.core.state",
    ),
    ("gans.models",),
    (
        "gans.errors",
        "gans.parallel.hosts",
        "gans.files.paths",
        "gans.core.pixels",
        "gans.core.types",
    ),
)

# What these may import of the project, whatever the ranks say.
ONLY = {
    "configs": ("configs",),
    "gans.models": (
        "gans.ops.cpu.bilinear",
        "gans.ops.cpu.fusion",
        "gans.ops.normalisation",
        "gans.ops.cpu.winograd",
        "gans.ops.convolution",
        "gans.ops.upsample",
        "gans.models.layers",
    ),
}
# And what these may not.
NEVER = {"gans.games": ("gans.models", "gans.data")}

DEVICES = {"Mesh", "shard_map", "pmap"}
FOR_CONFIGS = ("__future__", "configs", "ml_collections")


def within(module, package):
    return module == package or module.startswith(package + ".")


def covers(name, module):
    return module == name if name == "gans" else within(module, name)


def rank(module):
    """Position in the table, or None for what is not listed."""
    for i, names in enumerate(RANKS):
        if any(covers(name, module) for name in names):
            return i
    return None


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
    for package, targets in NEVER.items():
        if within(module, package) and any(within(target, name) for name in targets):
            return False
    low, high = rank(target), rank(module)
    return low is not None and high is not None and low >= high


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


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module):
    assert violations(module, modules()[module].read_text()) == []


def test_every_module_has_a_rank():
    unranked = [name for name in modules() if rank(name) is None and not within(name, "configs")]
    assert unranked == []


def test_there_are_modules_to_look_at():
    assert {"gans", "gans.core.update", "gans.models.dcgan", "gans.games.latent"} <= set(modules())


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("gans.core.state", "from gans.core.update import update"),
        ("gans.core.state", "from gans import update"),
        ("gans.core.state", "import gans.core.update as up"),
        ("gans.core.state", "import gans"),
        ("gans.core.state", "def f():\n    import gans.training.train"),
        ("gans.core.update", "from gans.training.train import train"),
        ("gans.core.types", "from gans.losses.adversarial import LOSSES"),
        ("gans.games.latent", "from gans.models.dcgan import Generator"),
        ("gans.games.latent", "from gans.models.layers import BatchNorm"),
        ("gans.games.latent", "from gans.data.source import Source"),
        ("gans.games.latent", "from gans import build"),
        ("gans.models.dcgan", "from gans.models.unet import UNet"),
        ("gans.models.dcgan", "from gans.errors import UserError"),
        ("gans.models.dcgan", "from . import layers"),
        ("gans.config.build", "from experiments import cli"),
        ("gans.training.train", "from configs import dcgan_cifar10"),
        ("gans.training.train", "from gans.unheard_of import something"),
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
        ("gans.core.update", "from gans.models.layers import synchronised"),
        ("gans.config.build", "from gans import optim"),
        ("gans.training.train", "from gans import build, checkpoints, parallel"),
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

"""Downloads and prepares a data set, so that later runs need no network.

python -m experiments.prepare --name=cifar10 --data_dir=DIR
python -m experiments.prepare --name=cycle_gan --dataset=monet2photo --data_dir=DIR
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable

from absl import flags

from experiments import cli
from gans import data
from gans.errors import UserError

_NAME = flags.DEFINE_string(
    "name",
    None,
    "The data set to prepare: cifar10, or cycle_gan for one of the CycleGAN paper.",
    required=True,
)
_DATASET = flags.DEFINE_string(
    "dataset", "", "Which data set of --name=cycle_gan to prepare, e.g. monet2photo."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "The folder to put the data set in; by default TFDS_DATA_DIR or else ~/tensorflow_datasets.",
)


def main() -> None:
    """Prepares the data set and prints where it is."""
    prepare, title, fields = _find(_NAME.value), _NAME.value, {}
    if "dataset" in inspect.signature(prepare).parameters:
        fields["dataset"] = _DATASET.value
        title += f"/{_DATASET.value}"
    elif _DATASET.value:
        raise UserError(f"{_NAME.value} is a single data set: leave --dataset out.")
    folder = prepare(_DATA_DIR.value, **fields)
    print(f"{title} is ready in {folder}")


def _find(name: str) -> Callable:
    """The function `prepare` of the data set `gans.data.<name>`."""
    known = {}
    for info in pkgutil.iter_modules(data.__path__):
        module = importlib.import_module(f"gans.data.{info.name}")
        if hasattr(module, "prepare"):
            known[info.name] = module.prepare
    if name not in known:
        raise UserError(f"--name is {name!r}: choose one of {', '.join(known)}.")
    return known[name]


if __name__ == "__main__":
    cli.run(main)

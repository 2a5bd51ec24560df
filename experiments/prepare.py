"""Downloads and prepares a data set, so that later runs need no network.

python -m experiments.prepare --name=cifar10 --data_dir=DIR
"""

from absl import flags

from experiments import cli
from gans.data import cifar10

_NAME = flags.DEFINE_enum("name", None, ["cifar10"], "The data set.", required=True)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Where to put it; by default TFDS_DATA_DIR or else ~/tensorflow_datasets."
)

_PREPARE = {"cifar10": cifar10.prepare}


def main() -> None:
    """Prepares the data set and prints where it is."""
    folder = _PREPARE[_NAME.value](_DATA_DIR.value)
    print(f"{_NAME.value} is ready in {folder}")


if __name__ == "__main__":
    cli.run(main)

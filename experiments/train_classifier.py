"""Trains the small classifier through which metrics look at a data set that has labels.

python -m experiments.train_classifier --config=configs/dcgan_cifar10.py --out=cifar10.npz
python -m experiments.train_classifier --config=configs/dcgan_digits.py --out=digits.npz \\
    --config.data.channels=3 --noflip --shift=2 --epochs=40 --batch_size=50
"""

from absl import flags
from ml_collections import config_flags

from experiments import cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "Any with the data: a file in configs/.")
_OUT = cli.define_path("out", None, "The file to write: .npz.")
_TRAIN = flags.DEFINE_string("train_split", "train", "The images to train on.")
_TEST = flags.DEFINE_string("test_split", "test", "The images to measure the accuracy on.")
_EPOCHS = flags.DEFINE_integer("epochs", 14, "Passes through the images.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Images of a step.", lower_bound=1)
_FLIP = flags.DEFINE_bool("flip", True, "Whether half of the images are mirrored.")
_SHIFT = flags.DEFINE_integer("shift", 4, "Pixels an image is moved at most.", lower_bound=0)
_SEED = cli.define_seed(0, "Of everything random.")
flags.mark_flags_as_required(["config", "out"])


def main() -> None:
    from gans.errors import UserError
    from gans.evaluation import train_classifier

    out = _OUT.value
    if out.suffix != ".npz":
        raise UserError(f"--out={out} must end in .npz.")
    recipe = train_classifier.Recipe(
        epochs=_EPOCHS.value,
        batch_size=_BATCH_SIZE.value,
        flip=_FLIP.value,
        shift=_SHIFT.value,
        seed=_SEED.value,
    )
    accuracy = train_classifier.run(
        _CONFIG.value.data, recipe, train=_TRAIN.value, test=_TEST.value, out=out
    )
    print(f"{out}: {accuracy:.2%} of {_TEST.value} right, {out.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    cli.run(main)

"""Trains a small classifier on a data set with labels; metrics compare images by its features.

python -m experiments.train_classifier --config=configs/dcgan_cifar10.py --out=cifar10.npz
python -m experiments.train_classifier --config=configs/dcgan_digits.py --out=digits.npz \\
    --config.data.channels=3 --noflip --shift=2 --epochs=40 --batch_size=50
"""

from absl import flags
from ml_collections import config_flags

from experiments import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Any config file; its section data names the data set to train on."
)
_OUT = cli.define_path("out", None, "The .npz file to write the weights to.")
_TRAIN = flags.DEFINE_string("train_split", "train", "The split of the data set to train on.")
_TEST = flags.DEFINE_string(
    "test_split", "test", "The split of the data set to measure the accuracy on."
)
_EPOCHS = flags.DEFINE_integer(
    "epochs", 14, "How many times training passes through the images.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 128, "How many images each training step takes.", lower_bound=1
)
_FLIP = flags.DEFINE_bool("flip", True, "Mirror half of the images, at random.")
_SHIFT = flags.DEFINE_integer(
    "shift", 4, "The most pixels that an image is shifted by at random.", lower_bound=0
)
_SEED = cli.define_seed(0, "The seed of everything random.")
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

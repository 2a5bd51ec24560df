"""DCGAN on scikit-learn's handwritten digits, 32x32 grey: no network needed.

python -m experiments.train --config=configs/dcgan_digits.py --workdir=runs/digits
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = dcgan_cifar10.get_config(arg)
    config.update_from_flattened_dict(DIGITS if arg != "test" else {"data.channels": 1})
    return config


DIGITS = {
    "data.name": "digits",
    "data.split": "train+test",
    "data.channels": 1,
    "data.batch_size": 32,
    "nets.generator.stem_features": 64,
    "nets.generator.features": (64, 32),
    "nets.discriminator.features": (16, 32, 64, 128),
    "train.num_steps": 1500,
    "train.log_every": 50,
    "train.sample_every": 50,
    "checkpoint.every_steps": 500,
}

"""Conditional GAN on scikit-learn's handwritten digits, 32x32 grey: no network needed.

    python -m experiments.train --config=configs/cgan_digits.py --workdir=runs/digits

About two minutes on two CPU cores, to digits that can be read and are the ones asked for. The
discriminator ends in few features, 128, so that the ten numbers of the label carry weight beside
them: with the 2,048 of a wider one, the generator learned digits but not which.
"""

from ml_collections import ConfigDict

from configs import cgan_cifar10, dcgan_cifar10, dcgan_digits


def get_config(arg: str = "") -> ConfigDict:
    config = cgan_cifar10.base()
    config.update_from_flattened_dict(
        dcgan_digits.DIGITS | {"nets.discriminator.hidden_features": (256,), "preview.rows": 4}
    )
    return dcgan_cifar10.in_form(config, arg)

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


sweep_seed = dcgan_digits.sweep_seed
sweep_learning_rate = dcgan_digits.sweep_learning_rate
sweep_adversarial = dcgan_digits.sweep_adversarial


def sweep_conditioning():
    """What the label stands beside when the discriminator sees it: how many features, and layers.

    32 features are 128 numbers with the last stride 2 and 512 with 1.
    """
    for last_stride in (1, 2):
        for features in (8, 32):
            for hidden in ((), (256,)):
                yield {
                    "nets.discriminator.strides": (2, 2, 2, last_stride),
                    "nets.discriminator.features": (16, 32, 32, features),
                    "nets.discriminator.hidden_features": hidden,
                }

"""Conditional GAN on scikit-learn's handwritten digits, 32x32 grey; no download is needed.

    python -m experiments.train --config=configs/cgan_digits.py --workdir=runs/digits

Cost: about three minutes on two CPU cores, including three evaluations of 1,797 samples. On an
accelerator: not measured.

Score: not recorded here. experiments/results/cgan_digits.png shows the samples after all 1,500
iterations: digits that can be read, of the classes that were asked for.

The discriminator ends in 128 features, so that the ten numbers of the label have weight beside
them. With the 2,048 features of a wider discriminator, the generator learned to draw digits, but
not of the right class.
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

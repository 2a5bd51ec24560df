"""Conditional GAN on CIFAR-10 as in the Keras tutorial: the DCGAN, both networks given the class.

    python -m experiments.train --config=configs/cgan_cifar10.py --workdir=runs/cgan

The tutorial's text gives the last convolution of the discriminator stride 1, its listing
stride 2; the latter is `--config.nets.discriminator.strides='(2,2,2,2)'`. One fixed latent
vector a class is sampled during training; `--config.preview.rows=4` shows four.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10

BY_CLASS = ("comparisons.accuracy", "comparisons.by_class")


def get_config(arg: str = "") -> ConfigDict:
    return dcgan_cifar10.in_form(base(), arg)


def base() -> ConfigDict:
    config = dcgan_cifar10.base()
    config.update_from_flattened_dict(
        {
            "data.labels": True,
            "nets.discriminator.hidden_features": (512,),
            "preview.rows": 1,
            "evaluators.quality.comparisons": dcgan_cifar10.COMPARISONS + BY_CLASS,
        }
    )
    return config

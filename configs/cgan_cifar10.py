"""Conditional GAN on CIFAR-10 as in the Keras tutorial: the DCGAN, both networks given the class.

    python -m experiments.train --config=configs/cgan_cifar10.py --workdir=runs/cgan

The tutorial's text gives the last convolution of the discriminator stride 1, its listing
stride 2; the latter is `--config.nets.discriminator.strides='(2,2,2,2)'`. Its one Adam for both
models is told of in `dcgan_cifar10`, and is `shared_count` here too. One fixed latent
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


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate
sweep_adversarial = dcgan_cifar10.sweep_adversarial


def sweep_conditioning():
    """What the label stands beside when the discriminator sees it: how many features, and layers.

    The strides of the last convolution are the tutorial's text, 1, and its listing, 2.
    """
    for last_stride in (1, 2):
        for features in (32, 256):
            for hidden in ((), (512,)):
                yield {
                    "nets.discriminator.strides": (2, 2, 2, last_stride),
                    "nets.discriminator.features": (32, 64, 128, features),
                    "nets.discriminator.hidden_features": hidden,
                }

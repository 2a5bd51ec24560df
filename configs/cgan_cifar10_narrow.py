"""Conditional GAN on CIFAR-10 whose discriminator ends in few features, so that the class counts.

    python -m experiments.train --config=configs/cgan_cifar10_narrow.py --workdir=runs/narrow

The tutorial's discriminator appends the ten numbers of the label to 4,096 features and takes
two steps for one of the generator's: it tells real from generated images long before it looks at
the label. Here it appends them to 128 features and takes one joint step; the latent vector is
shorter beside the label too, and both networks learn faster. On two CPU cores 4,000 iterations
take some 15 minutes, after which a sample's colours and layout tell its class.
"""

from ml_collections import ConfigDict

from configs import cgan_cifar10, dcgan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = cgan_cifar10.base()
    config.update_from_flattened_dict(
        {
            "game.name": "latent.joint",
            "game.latent_dim": 64,
            "nets.discriminator.features": (32, 64, 128, 32),
            "nets.discriminator.strides": (2, 2, 2, 2),
            "optim.generator.learning_rate": 1e-3,
            "optim.discriminator.learning_rate": 5e-4,
            "loss.weights.real": 0.5,
            "loss.weights.fake": 0.5,
            "preview.rows": 4,
        }
    )
    return dcgan_cifar10.in_form(config, arg)


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate
sweep_adversarial = dcgan_cifar10.sweep_adversarial

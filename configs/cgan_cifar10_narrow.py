"""Conditional GAN on CIFAR-10 whose discriminator ends in few features, so that it uses the class.

    python -m experiments.train --config=configs/cgan_cifar10_narrow.py --workdir=runs/narrow

Cost: 0.102 s an iteration on two CPU cores (`cgan-narrow` in experiments/results/benchmark.json),
and 881 MiB of memory; 4,000 iterations with pictures took about 15 minutes. On an accelerator: not
measured.

Score: not measured. experiments/results/cgan_cifar10_narrow.png shows samples after 4,050
iterations, whose colours and layout tell their class. All 37,500 iterations: not run to their end
here.

The tutorial's discriminator appends the ten numbers of the label to 4,096 features and is updated
twice for each update of the generator. It tells real from generated images long before it uses the
label. Here the label is appended to 128 features and the discriminator takes one joint step. The
latent vector is shorter beside the label, too, and both networks have higher learning rates.
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

"""Conditional SNGAN on CIFAR-10: class-conditional batch normalisation, projection onto the class.

    python -m experiments.train --config=configs/sngan_projection_cifar10.py \
        --workdir=runs/sngan_projection

Cost: on two CPU cores weeks, on an accelerator not measured. Score: not measured; all 50,000
iterations were not run here.

Miyato and Koyama 2018, arXiv:1802.05637, on the networks and settings of `sngan_cifar10`. Classes
of generated images are drawn, each with the same probability.

`:test` is a form that runs in seconds, on scikit-learn's digits.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10, sngan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = sngan_cifar10.base()
    config.data.labels = True
    config.preview.columns = 1
    return dcgan_cifar10.in_form(config, arg, sngan_cifar10.TEST)


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate
sweep_adversarial = dcgan_cifar10.sweep_adversarial

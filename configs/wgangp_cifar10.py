"""WGAN-GP on CIFAR-10: residual networks, a critic whose gradients are held near norm 1.

    python -m experiments.train --config=configs/wgangp_cifar10.py --workdir=runs/wgangp

Cost: on two CPU cores weeks, on an accelerator not measured. Score: not measured; all 100,000
iterations were not run here.

Gulrajani et al. 2017, arXiv:1704.00028, section 5.3 and appendix F: the networks of
`sngan_cifar10` without spectral normalisation and with mean pooling, 128 features in both, 64
images in each step, five steps of the discriminator, Adam with rates that fall to 0.

`:test` is a form that runs in seconds, on scikit-learn's digits.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10, sngan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = sngan_cifar10.base()
    config.update_from_flattened_dict(
        {
            "game.generator_batch": 64,
            "nets.generator.stem_features": 128,
            "nets.generator.features": (128, 128, 128),
            "nets.discriminator.spectral": False,
            "nets.discriminator.pooling": "mean",
            "train.num_steps": 100_000,
        }
    )
    config.loss.adversarial = "wasserstein"
    config.loss.penalties = ConfigDict(
        {"gradient_penalty": {"name": "penalties.GradientPenalty", "every": 1}}
    )
    config.loss.weights.gradient_penalty = 10.0
    return dcgan_cifar10.in_form(config, arg, sngan_cifar10.TEST)


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate


def sweep_penalty():
    for weight in (1.0, 10.0, 100.0):
        yield {"loss.weights.gradient_penalty": weight}

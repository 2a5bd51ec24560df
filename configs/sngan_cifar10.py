"""SNGAN on CIFAR-10: residual networks, a spectrally normalised discriminator, the hinge loss.

    python -m experiments.train --config=configs/sngan_cifar10.py --workdir=runs/sngan

Cost: on two CPU cores weeks, on an accelerator not measured. Score: not measured; all 50,000
iterations were not run here.

Miyato et al. 2018, arXiv:1802.05957, with the settings of the authors' code: 50,000 iterations of
five steps of the discriminator on 64 images and one of the generator on 128, Adam with rates that
fall to 0, and no flips. In theirs, the generator's step of an iteration comes first; here it comes
last. The running statistics of their generator also move while it makes images for the
discriminator. They add noise of less than a level to real images, which is left out.

`:test` is a form that runs in seconds, on scikit-learn's digits.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10

TEST = {
    "data.name": "digits",
    "data.split": "train[:64]",
    "data.image_size": 16,
    "data.batch_size": 8,
    "game.discriminator_steps": 2,
    "game.generator_batch": 4,
    "nets.generator.stem_features": 8,
    "nets.generator.features": (8, 8),
    "nets.discriminator.features": (8, 8),
    "nets.discriminator.downsample": (True, False),
    **{
        path: value
        for path, value in dcgan_cifar10.TEST.items()
        if path.startswith(("train.", "checkpoint.", "evaluators."))
    },
}


def get_config(arg: str = "") -> ConfigDict:
    return dcgan_cifar10.in_form(base(), arg, TEST)


def base() -> ConfigDict:
    """The experiment, still to be varied."""
    config = dcgan_cifar10.base()
    config.data.batch_size = 320  # of five steps
    config.game = ConfigDict(
        {
            "name": "latent.repeated",
            "latent_dim": 128,
            "discriminator_steps": 5,
            "generator_batch": 128,
        }
    )
    config.nets.generator = ConfigDict(
        {
            "name": "resnet_gan.Generator",
            "image_size": config.data.get_ref("image_size"),
            "channels": config.data.get_ref("channels"),
            "stem_features": 256,
            "features": (256, 256, 256),
            "dtype": "float32",
        }
    )
    config.nets.discriminator = ConfigDict(
        {
            "name": "resnet_gan.Discriminator",
            "features": (128, 128, 128, 128),
            "downsample": (True, True, False, False),
            "spectral": True,
            "pooling": "sum",
            "dtype": "float32",
        }
    )
    for net in ("generator", "discriminator"):
        config.optim[net].update(
            {"name": "adam", "b1": 0.0, "b2": 0.9, "eps": 1e-8, "schedule": "linear"}
        )
    config.loss.adversarial = "hinge"
    config.train.num_steps = 50_000
    config.checkpoint.every_steps = 2500
    config.evaluators.quality.every_steps = 5000
    return config


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate
sweep_adversarial = dcgan_cifar10.sweep_adversarial

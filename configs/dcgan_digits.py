"""DCGAN on scikit-learn's handwritten digits, 32x32 grey; no download is needed.

    python -m experiments.train --config=configs/dcgan_digits.py --workdir=runs/dcgan_digits

Cost: about two minutes on two CPU cores, measured without the evaluations; each of the three
evaluations takes 3.2 s (`evaluate-digits` in experiments/results/benchmark.json). On an
accelerator: not measured.

Score: not recorded here. The samples are digits that can be read.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = dcgan_cifar10.base()
    config.update_from_flattened_dict(
        DIGITS
        | {
            "nets.discriminator.features": (16, 32, 64, 64),
            "optim.generator.ema_decay": 0.99,
            "preview.columns": 8,
        }
    )
    return dcgan_cifar10.in_form(config, arg)


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate
sweep_adversarial = dcgan_cifar10.sweep_adversarial


DIGITS = {
    "data.name": "digits",
    "data.split": "train+test",
    "data.channels": 1,
    "data.batch_size": 32,
    "game.name": "latent.joint",
    "game.latent_dim": 16,
    "nets.generator.stem_features": 64,
    "nets.generator.features": (64, 32),
    "nets.discriminator.features": (16, 32, 32, 32),
    "nets.discriminator.strides": (2, 2, 2, 2),
    "optim.generator.learning_rate": 1e-3,
    "optim.discriminator.learning_rate": 5e-4,
    "loss.weights.real": 0.5,
    "loss.weights.fake": 0.5,
    "train.num_steps": 1500,
    "train.log_every": 50,
    "train.sample_every": 50,
    "checkpoint.every_steps": 500,
    "evaluators.quality.weights": "digits",
    "evaluators.quality.num_fake": 1797,
    "evaluators.quality.num_real": 0,
    "evaluators.quality.every_steps": 500,
}

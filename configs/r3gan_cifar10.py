"""R3GAN on CIFAR-10, by class: a relativistic game with penalties at real and generated images.

    python -m experiments.train --config=configs/r3gan_cifar10.py --workdir=runs/r3gan

Cost: for one large accelerator weeks, for several days; not measured. Score: not measured; the
iterations were not run to their end here. `--config.nets.generator.features=96` and the same for
the discriminator make networks of a sixtieth of the cost.

Huang et al. 2024, arXiv:2501.05441, with the settings of the authors' code for CIFAR-10: 512 images
in a step of either network, ADA's operations with a probability that rises to 0.55, and learning
rate, Adam's b2, the penalties' weight and the average's half-life on cosines that end after 20
million images. 250 million images in all.

`:test` is a form that runs in seconds, on scikit-learn's digits.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10, sngan_cifar10

RAMP = 20_000_000 // 512  # iterations in which all schedules come to their ends

TEST = {
    **{path: x for path, x in sngan_cifar10.TEST.items() if path.startswith(("data.", "train."))},
    **{path: x for path, x in sngan_cifar10.TEST.items() if path.startswith("checkpoint.")},
    **{path: x for path, x in sngan_cifar10.TEST.items() if path.startswith("evaluators.")},
    "nets.generator.features": 8,
    "nets.generator.dtype": "float32",
    "nets.generator.blocks": 1,
    "nets.generator.group_features": 4,
    "nets.discriminator.features": 8,
    "nets.discriminator.dtype": "float32",
    "nets.discriminator.blocks": 1,
    "nets.discriminator.group_features": 4,
}


def get_config(arg: str = "") -> ConfigDict:
    config = dcgan_cifar10.base()
    config.data.labels = True
    config.data.batch_size = 1024  # of a step of either network
    config.data.flip = True
    config.game = ConfigDict({"name": "relativistic.paired", "latent_dim": 64})
    widths = {"features": 768, "blocks": 2, "expansion": 2, "group_features": 16}
    config.nets.generator = ConfigDict(
        {
            "name": "r3gan.Generator",
            "image_size": config.data.get_ref("image_size"),
            "channels": config.data.get_ref("channels"),
            **widths,
            "condition_features": 64,
            "dtype": "bfloat16",
        }
    )
    config.nets.discriminator = ConfigDict(
        {"name": "r3gan.Discriminator", **widths, "dtype": "bfloat16"}
    )
    for net in ("generator", "discriminator"):
        config.optim[net].update({"name": "adam", "b1": 0.0, "b2": 0.9, "eps": 1e-8})
        config.optim[net].schedules = ConfigDict({"learning_rate": _to(5e-5), "b2": _to(0.99)})
    config.optim.generator.schedules.ema_half_life = _to(5_000_000 / 512)
    config.loss.penalties = ConfigDict(
        {"r1": {"name": "penalties.R1"}, "r2": {"name": "penalties.R2"}}
    )
    config.loss.weights = ConfigDict({"paired": 1.0, "adversarial": 1.0, "r1": 0.05, "r2": 0.05})
    config.loss.schedule = ConfigDict({"r1": _to(0.1), "r2": _to(0.1)})  # a factor
    config.augment = ConfigDict(
        {
            "name": "ada.Ada",
            **dict.fromkeys(GEOMETRY, 1.0),
            **dict.fromkeys(COLOURS, 0.5),
            "probability": 0.55,
            "schedule": {"name": "cosine", "begin": 0.0, "end": 1.0, "steps": RAMP},
        }
    )
    config.train.num_steps = 250_000_000 // 512
    config.checkpoint.every_steps = 5000
    config.evaluators.quality.every_steps = 10_000
    config.evaluators.quality.comparisons += ("comparisons.leaks",)
    config.preview.columns = 1
    return dcgan_cifar10.in_form(config, arg, TEST)


GEOMETRY = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac", "cutout")
COLOURS = ("brightness", "contrast", "lumaflip", "hue", "saturation")


def _to(end: float) -> dict:
    return {"name": "cosine", "end": end, "steps": RAMP}


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate


def sweep_penalty():
    """The weight of both penalties, which is gamma at first."""
    for gamma in (0.01, 0.05, 0.25, 1.0):
        yield {"loss.weights.r1": gamma, "loss.weights.r2": gamma}


def sweep_width():
    """Of both networks."""
    for features in (96, 192, 384, 768):
        yield {"nets.generator.features": features, "nets.discriminator.features": features}

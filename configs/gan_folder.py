"""A GAN of your own folder of pictures, a few hundred or more, at 32, 64 or 128 pixels.

    python -m experiments.train --config=configs/gan_folder.py:64 --workdir=runs/mine \
        --config.data.data_dir=path/to/folder

Cost: not measured. Score: it depends on the data.

Residual networks with a spectrally normalised discriminator and the hinge loss. With few images a
discriminator soon knows them by heart, so it sees changed ones (DiffAugment), seven in ten of them,
and half are mirrored; `leak_holes` and `leak_borders` among the measurements say whether samples
carry the changes. Pictures may have any size and are cropped to squares at their centres. Without a
size the form is `:64`.

`:test` is a form that runs in seconds, on scikit-learn's digits.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10, sngan_cifar10

# Channels from 4x4 pixels up to the images' size.
WIDTHS = {32: (128, 128, 64, 32), 64: (128, 128, 128, 64, 32), 128: (128, 128, 128, 64, 32, 16)}

TEST = {path: x for path, x in sngan_cifar10.TEST.items() if not path.startswith("game.")}


def get_config(arg: str = "") -> ConfigDict:
    sizes = {str(size): size for size in WIDTHS}
    if arg not in ("", "test", *sizes):
        raise ValueError(
            f"this config has the forms {', '.join(f':{size}' for size in sizes)} and :test, and "
            f"no form :{arg}"
        )
    form = "test" if arg == "test" else ""
    return dcgan_cifar10.in_form(base(sizes.get(arg, 64)), form, TEST)


def base(size: int = 64) -> ConfigDict:
    """The experiment, still to be varied."""
    config = sngan_cifar10.base()
    config.data.update({"name": "folder", "split": "train", "image_size": size, "flip": True})
    config.data.batch_size = 32
    config.game = ConfigDict({"name": "latent.joint", "latent_dim": 128})
    widths = WIDTHS[size]
    config.nets.generator.update({"stem_features": widths[0], "features": widths[1:]})
    # The largest feature maps cost most, so the first block is half as wide again.
    narrow_to_wide = (widths[-1] // 2, *widths[-2:0:-1], widths[0])
    downsample = (*(True,) * (len(narrow_to_wide) - 1), False)
    config.nets.discriminator.update({"features": narrow_to_wide, "downsample": downsample})
    config.optim.generator.ema_decay = 0.999
    config.augment = ConfigDict(
        {
            "name": "diffaugment.DiffAugment",
            "policy": ("colour", "translation", "cutout"),
            "probability": 0.7,
        }
    )
    config.train.num_steps = 20_000
    config.checkpoint.every_steps = 1000
    config.evaluators.quality.update({"every_steps": 2000, "num_fake": 2000, "num_real": 0})
    config.evaluators.quality.comparisons += ("comparisons.leaks",)
    return config


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate


def sweep_augment():
    """How many of the images that the discriminator sees are changed; 0 for none."""
    for probability in (0.0, 0.3, 0.7, 1.0):
        yield {"augment.probability": probability}

"""CycleGAN as in the paper and its PyTorch code: ResNets turn photographs into Monets and back.

    python -m experiments.train --config=configs/cyclegan_monet2photo_resnet.py --workdir=runs/monet

Cost: an iteration takes 0.729 s with images of 64x64 and 2.32 s with 128x128 on two CPU cores, and
2,560 and 3,341 MiB of memory (`cyclegan-resnet9-64px` and `-128px` in
experiments/results/benchmark.json). At the 256x256 of this config an iteration takes 6.5 GiB on the
CPU; its time is not measured. On an accelerator: not measured.

Score: not run to its end here.

Zhu et al. 2017, arXiv:1703.10593: least squares, a history of 50 fakes, 100 epochs at a constant
learning rate and 100 in which it falls to zero. `experiments.import_pytorch` imports published
weights of this setting. The 9 residual blocks are for images of 256 pixels; the paper takes 6 for
128 pixels: `--config.nets.generator_ab.blocks=6`.

A is Monet, B is photographs; `cyclegan_monet2photo` says which fields can be set.
"""

from ml_collections import ConfigDict

from configs import cyclegan_monet2photo, dcgan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    return dcgan_cifar10.in_form(base(), arg, cyclegan_monet2photo.RESNET)


sweep_seed = cyclegan_monet2photo.sweep_seed
sweep_cycle = cyclegan_monet2photo.sweep_cycle
sweep_identity = cyclegan_monet2photo.sweep_identity


def sweep_learning_rate():
    for rate in (5e-5, 1e-4, 2e-4, 5e-4):
        yield {f"optim.{player}.learning_rate": rate for player in base().optim}


def base() -> ConfigDict:
    """The experiment, still to be varied."""
    config = cyclegan_monet2photo.base()
    config.data.resize = "bicubic"
    config.game.pool_size = 50
    config.nets = cyclegan_monet2photo.twins(
        generator={"name": "resnet.Generator", "features": 64, "blocks": 9},
        discriminator={
            "name": "patchgan.Discriminator",
            "features": 64,
            "depth": 3,
            "slope": 0.2,
            "affine": False,
            "use_bias": True,
        },
        data=config.data,
    )
    config.optim = ConfigDict()
    for player in ("generators", "discriminators"):
        config.optim[player] = cyclegan_monet2photo.adam("adam", 1e-8, "constant_linear")
    config.loss.adversarial = "least_squares"
    config.train.num_epochs = 200.0
    return config

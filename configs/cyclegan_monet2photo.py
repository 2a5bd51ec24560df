"""CycleGAN as in the TensorFlow tutorial: U-Nets that turn photographs into Monets and back.

    python -m experiments.train --config=configs/cyclegan_monet2photo.py --workdir=runs/monet

Cost: with images of 128x128 and one U-Net level less, an iteration takes 0.951 s on two CPU cores,
and 2,897 MiB of memory (`cyclegan-unet-128px` in experiments/results/benchmark.json). With the
images of this config, 256x256: not measured. On an accelerator: not measured.

Score: not run to its end here.

https://www.tensorflow.org/tutorials/generative/cyclegan: cross entropy, Keras' constants, no
history of fakes, constant learning rates, and 20 epochs of one image of each domain at a time. The
tutorial ends an epoch with the smaller domain. Here an epoch has as many iterations as the larger
domain has images, 6,287, so that every photograph is seen. Lengths in epochs follow the data: an
epoch of horse2zebra has 1,334 iterations. `--config.train.num_epochs` sets the number of epochs; a
length in iterations, such as `--config.train.num_steps`, is taken as it is.

A is Monet, B is photographs. `--config.data.dataset=` names another data set of the paper
(horse2zebra, summer2winter_yosemite, ...), which is downloaded and prepared on first use.
`--config.loss.cycle` and `--config.loss.identity` weight both directions at once, and
`--config.loss.weights.` has a field for each direction. `generator_ba` and `discriminator_b` follow
the fields of `generator_ab` and `discriminator_a`, except for fields that are set for themselves.

`:test` is a form that runs in seconds, on crops of two photographs.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10

EPOCH = 6287  # images of the larger domain of monet2photo


def get_config(arg: str = "") -> ConfigDict:
    return dcgan_cifar10.in_form(base(), arg, UNET)


def base() -> ConfigDict:
    """The experiment, still to be varied."""
    config = ConfigDict()
    config.seed = 0

    config.data = data = ConfigDict()
    data.name = "cycle_gan"
    data.dataset = "monet2photo"
    data.data_dir = ""  # where the data is, or is to be prepared; empty for TFDS_DATA_DIR
    data.load_size = 286  # images are resized to this, cropped at random
    data.image_size = 256
    data.resize = "nearest"
    data.flip = True
    data.channels = 3
    data.labels = False
    data.batch_size = 1  # of each domain
    data.test_images = 3  # of each domain, translated to show progress
    data.unreadable = "fail"  # or "skip": what to do about broken files in a folder of images
    data.max_megapixels = 256  # a larger image in a folder counts as broken
    data.resident_mib = 2048  # a larger domain is streamed instead of kept on the device

    # How many generated images of each domain are remembered; 0 for none.
    config.game = ConfigDict({"name": "cycle.game", "pool_size": 0})

    config.nets = twins(
        generator={
            "name": "unet.Generator",
            "features": (64, 128, 256, 512, 512, 512, 512, 512),
            "dropout": 0.5,
            "slope": 0.3,
        },
        discriminator={
            "name": "patchgan.Discriminator",
            "features": 64,
            "depth": 3,
            "slope": 0.3,
            "affine": True,
            "use_bias": False,
        },
        data=data,
    )

    config.optim = ConfigDict()
    for net in config.nets:
        config.optim[net] = adam("keras_adam", 1e-7)

    config.loss = loss = ConfigDict()
    loss.adversarial = "non_saturating"
    loss.cycle = 10.0
    loss.identity = 5.0
    loss.weights = weights = ConfigDict()
    for way in ("ab", "ba"):
        weights[f"adversarial_{way}"] = 1.0
    for domain in ("a", "b"):
        # Multiplied, the references can be overridden one by one.
        weights[f"cycle_{domain}"] = loss.get_ref("cycle") * 1.0
        weights[f"identity_{domain}"] = loss.get_ref("identity") * 1.0
        weights[f"real_{domain}"] = weights[f"fake_{domain}"] = 0.5

    config.train = train = ConfigDict()
    train.num_epochs = 20.0
    train.epoch_steps = EPOCH  # until the data is known, then those of its larger domain
    epochs, epoch = train.get_ref("num_epochs"), train.get_ref("epoch_steps")
    train.num_steps = (epochs * epoch).to_int()
    train.steps_per_call = 10  # iterations between two looks of the host
    train.log_every = 100
    train.sample_every = 1000
    train.remat = False  # less memory for more time: see gans.core.state.NetState

    config.preview = ConfigDict({"name": "cycle.Translations"})
    config.checkpoint = ConfigDict(
        {
            "every_steps": epoch * 5,
            "keep": 5,
            "best": "",  # or what is to be best in a further checkpoint, as in "quality/fid_ba"
            "best_is": "lowest",  # or "highest"
        }
    )
    config.evaluators = ConfigDict()
    config.evaluators.quality = ConfigDict(
        {
            "name": "translations.Translations",
            "every_steps": epoch * 5,  # 0 for never; the last step is one more
            "net": "",  # "inception.load" for FID and KID; empty for neither
            "weights": "",
            "num": 200,  # test images of each domain, at most
            "averaged": True,
        }
    )
    config.mesh = ConfigDict(
        {
            "data": 0,  # devices that share a batch; 0 for all
            "fsdp": False,  # whether they divide networks and optimizers between them, too
        }
    )

    return config


sweep_seed = dcgan_cifar10.sweep_seed


def sweep_learning_rate():
    for rate in (5e-5, 1e-4, 2e-4, 5e-4):
        yield {f"optim.{net}.learning_rate": rate for net in base().optim}


def sweep_cycle():
    """The weight of both cycle losses; `loss.weights.cycle_a` is that of one."""
    for weight in (0.0, 1.0, 10.0, 30.0):
        yield {"loss.cycle": weight}


def sweep_identity():
    """The weight of both identity losses; `loss.weights.identity_a` is that of one."""
    for weight in (0.0, 0.5, 5.0):
        yield {"loss.identity": weight}


def twins(*, generator: dict, discriminator: dict, data: ConfigDict) -> ConfigDict:
    """The four networks, the second of a pair following the first."""
    nets = ConfigDict()
    nets.generator_ab = ConfigDict(
        generator
        | {"channels": data.get_ref("channels"), "upsampling": "transposed", "dtype": "float32"}
    )
    nets.discriminator_a = ConfigDict(discriminator | {"dtype": "float32"})
    for twin, net in (("generator_ab", "generator_ba"), ("discriminator_a", "discriminator_b")):
        refs = {field: nets[twin].get_ref(field) for field in nets[twin]}
        # As references of their own, they can be overridden without the first's.
        nets[net] = ConfigDict({field: ref.identity() for field, ref in refs.items()})
    return nets


def adam(name: str, eps: float, schedule: str = "constant") -> ConfigDict:
    """Adam with CycleGAN's constants."""
    return ConfigDict(
        {
            "name": name,
            "learning_rate": 2e-4,
            "b1": 0.5,
            "b2": 0.999,
            "eps": eps,
            "schedule": schedule,
            "ema_decay": 0.0,  # of an average of the parameters to translate with; 0 keeps none
            "ema_warmup": 10.0,  # so that it forgets how they began: see gans.core.state.NetState
        }
    )


def in_steps(config: ConfigDict, *, num_steps: int, every: int) -> None:
    """Makes lengths iterations of any data, of which an epoch may be soon over.

    Args:
      config: which is changed.
      num_steps: to train for.
      every: between checkpoints.
    """
    config.train.num_steps, config.checkpoint.every_steps = num_steps, every
    # Without these it cannot be asked for what would have no effect.
    del config.train["num_epochs"], config.train["epoch_steps"]


# Of the form :test, whatever the generators.
SMALL = {
    "data.name": "photographs",
    "data.load_size": 36,
    "data.image_size": 32,
    "nets.discriminator_a.features": 4,
    "nets.discriminator_a.depth": 1,
    "train.num_steps": 4,
    "train.steps_per_call": 2,
    "train.log_every": 2,
    "train.sample_every": 2,
    "checkpoint.every_steps": 2,
    "evaluators.quality.num": 3,
}
UNET = SMALL | {"nets.generator_ab.features": (4, 4)}
RESNET = SMALL | {"nets.generator_ab.features": 4, "nets.generator_ab.blocks": 1}

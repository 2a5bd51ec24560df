"""DCGAN on CIFAR-10 as in the Keras tutorial: 20 epochs of 1,875 iterations of 32 images.

    python -m experiments.train --config=configs/dcgan_cifar10.py --workdir=runs/dcgan

Cost: 0.149 s an iteration on two CPU cores (`dcgan-32` in experiments/results/benchmark.json), and
932 MiB of memory; 1,500 iterations took about five minutes. On an accelerator: not measured.

Score: fcd 7.01 ± 0.29 and classifier score 2.78 ± 0.08 after 1,500 iterations, mean and deviation
over three seeds (`dcgan` in experiments/results/conditioning.json). All 37,500 iterations: not run
to their end here.

The tutorial updates the discriminator twice in each iteration, on real and on generated images. The
game `latent.two_step` does the same; `latent.joint`, with weights `real` and `fake` of 0.5, is the
usual form with one update. In the tutorial's listing, some layers of a frozen network use running
statistics, differently in different versions of Keras. Here both networks always train on batch
statistics, and the running statistics of a frozen network do not change.

The listing compiles both models with one Adam. In Keras 2 its step count grows by the updates of
both, three an iteration, so that the steps of the generator are longer at first, 1.72 times at
iteration 10 and 1.13 times at 1,500, and those of the discriminator up to 1.21 times. Here each
network counts its own updates; `--config.optim.generator.shared_count=True` and the same for the
discriminator restore the tutorial's count.

`:test` is a form that runs in seconds, on scikit-learn's digits.
"""

from ml_collections import ConfigDict

# What generated images are compared with real ones by: see gans.evaluation.evaluators.comparisons.
COMPARISONS = (
    "comparisons.frechet",
    "comparisons.kernel",
    "comparisons.score",
    "comparisons.prdc",
    "comparisons.vendi",
    "comparisons.memorising",
)


def get_config(arg: str = "") -> ConfigDict:
    return in_form(base(), arg)


def base() -> ConfigDict:
    """The experiment, still to be varied."""
    config = ConfigDict()
    config.seed = 0

    config.data = data = ConfigDict()
    data.name = "cifar10"
    data.data_dir = ""  # where the data is, or is to be prepared; empty for TFDS_DATA_DIR
    data.split = "train+test"
    data.image_size = 32
    data.channels = 3
    data.labels = False  # whether both networks see the class of an image
    data.flip = False  # whether training sees half of the images mirrored
    data.batch_size = 32
    data.unreadable = "fail"  # or "skip": what to do about broken files in a folder of images
    data.max_megapixels = 256  # a larger image in a folder counts as broken
    data.resident_mib = 1024  # a larger data set is streamed instead of kept on the device

    config.game = ConfigDict({"name": "latent.two_step", "latent_dim": 100})

    config.nets = ConfigDict()
    config.nets.generator = ConfigDict(
        {
            "name": "dcgan.Generator",
            "image_size": data.get_ref("image_size"),
            "channels": data.get_ref("channels"),
            "stem_features": 128,
            "features": (128, 64),
            "dtype": "float32",
        }
    )
    config.nets.discriminator = ConfigDict(
        {
            "name": "dcgan.Discriminator",
            "features": (32, 64, 128, 256),
            "strides": (2, 2, 2, 1),
            "hidden_features": (),
            "normalise": True,  # by the batch, after every convolution but the first
            "spectral": False,  # whether kernels are divided by their spectral norms
            "dtype": "float32",
        }
    )

    config.optim = ConfigDict()
    for net in ("generator", "discriminator"):
        config.optim[net] = ConfigDict(
            {
                "name": "keras_adam",
                "learning_rate": 2e-4,
                "b1": 0.5,
                "b2": 0.999,
                "eps": 1e-7,
                "schedule": "constant",
                "ema_decay": 0.0,  # of an average of the parameters to sample from; 0 keeps none
                "ema_warmup": 10.0,  # so that it forgets how they began: see core.state.NetState
                "shared_count": False,  # whether t of Adam counts the moves of both networks
            }
        )

    config.loss = ConfigDict()
    config.loss.adversarial = "non_saturating"
    config.loss.weights = ConfigDict({"real": 1.0, "fake": 1.0, "adversarial": 1.0})

    config.train = train = ConfigDict()
    train.num_steps = 37_500  # not epochs: of a folder of few images they would soon be over
    train.steps_per_call = 25  # iterations between two looks of the host
    # What is due every so many steps is done when the host looks next, so give multiples of that.
    train.log_every = 100
    train.sample_every = 100
    train.remat = False  # less memory for more time: see gans.core.state.NetState

    # `columns` where there are no classes, otherwise one for each
    config.preview = ConfigDict({"name": "latent.Grid", "rows": 4, "columns": 3})

    config.checkpoint = ConfigDict(
        {
            "every_steps": 1875,
            "keep": 3,
            "best": "",  # or what is to be best in a further checkpoint, as in "quality/fcd"
            "best_is": "lowest",  # or "highest"
        }
    )
    config.evaluators = ConfigDict()
    config.evaluators.quality = ConfigDict(
        {
            "name": "samples.Samples",
            "every_steps": 9375,  # 0 for never; the last step is one more
            "comparisons": COMPARISONS,
            "net": "classifier.load",  # or "inception.load"
            "weights": "cifar10",  # whose classifier, or a file of experiments.train_classifier
            "num_fake": 10_000,
            "num_real": 10_000,  # 0 for all
            "split": "",  # empty for the images trained on
            "averaged": True,
            "seed": 0,
        }
    )
    config.evaluators.overfitting = ConfigDict(
        {
            "name": "overfitting.Overfitting",
            "every_steps": 0,  # it takes images that are not trained on: data.split="train"
            "held_out": "test",
            "num": 2000,
            "seed": 0,
        }
    )
    config.mesh = ConfigDict(
        {
            "data": 0,  # devices that share a batch; 0 for all
            "fsdp": False,  # whether they divide networks and optimizers between them, too
        }
    )

    return config


def sweep_seed():
    for seed in range(5):
        yield {"seed": seed}


def sweep_learning_rate():
    """The same for both networks."""
    for rate in (1e-4, 2e-4, 5e-4, 1e-3, 2e-3):
        yield {f"optim.{net}.learning_rate": rate for net in ("generator", "discriminator")}


def sweep_adversarial():
    for loss in ("non_saturating", "minimax", "least_squares", "hinge", "wasserstein"):
        yield {"loss.adversarial": loss}


TEST = {
    "data.name": "digits",
    "data.split": "train[:64]",
    "data.batch_size": 8,
    "nets.generator.stem_features": 8,
    "nets.generator.features": (8, 8),
    "nets.discriminator.features": (4, 8, 8, 8),
    "train.num_steps": 6,
    "train.steps_per_call": 2,
    "train.log_every": 2,
    "train.sample_every": 2,
    "checkpoint.every_steps": 4,
    "evaluators.quality.weights": "digits",
    "evaluators.quality.num_fake": 24,
    "evaluators.quality.num_real": 0,
    "evaluators.overfitting.num": 24,
    "evaluators.overfitting.every_steps": 6,
}


def in_form(config: ConfigDict, arg: str, test: dict = TEST) -> ConfigDict:
    """Locks a config, first changed as `test` says if `arg` is "test".

    So a config of one's own changes `base()` and hands it to this, as those beside this one do:
    what is changed after `get_config(arg)` has come back, is changed in its form `:test` too.

    Raises:
      ValueError: there is no form of that name.
    """
    if arg == "test":
        config.update_from_flattened_dict(test)
    elif arg:
        raise ValueError(f"this config has the form :test, and no form :{arg}")
    return config.lock()

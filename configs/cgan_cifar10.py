"""Conditional GAN on CIFAR-10 as in the Keras tutorial: a DCGAN, both networks given the class.

    python -m experiments.train --config=configs/cgan_cifar10.py --workdir=runs/cgan

Cost: 0.134 s an iteration on two CPU cores (`cgan-32` in experiments/results/benchmark.json), and
1,014 MiB of memory; 1,500 iterations took about five minutes. On an accelerator: not measured.

Score: fcd 6.36 ± 0.41, classifier score 2.85 ± 0.02 and class accuracy 0.104 ± 0.001 after 1,500
iterations, mean and deviation over three seeds (`cgan` in experiments/results/conditioning.json).
An accuracy of 0.1 is chance. All 37,500 iterations: not run to their end here.

The tutorial's text gives the last convolution of the discriminator stride 1, and its listing stride
2; `--config.nets.discriminator.strides='(2,2,2,2)'` sets the latter. The tutorial's shared Adam is
described in `dcgan_cifar10`, and is `shared_count` here too. Training shows one fixed latent vector
for each class; `--config.preview.rows=4` shows four.
"""

from ml_collections import ConfigDict

from configs import dcgan_cifar10

BY_CLASS = ("comparisons.accuracy", "comparisons.by_class")


def get_config(arg: str = "") -> ConfigDict:
    return dcgan_cifar10.in_form(base(), arg)


def base() -> ConfigDict:
    config = dcgan_cifar10.base()
    config.update_from_flattened_dict(
        {
            "data.labels": True,
            "nets.discriminator.hidden_features": (512,),
            "preview.rows": 1,
            "evaluators.quality.comparisons": dcgan_cifar10.COMPARISONS + BY_CLASS,
        }
    )
    return config


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate
sweep_adversarial = dcgan_cifar10.sweep_adversarial


def sweep_conditioning():
    """What the label stands beside when the discriminator sees it: how many features, and layers.

    The strides of the last convolution are the tutorial's text, 1, and its listing, 2.
    """
    for last_stride in (1, 2):
        for features in (32, 256):
            for hidden in ((), (512,)):
                yield {
                    "nets.discriminator.strides": (2, 2, 2, last_stride),
                    "nets.discriminator.features": (32, 64, 128, features),
                    "nets.discriminator.hidden_features": hidden,
                }

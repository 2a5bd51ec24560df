"""AC-GAN on CIFAR-10: the conditional GAN whose discriminator also predicts the class.

    python -m experiments.train --config=configs/acgan_cifar10.py --workdir=runs/acgan

Cost: 1,500 iterations took about five minutes on two CPU cores. On an accelerator: not measured.

Score: fcd 5.7 ± 1.0, classifier score 3.14 ± 0.14 and class accuracy 0.172 ± 0.015 after 1,500
iterations, mean and deviation over three seeds (`acgan` in experiments/results/conditioning.json).
All 37,500 iterations: not run to their end here.

Odena et al. 2017, arXiv:1610.09585, on the networks, updates and constants of the tutorials' DCGAN,
with two updates of the discriminator and one of the generator in each iteration, for comparison
with `cgan_cifar10` and `projection_cifar10`.
"""

from ml_collections import ConfigDict

from configs import cgan_cifar10, dcgan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = cgan_cifar10.base()
    config.game.name = "auxiliary.two_step"
    config.nets.discriminator.name = "dcgan.AuxiliaryDiscriminator"
    config.nets.discriminator.classes = 10
    del config.nets.discriminator.hidden_features
    config.loss.weights.update(class_real=1.0, class_fake=1.0, class_made=1.0)
    return dcgan_cifar10.in_form(config, arg)


sweep_seed = dcgan_cifar10.sweep_seed
sweep_learning_rate = dcgan_cifar10.sweep_learning_rate
sweep_adversarial = dcgan_cifar10.sweep_adversarial

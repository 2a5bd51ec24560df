"""CycleGAN of the paper on your own folder: trainA, trainB and, if there are any, testA and testB.

    python -m experiments.train --config=configs/cyclegan_folder.py --workdir=runs/mine \\
        --config.data.data_dir=path/to/folder

Cost: an iteration costs what it does in `cyclegan_monet2photo_resnet`, and there are 200,000. On an
accelerator: not measured.

Score: it depends on the data. Not run to its end here.

Pictures may have any size and mode, and are cropped to squares at their centres. The learning rate
falls in the second half of the iterations. The samples show when training can be stopped.
"""

from ml_collections import ConfigDict

from configs import cyclegan_monet2photo, cyclegan_monet2photo_resnet, dcgan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = cyclegan_monet2photo_resnet.base()
    config.data.name = "unpaired_folder"
    cyclegan_monet2photo.in_steps(config, num_steps=200_000, every=5000)
    config.evaluators.quality.every_steps = 25_000
    return dcgan_cifar10.in_form(config, arg, cyclegan_monet2photo.RESNET)


sweep_seed = cyclegan_monet2photo_resnet.sweep_seed
sweep_learning_rate = cyclegan_monet2photo_resnet.sweep_learning_rate
sweep_cycle = cyclegan_monet2photo_resnet.sweep_cycle
sweep_identity = cyclegan_monet2photo_resnet.sweep_identity

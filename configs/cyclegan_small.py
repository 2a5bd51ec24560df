"""CycleGAN that trains in five minutes on two CPU cores: 64 pixels and a small U-Net.

    python -m experiments.train --config=configs/cyclegan_small.py --workdir=runs/small

Cost: about five minutes on two CPU cores for 3,000 iterations, of 0.054 s each (`cyclegan-small` in
experiments/results/benchmark.json), and 963 MiB of memory. On an accelerator: not measured.

Score: an identity error of 0.07 after 3,000 iterations (the mean difference, on a scale of 2). With
`--config.loss.identity=0` it is 0.33. experiments/results/cyclegan_identity.png shows both.

By default the data is crops of the two photographs that come with scikit-learn, a Chinese temple
and a flower, so no download is needed. For a folder with trainA and trainB, add
`--config.data.name=unpaired_folder --config.data.data_dir=path/to/folder`.

The skip connections of the U-Net pass on outlines and colours from the first iterations. The
paper's ResNet has none, and its pictures were still blurred after as many iterations.
"""

from ml_collections import ConfigDict

from configs import cyclegan_monet2photo, cyclegan_monet2photo_resnet, dcgan_cifar10


def get_config(arg: str = "") -> ConfigDict:
    config = cyclegan_monet2photo_resnet.base()
    config.nets = cyclegan_monet2photo.twins(
        generator={"name": "unet.PaperGenerator", "features": (32, 64, 128, 128), "dropout": 0.0},
        discriminator={
            "name": "patchgan.Discriminator",
            "features": 32,
            "depth": 2,
            "slope": 0.2,
            "affine": False,
            "use_bias": True,
        },
        data=config.data,
    )
    config.update_from_flattened_dict(
        {
            "data.name": "photographs",
            "data.load_size": 72,
            "data.image_size": 64,
            "nets.generator_ab.upsampling": "resize",
            "train.log_every": 50,
            "train.sample_every": 250,
        }
    )
    cyclegan_monet2photo.in_steps(config, num_steps=3000, every=500)
    config.evaluators.quality.every_steps = 3000
    return dcgan_cifar10.in_form(config, arg, cyclegan_monet2photo.UNET)


sweep_seed = cyclegan_monet2photo_resnet.sweep_seed
sweep_learning_rate = cyclegan_monet2photo_resnet.sweep_learning_rate
sweep_cycle = cyclegan_monet2photo_resnet.sweep_cycle
sweep_identity = cyclegan_monet2photo_resnet.sweep_identity

"""CycleGAN that two CPU cores train in 20 minutes: 64 pixels, half the features, 6 blocks.

    python -m experiments.train --config=configs/cyclegan_small.py --workdir=runs/small

By default on crops of the two photographs that come with scikit-learn, a Chinese temple and a
flower, without a network; on a folder of one's own (trainA, trainB) with
`--config.data.name=unpaired_folder --config.data.data_dir=path/to/folder`.
"""

from ml_collections import ConfigDict

from configs import cyclegan_monet2photo, cyclegan_monet2photo_resnet


def get_config(arg: str = "") -> ConfigDict:
    config = cyclegan_monet2photo_resnet.base()
    config.update_from_flattened_dict(
        {
            "data.name": "photographs",
            "data.load_size": 72,
            "data.image_size": 64,
            "nets.generator_ab.features": 32,
            "nets.generator_ab.blocks": 6,
            "nets.discriminator_a.features": 32,
            "train.num_steps": 3000,
            "train.log_every": 50,
            "train.sample_every": 250,
            "checkpoint.every_steps": 500,
        }
    )
    return cyclegan_monet2photo.in_form(config, arg)

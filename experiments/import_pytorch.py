"""Makes a run folder of weights that CycleGAN's PyTorch code has trained.

    python -m experiments.import_pytorch --config=configs/cyclegan_monet2photo_resnet.py \\
        --workdir=runs/monet --generator_ba=latest_net_G.pth

The folder holds a checkpoint of step 0: translate with it, or train it further with the same
config and workdir. Networks without a file begin untrained.

The files are those of https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix, whose names
differ from ours. There a discriminator is named for the generator it watches, here for the
domain it judges:

    latest_net_G_A.pth    A to B            --generator_ab
    latest_net_G_B.pth    B to A            --generator_ba
    latest_net_D_A.pth    judges images of B    --discriminator_b
    latest_net_D_B.pth    judges images of A    --discriminator_a

The published models have one generator, in latest_net_G.pth. With A Monet's paintings and B
photographs, as in our configs, that of monet2photo is --generator_ab, that of style_monet,
which paints photographs, --generator_ba.
"""

from absl import flags
from ml_collections import config_flags

from experiments import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The config file of the run, e.g. configs/cyclegan_monet2photo_resnet.py."
)
_WORKDIR = cli.define_path(
    "workdir", None, "The run folder to make; it must not exist, or must be empty."
)
_FILES = {
    name: cli.define_path(name, None, f"A .pth or .safetensors file with the weights of {what}.")
    for name, what in {
        "generator_ab": "PyTorch's net_G_A, which turns A into B",
        "generator_ba": "PyTorch's net_G_B, which turns B into A",
        "discriminator_a": "PyTorch's net_D_B, which judges images of A",
        "discriminator_b": "PyTorch's net_D_A, which judges images of B",
    }.items()
}
flags.mark_flags_as_required(["config", "workdir"])


def main() -> None:
    """Imports the files and says what became of each network."""
    from gans.inference import import_run

    files = {name: flag.value for name, flag in _FILES.items() if flag.value}
    import_run.run(_CONFIG.value, _WORKDIR.value, files)
    for name in _FILES:
        print(f"{name}: {files.get(name, 'no file given, begins untrained')}")
    workdir = _WORKDIR.value
    print(f"{workdir} is ready: go on with experiments.train, the same config and workdir.")


if __name__ == "__main__":
    cli.run(main)

"""Trains the experiment of a config file; run again with the same workdir, it goes on.

    python -m experiments.train --config=configs/cgan_digits.py --workdir=runs/digits
    python -m experiments.train --config=configs/dcgan_cifar10.py --workdir=runs/dcgan \\
        --config.loss.adversarial=hinge --config.data.batch_size=64
"""

import sys

from absl import flags
from ml_collections import config_flags

from experiments import cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment: a file in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run folder: everything is written there.")
flags.mark_flags_as_required(["config", "workdir"])


def main() -> None:
    from gans import build, train

    try:
        train.run(_CONFIG.value, _WORKDIR.value)
    except train.Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(128 + stop.number)
    workdir = _WORKDIR.value
    following = build.find("previews", _CONFIG.value.preview.name).next_command
    print(
        f"Trained. Pictures: {workdir}/samples.html and {workdir}/samples.gif\n"
        f"What next: python -m {following.format(workdir=workdir)}"
    )


if __name__ == "__main__":
    cli.run(main)

"""Trains the experiment of a config file; the same command again resumes the run in --workdir.

    python -m experiments.train --config=configs/cgan_digits.py --workdir=runs/digits
    python -m experiments.train --config=configs/dcgan_cifar10.py --workdir=runs/dcgan \\
        --config.loss.adversarial=hinge --config.data.batch_size=64

On several hosts the same command with `--distributed` is started on each: under Slurm (srun) and
on a TPU pod they find each other; elsewhere also give `--coordinator=host:port`,
`--num_processes` and `--process_id`. The run folder is one that all hosts share.
"""

import sys

from absl import flags
from ml_collections import config_flags

from experiments import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The config file of the experiment, e.g. configs/cgan_digits.py."
)
_WORKDIR = cli.define_path(
    "workdir", None, "The run folder: the run is written there, and resumed from there."
)
_REPLICAS = flags.DEFINE_integer(
    "replicas",
    None,
    "Train this many seeds in one program, each in a folder of its own below --workdir.",
    1,
)
cli.define_hosts()
flags.mark_flags_as_required(["config", "workdir"])


def main() -> None:
    from gans.config import build
    from gans.parallel import hosts
    from gans.runs import writers
    from gans.training import replicas, train

    config, workdir = _CONFIG.value, _WORKDIR.value
    with cli.together():
        try:
            if _REPLICAS.value:
                configs = replicas.seeds(config, _REPLICAS.value)
                replicas.run(list(configs.values()), [workdir / name for name in configs])
            else:
                train.run(config, workdir)
        except train.Interrupted as stop:
            writers.say(str(stop))
            sys.exit(128 + stop.number)
    if not hosts.is_first():
        return
    shown = workdir / next(iter(replicas.seeds(config, 1))) if _REPLICAS.value else workdir
    following = build.find("previews", config.preview.name).next_command
    pictures = [path for name in writers.TO_LOOK_AT if (path := shown / name).exists()]
    print(
        f"Trained. Pictures: {' and '.join(map(str, pictures)) or 'none'}\n"
        f"What next: python -m {following.format(workdir=shown)}"
    )


if __name__ == "__main__":
    cli.run(main)

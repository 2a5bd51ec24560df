"""Trains the points of sweeps that a config file names, each in a run folder of its own.

    python -m experiments.sweep --config=configs/cgan_digits.py --sweep=learning_rate,seed \\
        --workdir=runs/lr --parallel=2
    python -m experiments.sweep --config=configs/cgan_digits.py --sweep=seed --workdir=runs/seeds \\
        --launcher=slurm --slurm.partition=gpu --slurm.gpus_per_node=1 --sbatch=account=vision
    python -m experiments.collect runs/lr

A sweep is a function `sweep_NAME` of the config file; several are combined, each value of one with
each of the others. Everything is checked before anything starts, and --dry_run shows what would
be. Given again, the command goes on where it was: what is trained is left alone, and what failed
is tried again. The exit status is 1 if a point failed; the others are trained all the same.

On this machine --parallel points are trained at once, GPUs and CPU cores shared out evenly. On a
Slurm cluster an array job is submitted: see configs/launchers/slurm.py.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import cli

_DEFAULT = str(Path(__file__).parents[1] / "configs" / "launchers" / "slurm.py")

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment: a file in configs/.")
_SWEEP = flags.DEFINE_list("sweep", None, "Of the config file, as in learning_rate,seed.")
_WORKDIR = cli.define_path("workdir", None, "The folder for the run folders.")
_LAUNCHER = flags.DEFINE_enum("launcher", "local", ["local", "slurm"], "Where they are trained.")
_PARALLEL = flags.DEFINE_integer("parallel", 1, "Points at once, if local.", lower_bound=1)
_SLURM = cli.define_config("slurm", _DEFAULT, "What to ask of Slurm.")
_SBATCH = flags.DEFINE_multi_string("sbatch", [], "More for sbatch, as in account=vision.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print points and commands only.")
flags.mark_flags_as_required(["config", "sweep", "workdir"])


def main() -> int:
    from gans.training.sweeps import sweep

    flag = flags.FLAGS["config"]
    return sweep.run(
        _CONFIG.value,
        config_flags.get_config_filename(flag),
        config_flags.get_override_values(flag),
        _SWEEP.value,
        _WORKDIR.value,
        _launch,
        dry_run=_DRY_RUN.value,
    )


def _launch(trainings, folder: Path, done: int) -> int:
    if _LAUNCHER.value == "slurm":
        from gans.training.sweeps import slurm

        return slurm.launch(trainings, folder, parameters=_SLURM.value, extra=_SBATCH.value)
    from gans.training.sweeps import local

    return local.launch(trainings, parallel=_PARALLEL.value, done=done)


if __name__ == "__main__":
    cli.run(main)

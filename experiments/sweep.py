"""Trains every point of the sweeps in a config file, each in a run folder of its own.

    python -m experiments.sweep --config=configs/cgan_digits.py --sweep=learning_rate,seed \\
        --workdir=runs/lr --parallel=2
    python -m experiments.sweep --config=configs/cgan_digits.py --sweep=seed --workdir=runs/seeds \\
        --launcher=slurm --slurm.partition=gpu --slurm.gpus_per_node=1 --sbatch=account=vision
    python -m experiments.collect runs/lr

A sweep is a function `sweep_NAME` of the config file; several are combined, each value of one with
each of the others. Everything is checked before anything starts, and --dry_run prints what would
be trained. The same command again continues the sweep: trained points are left alone, and failed
ones are tried again. The exit status is 1 if a point failed; the others are trained all the same.

On this machine --parallel points are trained at once, GPUs and CPU cores shared out evenly. On a
Slurm cluster an array job is submitted: see configs/launchers/slurm.py.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import cli

_DEFAULT = str(Path(__file__).parents[1] / "configs" / "launchers" / "slurm.py")

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The config file of the experiment to vary."
)
_SWEEP = flags.DEFINE_list(
    "sweep",
    None,
    "The sweeps of the config file to combine, e.g. learning_rate,seed for its functions "
    "sweep_learning_rate and sweep_seed.",
)
_WORKDIR = cli.define_path(
    "workdir", None, "The folder in which every point of the sweep gets a run folder."
)
_LAUNCHER = flags.DEFINE_enum(
    "launcher",
    "local",
    ["local", "slurm"],
    "Where the points are trained: on this machine, or as an array job of Slurm.",
)
_PARALLEL = flags.DEFINE_integer(
    "parallel",
    1,
    "How many points --launcher=local trains at once; GPUs and cores are shared out between them.",
    lower_bound=1,
)
_SLURM = cli.define_config(
    "slurm", _DEFAULT, "The config file of what --launcher=slurm asks of Slurm for each point."
)
_SBATCH = flags.DEFINE_multi_string(
    "sbatch", [], "A further option for sbatch, e.g. account=vision"
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print the points and their commands, and train nothing."
)
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

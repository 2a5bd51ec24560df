"""What `experiments.sweep --launcher=slurm` asks of Slurm for each point of a sweep.

    python -m experiments.sweep --config=configs/cgan_digits.py --sweep=seed --workdir=runs/seeds \\
        --launcher=slurm --slurm.partition=gpu --slurm.gpus_per_node=1 --sbatch=account=vision

A file like this one with the names of your cluster is given by `--slurm=path/to/file.py`. None
of it is part of a run's config.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "gans"
    config.partition = ""  # empty for the cluster's default
    config.time_min = 240  # minutes of a job; a training that takes more is queued again
    config.at_once = 16  # points that may run at one time
    config.nodes = 1
    config.tasks_per_node = 1  # processes; more than one in all train with --distributed
    config.gpus_per_node = 0
    config.cpus_per_task = 2
    config.mem = ""  # as in "16GB"; empty for the cluster's default
    config.requeue = True  # whether a job may come back, after losing its place or its node too
    config.max_timeouts = 100  # how often a job may come back after its time was up
    config.save_s = 120  # seconds before its time is up in which it saves
    config.setup = ()  # lines of the batch script before training, as in ("module load cuda",)
    return config.lock()

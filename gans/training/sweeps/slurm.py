"""Trainings as one array job of Slurm, each of which goes on by itself after a preemption.

Slurm sends SIGTERM to a job that is preempted, and SIGUSR2 some time before its limit is up. At
either the training saves, and then the job asks to be queued again, as submitit does it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import submitit
from ml_collections import ConfigDict
from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.helpers import Checkpointable

from gans.errors import UserError
from gans.files import reading
from gans.files.writing import write_json
from gans.training.sweeps.launching import LOG, Training

_JOBS = "jobs.json"


@dataclasses.dataclass
class Requeued(Checkpointable):
    """Runs a training, and has its job queued again when a signal stops it.

    Attributes:
      may_return: whether it has; Slurm refuses a job that was submitted not to come back.
    """

    may_return: bool

    def __call__(self, training: Training) -> None:
        queue_again = signal.getsignal(signal.SIGUSR2)  # submitit's
        rank = int(os.environ.get("SLURM_PROCID", 0))
        is_done = training(LOG if rank == 0 else f"{Path(LOG).stem}.{rank}.log")
        # A job that was cancelled must not come back.
        if not is_done and self.may_return and state(os.environ["SLURM_JOB_ID"]) == "RUNNING":
            queue_again(signal.SIGUSR2, None)


def launch(
    trainings: Sequence[Training], folder: Path, *, parameters: ConfigDict, extra: Sequence[str]
) -> int:
    """Submits those that are not in the queue already, and returns.

    Args:
      trainings: to run.
      folder: for submitit's files, where all nodes see it.
      parameters: as in `configs/launchers/slurm.py`.
      extra: more parameters for sbatch, as in "account=vision" or "exclusive".

    Returns:
      The exit status, 0.

    Raises:
      UserError: Slurm is not there, or does not take the job.
    """
    if shutil.which("sbatch") is None:
        raise UserError("There is no sbatch here: submit from a machine of a Slurm cluster.")
    queued = _queued(folder)
    new = [training for training in trainings if training.name not in queued]
    if new:
        ids = _submit(new, folder, parameters, extra)
        write_json(folder / _JOBS, queued | ids)
        for name, number in ids.items():
            print(f"{number}: {name}")
    print(f"{len(new)} points submitted, {len(queued)} in the queue already; see squeue --me")
    return 0


def _submit(
    trainings: Sequence[Training], folder: Path, parameters: ConfigDict, extra: Sequence[str]
) -> dict[str, str]:
    """The numbers of the jobs, by name."""
    executor = submitit.SlurmExecutor(folder, max_num_timeout=parameters.max_timeouts)
    executor.update_parameters(**sbatch(parameters, extra))
    if parameters.nodes * parameters.tasks_per_node > 1:
        trainings = [
            Training(training.workdir, (*training.command, "--distributed"))
            for training in trainings
        ]
    for training in trainings:
        training.announce()
    try:
        jobs = executor.map_array(Requeued(parameters.requeue), trainings)
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        sentence = " ".join(str(error).split())
        raise UserError(f"Slurm does not take the job: {sentence}") from None
    return {training.name: job.job_id for training, job in zip(trainings, jobs, strict=True)}


def sbatch(parameters: ConfigDict, extra: Sequence[str]) -> dict:
    """What submitit is to write into the batch script."""
    pairs = (item.partition("=") for item in extra)
    free = {name: value if equals else True for name, equals, value in pairs}
    known = {
        "job_name": parameters.name,
        "partition": parameters.partition or None,
        "time": parameters.time_min,
        "nodes": parameters.nodes,
        "ntasks_per_node": parameters.tasks_per_node,
        "gpus_per_node": parameters.gpus_per_node or None,
        "cpus_per_task": parameters.cpus_per_task,
        "mem": parameters.mem or None,
        "array_parallelism": parameters.at_once,
        "signal_delay_s": parameters.save_s,
        "setup": list(parameters.setup),
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue" if parameters.requeue else "no_requeue": True} | free,
    }
    return {name: value for name, value in known.items() if value is not None}


def _queued(folder: Path) -> Mapping[str, str]:
    """Of the jobs submitted before, those that wait or run."""
    path = folder / _JOBS
    if not path.exists():
        return {}
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise UserError(f"Slurm does not say what is queued: {found.stderr.strip()}")
    alive = set(found.stdout.split())
    known = reading.read_json(path, dict[str, str])
    return {name: number for name, number in known.items() if number in alive}


def state(job: str) -> str:
    """Of a job, as in "RUNNING" or "COMPLETING"."""
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()

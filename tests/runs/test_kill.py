"""A run killed at any moment goes on, and ends where an undisturbed one does."""

import multiprocessing
import random
import time

import jax
import numpy as np
import pytest

from configs import dcgan_digits
from gans.inference import sampling
from gans.training import train


def experiment():
    config = dcgan_digits.get_config("test")
    config.mesh.data = 1
    config.update_from_flattened_dict(
        {
            "train.num_steps": 40,
            "train.log_every": 4,
            "train.sample_every": 10,
            "checkpoint.every_steps": 2,
            "evaluators.quality.every_steps": 0,
            "evaluators.overfitting.every_steps": 0,
        }
    )
    return config


def run(workdir):
    jax.config.update("jax_num_cpu_devices", 8)  # as in the process of the tests
    train.run(experiment(), workdir)


def steps(workdir):
    folder = workdir / "checkpoints"
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(name) for name in names if name.isdecimal())


@pytest.mark.as_in_use
def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path):
    workdir, moments, kills = tmp_path / "killed", random.Random(), 0
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["gans.training.train", "configs.dcgan_digits"])
    while kills < 4:
        before = max(steps(workdir), default=0)
        process = processes.Process(target=run, args=(workdir,))
        process.start()
        # Most moments of interest lie between the first new checkpoint and the next few.
        while max(steps(workdir), default=0) <= before and process.is_alive():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        process.join()
        kills += 1
        assert max(steps(workdir)) > before
        assert sampling.load(workdir).step == max(steps(workdir))
    killed = train.run(experiment(), workdir)
    whole = train.run(experiment(), tmp_path / "whole")
    for a, b in zip(jax.tree.leaves(killed.nets), jax.tree.leaves(whole.nets), strict=True):
        np.testing.assert_array_equal(a, b)
    logged = (workdir / "metrics.jsonl").read_text().count("\n")
    assert logged == (tmp_path / "whole" / "metrics.jsonl").read_text().count("\n") == 10
    assert len(list((workdir / "samples").glob("epoch*.png"))) == 4

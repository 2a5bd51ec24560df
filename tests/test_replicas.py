"""Several runs in one program against the same runs alone."""

import json

import jax
import numpy as np
import pytest

from gans import replicas, runs, train
from gans.errors import UserError

# Adam would turn rounding in gradients that are zero into whole steps: SGD.
CHANGES = {
    "optim.generator.name": "sgd",
    "optim.discriminator.name": "sgd",
    "optim.generator.learning_rate": 0.05,
    "optim.generator.ema_decay": 0.9,
    "optim.discriminator.learning_rate": 0.05,
    "evaluators.overfitting.every_steps": 0,
    "evaluators.quality.every_steps": 0,
    "checkpoint.every_steps": 2,
}
VARIED = (
    {},
    {"seed": 3},
    {"loss.weights.real": 0.1},
    {"optim.generator.learning_rate": 0.2},
)


def varied(config, *each):
    made = []
    for changes in each:
        one = config.copy_and_resolve_references()
        one.update_from_flattened_dict(CHANGES | changes)
        made.append(one)
    return made


def end(workdir):
    return runs.restore(workdir, runs.read_config(workdir), runs.read_info(workdir), None)


def assert_same_end(workdir, expected):
    found = end(workdir)
    assert found.step == int(expected.step)
    for name, net in expected.nets.items():
        for mine, theirs in zip(*map(jax.tree.leaves, (found.state.nets[name], net)), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


def folders(tmp_path, count):
    return [tmp_path / f"together{k}" for k in range(count)]


def test_four_runs_in_one_program_end_as_each_alone(tmp_path, config):
    configs, workdirs = varied(config, *VARIED), folders(tmp_path, 4)
    replicas.run(configs, workdirs)
    starts = []
    for k, (one, workdir) in enumerate(zip(configs, workdirs, strict=True)):
        alone = tmp_path / f"alone{k}"
        assert_same_end(workdir, train.run(one, alone))
        for ours, theirs in zip(lines(workdir), lines(alone), strict=True):
            assert ours.keys() - {"images_per_second", "data_wait"} <= theirs.keys()
            assert ours["d_loss"] == pytest.approx(theirs["d_loss"], rel=1e-4)
        assert (workdir / "samples.gif").exists()
        starts.append(lines(workdir)[-1]["d_loss"])
    assert len(set(starts)) == 4  # none is another's copy


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_they_go_on_from_the_newest_step_in_common_together_or_alone(tmp_path, config):
    short = varied(config, {"train.num_steps": 4}, {"train.num_steps": 4, "seed": 1})
    whole, workdirs = varied(config, {}, {"seed": 1}), folders(tmp_path, 2)
    replicas.run(short, workdirs)
    train.run(varied(config, {"seed": 1})[0], workdirs[1])  # one of them goes ahead
    expected = end(workdirs[1]).state
    replicas.run(whole, workdirs)
    assert_same_end(workdirs[1], expected)
    assert_same_end(workdirs[0], train.run(whole[0], tmp_path / "alone"))


def test_runs_that_differ_in_more_are_refused(tmp_path, config):
    configs = varied(config, {}, {"game.latent_dim": 5})
    with pytest.raises(UserError, match=r"these differ in game\.latent_dim"):
        replicas.run(configs, folders(tmp_path, 2))
    assert not any(path.exists() for path in folders(tmp_path, 2))


def test_one_that_diverges_does_not_stop_the_others(tmp_path, config, capsys):
    diverging = {"optim.generator.learning_rate": float("inf")}
    configs, workdirs = varied(config, {}, diverging), folders(tmp_path, 2)
    with pytest.raises(UserError, match="together1: Training diverged"):
        replicas.run(configs, workdirs)
    assert "together1: Training diverged" in capsys.readouterr().err
    assert end(workdirs[0]).step == config.train.num_steps
    assert_same_end(workdirs[0], train.run(configs[0], tmp_path / "alone"))


def test_seeds_are_counted_from_the_configs_own(config):
    config.unlock()
    config.seed = 5
    made = replicas.seeds(config, 3)
    assert [(name, one.seed) for name, one in made.items()] == [
        ("seed=5", 5),
        ("seed=6", 6),
        ("seed=7", 7),
    ]

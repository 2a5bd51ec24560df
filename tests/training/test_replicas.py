"""Several runs in one program against the same runs alone."""

import json

import pytest
from closeness import assert_no_further, exact_chunk, of_layer

from gans import parallel
from gans.config import build
from gans.errors import UserError
from gans.runs import run_folder
from gans.training import replicas, train

pytestmark = pytest.mark.as_in_use

# Adam would turn rounding in gradients that are zero into whole steps: SGD. And images so small
# that hardly ever a ReLU is given a zero, to rounding, and takes the other side.
CHANGES = {
    "data.image_size": 8,
    "nets.generator.image_size": 8,
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
    info = run_folder.read_info(workdir)
    return run_folder.restore(workdir, run_folder.experiment(workdir), info, None)


def assert_same_end(workdir, alone, exact):
    """That a run is as near as the same run alone to what the latter is in float64."""
    found = end(workdir)
    assert found.step == int(alone.step) == int(exact.step)
    for name, net in exact.nets.items():
        nets = found.state.nets[name], alone.nets[name], net
        assert_no_further(*((x.params, x.model_state) for x in nets), size=of_layer)


def in_float64(config, workdir):
    """The state that a run ends with when nothing is rounded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "jit_chunk", exact_chunk)
        return train.run(config, workdir)


def folders(tmp_path, count):
    return [tmp_path / f"together{k}" for k in range(count)]


def test_three_runs_in_one_program_end_as_each_alone(tmp_path, config):
    configs, workdirs = varied(config, *VARIED), folders(tmp_path, 3)
    replicas.run(configs, workdirs)
    starts = []
    for k, (one, workdir) in enumerate(zip(configs, workdirs, strict=True)):
        alone, exact = tmp_path / f"alone{k}", tmp_path / f"exact{k}"
        assert_same_end(workdir, train.run(one, alone), in_float64(one, exact))
        for ours, theirs in zip(lines(workdir), lines(alone), strict=True):
            assert ours.keys() - {"images_per_second", "data_wait"} <= theirs.keys()
        assert_no_further(*([line["d_loss"] for line in lines(x)] for x in (workdir, alone, exact)))
        assert (workdir / "samples.gif").exists()
        starts.append(lines(workdir)[-1]["d_loss"])
    assert len(set(starts)) == 3  # none is another's copy


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_they_go_on_from_the_newest_step_in_common_together_or_alone(tmp_path, config):
    short = varied(config, {"train.num_steps": 4}, {"train.num_steps": 4, "seed": 1})
    whole, workdirs = varied(config, {}, {"seed": 1}), folders(tmp_path, 2)
    replicas.run(short, workdirs)
    train.run(varied(config, {"seed": 1})[0], workdirs[1])  # one of them goes ahead
    alone = end(workdirs[1]).state, train.run(whole[0], tmp_path / "alone")
    replicas.run(whole, workdirs)
    for one, workdir, expected in zip(reversed(whole), reversed(workdirs), alone, strict=True):
        assert_same_end(workdir, expected, in_float64(one, tmp_path / f"exact{one.seed}"))


def test_runs_that_differ_in_more_are_refused(tmp_path, config):
    configs = varied(config, {}, {"game.latent_dim": 5})
    with pytest.raises(UserError, match=r"these differ in game\.latent_dim"):
        replicas.run(configs, folders(tmp_path, 2))
    assert not any(path.exists() for path in folders(tmp_path, 2))


def test_one_that_diverges_does_not_stop_the_others(tmp_path, config, capsys, monkeypatch):
    monkeypatch.setattr(build.ranges, "check", lambda fields: None)  # which would refuse it
    diverging = {"optim.generator.learning_rate": float("inf")}
    configs, workdirs = varied(config, {}, diverging), folders(tmp_path, 2)
    with pytest.raises(UserError, match="together1: Training diverged"):
        replicas.run(configs, workdirs)
    assert "together1: Training diverged" in capsys.readouterr().err
    assert end(workdirs[0]).step == config.train.num_steps
    alone, exact = train.run(configs[0], tmp_path / "alone"), in_float64(configs[0], tmp_path / "x")
    assert_same_end(workdirs[0], alone, exact)


def test_seeds_are_counted_from_the_configs_own(config):
    config.unlock()
    config.seed = 5
    made = replicas.seeds(config, 3)
    assert [(name, one.seed) for name, one in made.items()] == [
        ("seed=5", 5),
        ("seed=6", 6),
        ("seed=7", 7),
    ]

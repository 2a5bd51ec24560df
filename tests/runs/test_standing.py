"""How far a run has come, by its folder."""

from gans.data.source import DataInfo
from gans.runs import run_folder, standing


def test_a_run_is_finished_at_its_last_step_and_with_its_config(tmp_path, config):
    assert not standing.is_finished(tmp_path, config)
    run_folder.note(tmp_path, config, DataInfo(10, (32, 32, 1), ()))
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    assert not standing.is_finished(tmp_path, config)
    (tmp_path / "checkpoints" / "6").mkdir()
    assert standing.is_finished(tmp_path, config)
    config.train.num_steps = 8
    assert not standing.is_finished(tmp_path, config)
    config.train.num_steps = 6
    config.seed = 3
    assert not standing.is_finished(tmp_path, config)

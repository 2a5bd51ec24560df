"""When evaluators run, what is written down, and which checkpoint is kept as the best."""

import json
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import gans
from gans import parallel
from gans.config import build
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.evaluation import evaluate, runner
from gans.runs import best, evaluation_record, run_folder
from gans.runs.checkpoints import Checkpoints
from gans.training import train


def line(step, evaluator="quality", seed=0, **values):
    return {
        "step": step,
        "time": 0.0,
        "evaluator": evaluator,
        "values": values,
        "protocol": {"seed": seed, "device": "any"},
        "seconds": 0.1,
    }


def judge(**every):
    spec = {"name": "samples.Samples", "comparisons": ("comparisons.frechet",)}
    evaluators = {name: spec | {"every_steps": steps} for name, steps in every.items()}
    return judge_of(evaluators)


def judge_of(evaluators):
    experiment = build.Experiment(ConfigDict({"evaluators": evaluators}), None, {})
    return runner.EvaluationRunner(experiment, DataInfo(1, (8, 8, 3)), None)


def test_evaluators_are_due_at_their_steps_and_at_the_end():
    made = judge(often=10, seldom=25, never=0)
    assert made.due(0, 5) == []
    assert made.due(5, 10) == ["often"]
    assert made.due(24, 55) == ["often", "seldom"]
    assert made.due(55, 56, last=True) == ["often", "seldom"]


def test_a_field_that_an_evaluator_does_not_have_is_an_error():
    spec = {"name": "samples.Samples", "every_steps": 1, "comparisons": (), "num_fakes": 3}
    with pytest.raises(UserError, match=r"evaluators.q.name has no field 'num_fakes'.*'num_fake'"):
        judge_of({"q": spec})


def test_the_record_is_in_order_and_the_last_of_two_alike_counts(tmp_path):
    assert evaluation_record.read(tmp_path) == []
    lines = [line(20, fcd=3.0), line(10, fcd=4.0), line(20, fcd=2.0), line(20, seed=1, fcd=9.0)]
    text = "".join(json.dumps(x) + "\n" for x in lines)
    (tmp_path / evaluation_record.FILE).write_text(
        text + '{"step": 30, "eval'
    )  # a kill cut it short
    found = evaluation_record.read(tmp_path)
    assert [(x["step"], x["values"]["fcd"]) for x in found] == [(10, 4.0), (20, 2.0), (20, 9.0)]


def test_words_leave_out_single_classes_and_deviations():
    words = evaluation_record.in_words(line(7, fcd=1.23456, kcd_deviation=2.0, **{"fcd/cat": 3.0}))
    assert words == "step 7, quality: fcd 1.235 (0 s)"


@pytest.mark.parametrize("highest, kept", [(False, 30), (True, 20)])
def test_the_best_state_stays_whatever_follows(tmp_path, highest, kept):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        keeper = best.Best(checkpoints, "quality/fcd", highest)
        for step, value in ((10, 5.0), (20, 6.0), (30, 4.0), (40, 5.5)):
            lines = [line(step, evaluator="other", fcd=0.0), line(step, fcd=value)]
            keeper.offer(lines, {"x": np.float32(value)}, {})
        checkpoints.wait()
        assert checkpoints.steps() == [kept]


def test_a_resumed_run_knows_what_was_best(tmp_path):
    state = {"x": np.float32(0)}
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        best.Best(checkpoints, "quality/fcd", False).offer([line(10, fcd=5.0)], state, {})
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        keeper = best.Best(checkpoints, "quality/fcd", False)
        keeper.offer([line(20, fcd=5.1), line(20, fcd=float("nan"))], state, {})
        checkpoints.wait()
        assert checkpoints.steps() == [10]
        # Of another metric it holds nothing yet.
        best.Best(checkpoints, "quality/kcd", False).offer([line(30, kcd=9.0)], state, {})
        checkpoints.wait()
        assert checkpoints.steps() == [30]
        with pytest.raises(UserError, match="asks for 'fcd', which .* does not have: it has kcd"):
            keeper.offer([line(30, kcd=1.0)], {"x": np.float32(0)}, {})


@pytest.mark.parametrize(
    "best_, is_, message",
    [
        (
            "quantity/fcd",
            "lowest",
            "must name an entry of evaluators.*there are over.*, quality",
        ),
        ("quality/fcd", "least", "must be lowest or highest"),
    ],
)
def test_a_wrong_best_is_an_error_before_data_is_read(config, best_, is_, message):
    config.checkpoint.update(best=best_, best_is=is_)
    with pytest.raises(UserError, match=message):
        build.experiment(config)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run that was evaluated on its way, in two parts, and keeps its best checkpoint."""
    from configs import cgan_digits

    config = cgan_digits.get_config("test")
    config.mesh.data = 1
    config.evaluators.quality.every_steps = 2
    with config.unlocked():
        del config.evaluators.overfitting
    config.checkpoint.update(best="quality/fcd", keep=1)
    workdir = tmp_path_factory.mktemp("run")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    config.train.num_steps = 4
    train.run(config, workdir)
    config.train.num_steps = 6
    train.run(config, workdir)
    yield workdir
    patch.undo()


def test_training_writes_down_every_evaluation_once(workdir):
    lines = evaluation_record.read(workdir)
    assert [x["step"] for x in lines] == [2, 4, 6]
    text = (workdir / evaluation_record.FILE).read_text()
    assert len(text.splitlines()) == 3
    assert {"jax", "flax", "numpy", "python"} == set(lines[0]["protocol"]["versions"])
    assert all(np.isfinite(value) for x in lines for value in x["values"].values())


def test_an_evaluation_that_was_cut_off_is_made_up_for(workdir, tmp_path):
    cut = tmp_path / "run"
    shutil.copytree(workdir, cut)
    *before, last = (cut / evaluation_record.FILE).read_text().splitlines(keepends=True)
    (cut / evaluation_record.FILE).write_text("".join(before))
    train.run(run_folder.read_config(cut), cut)
    again = evaluation_record.read(cut)
    assert [x["step"] for x in again] == [2, 4, 6]
    assert again[-1]["values"] == json.loads(last)["values"]


def test_the_best_checkpoint_is_kept_and_loaded(workdir):
    lines = {x["step"]: x["values"]["fcd"] for x in evaluation_record.read(workdir)}
    least = min(lines, key=lines.get)
    assert gans.load(workdir, step="best").step == least
    assert gans.load(workdir).step == 6


def test_evaluating_again_finds_the_same(workdir, monkeypatch):
    # Shared out to other devices than training had, the same sums are rounded otherwise.
    one = parallel.make_mesh(1)
    monkeypatch.setattr(parallel, "make_mesh", lambda: one)
    before = evaluation_record.read(workdir)
    words, *cautions = evaluate.run(workdir, evaluate.checkpoints(workdir), {})
    assert words.startswith("step 6, quality: fcd ")
    assert any("24 images" in line for line in cautions)
    after = evaluation_record.read(workdir)
    assert [x["values"] for x in after] == [x["values"] for x in before]
    list(evaluate.run(workdir, [None], {("seed",): 5, ("num", "num_fake"): 30}))
    other = evaluation_record.read(workdir)[-1]
    assert (other["protocol"]["seed"], other["protocol"]["num_fake"]) == (5, 30)
    assert other["values"] != after[-1]["values"]


def test_evaluation_of_what_is_not_there_is_an_error_in_words(workdir, tmp_path):
    with pytest.raises(UserError, match="There is no run in"):
        list(evaluate.run(tmp_path, [None], {}))
    with pytest.raises(UserError, match="no checkpoint of step 3"):
        list(evaluate.run(workdir, [3], {}))
    with pytest.raises(UserError, match="No evaluator of the run has a field number"):
        list(evaluate.run(workdir, [None], {("seed",): 5, ("number", "size"): 3}))
    with pytest.raises(UserError, match="There is no run in"):
        evaluate.checkpoints(tmp_path)
    run_folder.note(tmp_path, run_folder.read_config(workdir), run_folder.read_info(workdir))
    with pytest.raises(UserError, match="has no checkpoint yet"):
        evaluate.checkpoints(tmp_path)


def test_an_old_run_without_evaluators_says_what_lacks(workdir, tmp_path):
    config = run_folder.read_config(workdir)
    del config.evaluators
    run_folder.note(tmp_path, config, run_folder.read_info(workdir))
    with pytest.raises(UserError, match="config has no evaluators"):
        list(evaluate.run(tmp_path, [None], {}))


def test_a_cyclegan_is_evaluated_too(cycle_run, monkeypatch):
    (words,) = evaluate.run(cycle_run, [None], {("num",): 2})
    assert "cycle_a" in words and "inverted_ba" in words
    assert jax.device_count() == 8

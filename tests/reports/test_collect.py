"""A sweep's folders as one table: order, columns, states, the page; of records made up here."""

import csv
import io
import json
import re

import pytest

from gans.data.source import DataInfo
from gans.errors import UserError
from gans.reports import collect, ranking
from gans.reports.ranking import FAILED, FINISHED, UNFINISHED, WAITING
from gans.runs import run_folder
from gans.training.sweeps.launching import LOG

PROTOCOL = {"net": "classifier.load", "num_fake": 24, "averaged": True}


def write(workdir, config, step, values, *, rate=1e-3, seed=0, log="Trained.", **protocol):
    """A run folder at a step; `values` are found at it."""
    config = config.copy_and_resolve_references()
    config.seed = seed
    for net in config.optim:
        config.optim[net].learning_rate = rate
    run_folder.note(workdir, config, DataInfo(10, (32, 32, 1), ()))
    (workdir / "checkpoints" / str(step)).mkdir(parents=True)
    (workdir / LOG).write_text(f"$ train\n{log}\n")
    line = {"step": step, "evaluator": "quality", "values": values, "time": 0.0, "seconds": 1.0}
    line["protocol"] = PROTOCOL | protocol
    (workdir / "evaluations.jsonl").write_text(json.dumps(line) + "\n")
    lines = [{"step": 2}, {"step": 6, "images_per_second": 16.0}]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))


@pytest.fixture
def folder(tmp_path, config):
    config.data.batch_size = 8
    for i, (rate, seed, fcd) in enumerate(
        [(1e-4, 0, 30.0), (1e-4, 1, 34.0), (1e-3, 0, 10.0), (1e-3, 1, 14.0), (1e-2, 0, 50.0)]
    ):
        values = {"fcd": fcd, "precision": fcd / 100, "fcd_deviation": 1.0, "odd": -fcd}
        write(tmp_path / f"p{i}", config, 6, values, rate=rate, seed=seed)
    write(tmp_path / "half", config, 4, {"fcd": 1.0}, rate=1e-3, seed=2, log="step 4/6")
    write(tmp_path / "other", config, 6, {"fcd": 5.0}, rate=1e-2, seed=1, num_fake=5000)
    write(tmp_path / "nan", config, 4, {}, rate=1e-2, seed=2, log="error: Training diverged: x")
    for name, log in (("new", "$ train\n"), ("wrong", "$ train\nerror: No loss is called x.\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / LOG).write_text(log)
    (tmp_path / ".launcher").mkdir()
    (tmp_path / "lr.csv").write_text("an earlier table")
    return tmp_path


def table(folder, *, metric=None, best=None):
    out = folder / "out.csv"
    collect.run(folder, metric, best, [out])
    return list(csv.DictReader(io.StringIO(out.read_text())))


def test_the_best_point_comes_first_and_unfinished_ones_last(folder):
    rows = table(folder)
    assert [row["point"] for row in rows] == [
        *("p2", "p3", "p0", "p1", "p4"),  # by FCD, 10, 14, 30, 34 and 50
        "other",  # trained, but by another protocol
        *("half", "nan", "wrong", "new"),
    ]
    assert [row["state"] for row in rows[5:]] == [FINISHED, UNFINISHED, FAILED, FAILED, WAITING]
    assert [row["why"] for row in rows[6:]] == [
        "at step 4 of 6", "Training diverged: x", "No loss is called x.", ""
    ]  # fmt: skip
    assert rows[0]["step"] == "6"
    assert float(rows[0]["seconds"]) == pytest.approx((6 - 2) * 8 / 16)


def test_numbers_of_other_protocols_have_columns_of_their_own(folder):
    rows = {row["point"]: row for row in table(folder)}
    first, second = (rows[name] for name in ("p2", "other"))
    assert (first["quality/fcd [1]"], first["quality/fcd [2]"]) == ("10.0", "")
    assert (second["quality/fcd [1]"], second["quality/fcd [2]"]) == ("", "5.0")
    assert "quality/precision" in first and "quality/fcd_deviation" not in first
    by = table(folder, metric="quality/fcd [2]")
    assert by[0]["point"] == "other"


def test_fields_that_change_together_are_one_column_and_one_axis(folder):
    found = ranking.rank("lr", ranking.read(folder), None, None)
    assert found.fields["learning_rate"] == [
        "optim.generator.learning_rate",
        "optim.discriminator.learning_rate",
    ]
    assert set(found.fields) == {"learning_rate", "seed"}
    assert ranking.axes(found) == ["learning_rate"]
    assert ranking.curves(found, "learning_rate") == {
        "all": {1e-4: [30.0, 34.0], 1e-3: [10.0, 14.0], 1e-2: [50.0]}
    }


def test_higher_can_be_better(folder):
    assert table(folder, metric="quality/precision")[0]["point"] == "p4"
    assert table(folder, metric="quality/odd", best="lower")[0]["point"] == "p4"
    assert table(folder, metric="quality/odd", best="higher")[0]["point"] == "p2"
    with pytest.raises(UserError, match="not known whether quality/odd is better lower"):
        table(folder, metric="quality/odd")


@pytest.mark.parametrize(
    "name, metric, out, sentence",
    [
        ("absent", None, "x.csv", "There is no folder"),
        (".launcher", None, "x.csv", "holds no run folders"),
        ("", "quality/fdc", "x.csv", r"no metric 'quality/fdc'; they have quality/fcd \[1\]"),
        ("", None, "x.txt", "must end in .html"),
    ],
)
def test_a_mistake_is_one_sentence(folder, name, metric, out, sentence):
    with pytest.raises(UserError, match=sentence):
        collect.run(folder / name, metric, None, [folder / out])
    assert not (folder / out).exists()


def test_the_page_needs_nothing_else_and_shows_every_point(folder):
    out = folder / "out.html"
    shown = collect.run(folder, None, None, [out])
    page = out.read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    for text in ("10 points: 6 trained, 1 unfinished, 2 failed, 1 not begun.", "p2, 10.00"):
        assert text in page and text in shown
    assert "new: not begun" in page and "nan: failed, Training diverged: x" in page
    assert ">against learning_rate<" in page
    assert "5,000" in page  # of the second protocol


def test_alarms_are_counted_in_short_and_told_on_the_page(folder):
    assert "alarms" not in collect.run(folder, None, None, [])
    line = {"step": 3, "alarm": "same", "sentence": "All alike."}
    for name in ("p3", "half"):
        (folder / name / "alarms.jsonl").write_text(json.dumps(line) + "\n")
    text = collect.run(folder, None, None, [folder / "out.html"])
    assert "With alarms in training: p3, half." in text
    assert "p3, half, from step 3 on: All alike." in (folder / "out.html").read_text()

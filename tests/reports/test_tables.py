"""Runs in groups, and their numbers side by side: by hand, on made-up records."""

import dataclasses
import json

import numpy as np
import pytest

from gans.config import schema
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.reports import groups, markdown, plain, results, tables

PROTOCOL = {"net": "classifier", "weights": "ab" * 32, "num_fake": 24, "averaged": False}


@pytest.fixture
def make_run(tmp_path, config):
    """Makes a run folder with a record, `values` being by step, and fields changed as asked."""

    def make(name, seed, values, *, protocol=None, info=None, **changes):
        changed = config.copy_and_resolve_references()
        changed.update_from_flattened_dict({"seed": seed, **changes})
        info = info or DataInfo(64, (32, 32, 1), tuple("01"))
        folder = tmp_path / name
        folder.mkdir()
        content = {"config.json": schema.to_plain(changed), "data.json": dataclasses.asdict(info)}
        for file, value in content.items():
            (folder / file).write_text(json.dumps(value))
        lines = [
            {"step": step, "evaluator": "quality", "values": found, "seconds": 0.1, "time": 0.0}
            | {"protocol": PROTOCOL | (protocol or {})}
            for step, found in values.items()
        ]
        metrics = [{"step": 2, "time": 0.0, "epoch": 0.1, "d_loss": seed + 1.0, "g/loss": 5.0}]
        for file, rows in {"evaluations.jsonl": lines, "metrics.jsonl": metrics}.items():
            (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return make


WIDE = {"nets.discriminator.hidden_features": (64,)}


def compared(*folders):
    """The tables of runs, their numbers with all digits, and what was left out."""
    content = tables.compare(groups.read(folders))
    return content["tables"], content["left_out"]


def group(table, name):
    [found] = [x for x in table["groups"] if x["name"] == name]
    return found


def steps(table):
    return {x["name"]: x["step"] for x in table["groups"]}


def test_runs_of_one_config_are_a_group_whatever_seed_length_and_place(make_run):
    found = groups.read(
        [
            make_run("wide_s1", 1, {4: {"fcd": 1.0}}, **WIDE),
            make_run("plain_s3", 3, {4: {"fcd": 1.0}}, **{"train.num_steps": 60}),
            make_run("plain_s0", 0, {4: {"fcd": 1.0}}, **{"data.data_dir": "elsewhere"}),
            make_run("wide_s0", 0, {4: {"fcd": 1.0}}, **WIDE),
        ]
    )
    assert [(group.name, group.seeds) for group in found] == [("wide", (0, 1)), ("plain", (0, 3))]
    assert groups.differing([group.runs for group in found]) == {
        "nets.discriminator.hidden_features": ([64], [256])
    }


@pytest.mark.parametrize(
    "names, expected",
    [
        (("a", "b_0"), ["a", "b"]),
        (("a-seed0", "cifar10"), ["a", "cifar10"]),
        (("x/run", "y/run"), ["hidden_features [64]", "hidden_features [256]"]),
    ],
)
def test_groups_are_named_after_folders_or_what_differs(make_run, tmp_path, names, expected):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    first = make_run(names[0], 0, {4: {"fcd": 1.0}}, **WIDE)
    second = make_run(names[1], 0, {4: {"fcd": 1.0}})
    assert [group.name for group in groups.read([first, second])] == expected


def test_means_and_differences_are_those_of_the_last_step_all_were_evaluated_at(make_run):
    [table], left_out = compared(
        make_run("a_s0", 0, {2: {"fcd": 9.0}, 4: {"fcd": 1.0}, 6: {"fcd": 7.0}}),
        make_run("a_s1", 1, {2: {"fcd": 9.0}, 4: {"fcd": 3.0}, 6: {"fcd": 7.0}}),
        make_run("b_s0", 0, {2: {"fcd": 9.0}, 4: {"fcd": 3.0, "class_accuracy": 0.5}}, **WIDE),
        make_run("b_s1", 1, {2: {"fcd": 9.0}, 4: {"fcd": 5.0, "class_accuracy": 0.7}}, **WIDE),
    )
    assert left_out == [] and steps(table) == {"a": 4, "b": 4}
    fcd = dict(group(table, "a")["values"]["fcd"])
    assert fcd.pop("values") == [1.0, 3.0]
    assert fcd == pytest.approx({"mean": 2.0, "deviation": 2**0.5, "count": 2})
    # As in test_stats: a standard error of sqrt(2) with 2 degrees of freedom.
    reach = 4.302653 * 2**0.5
    assert group(table, "b")["differences"] == {
        "fcd": pytest.approx({"value": 2.0, "low": 2 - reach, "high": 2 + reach}, rel=1e-6)
    }
    assert group(table, "a")["differences"] == {}
    assert any("a was also evaluated later, at step 6" in x for x in table["cautions"])


def test_curves_are_means_over_the_runs_of_a_group_and_their_reach(make_run):
    folders = [make_run(f"b_s{i}", i, {4: {"fcd": 3.0 + 2 * i}, 2: {"fcd": 9.0}}) for i in (0, 1)]
    found = results.evaluations({"b": groups.read(folders)[0].runs})
    assert list(results.curves(found)["fcd"].loc["b"].itertuples(name=None)) == [
        (2, 9.0, 9.0, 9.0), (4, 4.0, 3.0, 5.0)
    ]  # fmt: skip


def test_the_table_has_a_row_for_every_number(make_run, tmp_path):
    runs = groups.read([make_run("b", 3, {4: {"fcd": 1.5, "fcd/0": 2.0}})])[0].runs
    found = results.evaluations({"a group": runs})
    assert found.drop(columns="protocol").to_dict("records") == [
        {"run": str(tmp_path / "b"), "group": "a group", "seed": 3, "step": 4}
        | {"evaluator": "quality", "metric": "fcd", "class": label, "value": value}
        | {"versions": (), "cautions": ()}
        for label, value in (("", 1.5), ("0", 2.0))
    ]
    assert {json.loads(key)["num_fake"] for key in found["protocol"]} == {24}


def test_metrics_stand_in_their_order_without_companions(make_run):
    values = {"new": 1.0, "vendi_real": 4.0, "vendi": 3.0, "kcd_deviation": 0.1, "kcd": 0.2}
    values |= {"fcd/0": 1.0, "fcd/1": 2.0, "fcd": 1.5, "cycle_a": 1.0}
    [table], _ = compared(make_run("a", 0, {4: values}))
    assert list(table["metrics"]) == ["fcd", "kcd", "vendi", "cycle_a", "new"]
    assert list(table["metrics"].values()) == ["lower", "lower", "higher", "lower", ""]
    assert table["real"] == {"vendi": 4.0}
    of_class = {"mean": 2.0, "deviation": None, "count": 1}
    assert group(table, "a")["classes"]["1"] == {"fcd": of_class}


def test_numbers_of_different_protocols_share_no_column(make_run):
    [table], left_out = compared(
        make_run("a_s0", 0, {4: {"fcd": 1.0}}),
        make_run("a_s1", 1, {4: {"fcd": 3.0}}),
        make_run("b", 0, {4: {"fcd": 50.0}}, protocol={"num_fake": 48}, **WIDE),
    )
    assert group(table, "a")["values"]["fcd"]["mean"] == 2.0 and group(table, "b")["values"] == {}
    assert left_out == [
        "Left out, as found by another protocol (num_fake 48, not 24): numbers of b."
    ]
    assert "b: without numbers by this protocol." in table["cautions"]


def test_a_protocol_of_all_groups_counts_before_one_of_more_runs(make_run):
    folders = [make_run(f"a_s{i}", i, {4: {"fcd": 1.0 + i}}) for i in range(3)]
    other = {"protocol": {"split": "test"}}
    more = make_run("more", 5, {4: {"fcd": 8.0}}, **other)
    line = (more / "evaluations.jsonl").read_text()
    with (folders[0] / "evaluations.jsonl").open("a") as file:
        file.write(line)
    b = make_run("b", 0, {4: {"fcd": 9.0}}, **other, **WIDE)
    [table], left_out = compared(*folders, b)
    assert [x["values"]["fcd"]["values"] for x in table["groups"]] == [[8.0], [9.0]]
    assert "a_s1, a_s2: without numbers by this protocol." in table["cautions"]
    assert "(split none, not test): numbers of a_s0, a_s1, a_s2." in left_out[0]


def test_each_protocol_that_all_share_has_its_table(make_run):
    folders = [make_run("a", 0, {4: {"fcd": 1.0}}), make_run("b", 0, {4: {"fcd": 2.0}}, **WIDE)]
    line = {"step": 4, "evaluator": "more", "values": {"fid": 3.0, "precision": 0.1}}
    for folder in folders:
        with (folder / "evaluations.jsonl").open("a") as file:
            file.write(json.dumps(line | {"protocol": PROTOCOL | {"net": "inception"}}) + "\n")
    found, left_out = compared(*folders)
    assert [list(table["metrics"]) for table in found] == [["fcd"], ["fid", "precision"]]
    assert left_out == []


def test_an_average_is_compared_with_the_parameters_of_a_run_that_keeps_none(make_run):
    average = {"optim.generator.ema_decay": 0.9}
    plain = make_run("plain", 0, {4: {"fcd": 1.0}})
    kept = make_run("kept", 0, {4: {"fcd": 2.0}}, protocol={"averaged": True}, **average)
    [table], left_out = compared(plain, kept)
    assert left_out == [] and group(table, "kept")["differences"]["fcd"]["value"] == 1.0
    assert any("Only kept samples with averaged parameters" in x for x in table["cautions"])
    unused = make_run("unused", 1, {4: {"fcd": 2.0}}, **average)
    [table], left_out = compared(plain, unused)
    assert "averaged False, not True" in left_out[0] and group(table, "unused")["values"] == {}


def test_groups_without_a_common_step_have_each_its_own_and_it_is_said(make_run):
    [table], _ = compared(
        make_run("a", 0, {4: {"fcd": 1.0}}), make_run("b", 0, {6: {"fcd": 2.0}}, **WIDE)
    )
    assert steps(table) == {"a": 4, "b": 6}
    assert any("share no evaluated step: a at 4, b at 6" in x for x in table["cautions"])


def test_other_versions_make_no_other_protocol_but_a_caution(make_run):
    [table], left_out = compared(
        make_run("a", 0, {4: {"fcd": 1.0}}, protocol={"versions": {"jax": "1"}, "device": "cpu"}),
        make_run("b", 0, {4: {"fcd": 2.0}}, protocol={"versions": {"jax": "2"}}, **WIDE),
    )
    assert left_out == [] and set(table["versions"]) == {"jax 1", "jax 2", "on cpu"}
    assert any("same versions" in x for x in table["cautions"])


def test_losses_are_the_curves_of_what_has_a_plain_name(make_run):
    folders = [make_run(f"a_s{seed}", seed, {4: {"x": 1.0}}) for seed in (0, 1)]
    curves = results.curves(results.training({"a": groups.read(folders)[0].runs}))
    assert list(curves) == ["d_loss"]
    assert list(curves["d_loss"].itertuples(name=None)) == [(("a", 2), 1.5, 1.0, 2.0)]


@pytest.mark.parametrize(
    "second, sentence",
    [
        ({"seed": 0}, "same config and the same seed 0"),
        ({"seed": 1, "data.name": "folder"}, "different data .data set digits there, folder here"),
        ({"seed": 1, "info": DataInfo(64, (64, 64, 1))}, "different data .shape"),
        ({"seed": 1, "info": DataInfo(65, (32, 32, 1))}, "different data .images 64 there, 65"),
        ({"seed": 1, "values": {}}, "no evaluations to compare; make one by python -m experim"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(make_run, second, sentence):
    first = make_run("a", 0, {4: {"fcd": 1.0}})
    with pytest.raises(UserError, match=sentence):
        groups.read([first, make_run("b", **({"values": {4: {"fcd": 1.0}}} | second))])


def test_a_run_given_twice_counts_once_and_other_folders_are_none(make_run, tmp_path):
    folder = make_run("a", 0, {4: {"fcd": 1.0}})
    assert groups.read([folder, folder / ".." / "a"])[0].seeds == (0,)
    with pytest.raises(UserError, match="There is no run in"):
        groups.read([folder, tmp_path])
    (folder / "evaluations.jsonl").write_text("{not json}\n")
    with pytest.raises(UserError, match="has no evaluations to compare"):
        groups.read([folder])


def test_numbers_are_written_with_the_digits_that_mean_something():
    def mean(value, deviation):
        return markdown.mean({"mean": value, "deviation": deviation, "count": 2})

    assert mean(12.3456, 0.4123) == ("12.35", "±\u00a00.41")
    assert mean(1234.5, 123.4) == ("1,234", "±\u00a0123")
    assert mean(0.00012345, None) == ("0.0001234", "")
    assert mean(0.1, 1.7e-17) == ("0.1000", "±\u00a00")
    assert mean(None, None) == ("–", "")
    exact = {"value": -1.5, "low": -1.75, "high": -1.25}
    assert markdown.change(exact) == ("−1.50", "[−1.75, −1.25]")
    assert (
        markdown.change({"value": 2.0, "low": None, "high": None})[1] == "(one seed: no interval)"
    )


def test_plain_data_survives_json_and_gives_the_same_table(make_run):
    values = {"fcd": np.nan, "recall": 0.25, "class_accuracy": 0.75, "class_accuracy/0": 0.75}
    folders = (
        make_run("a_s0", 0, {4: {"fcd": 1.0, "recall": 0.125}}),
        make_run("b_s0", 0, {4: values | {"class_accuracy_real": 0.9}}, **WIDE),
    )
    content = tables.rounded(tables.compare(groups.read(folders)))
    again = json.loads(json.dumps(content, allow_nan=False))
    assert markdown.comparison(again) == markdown.comparison(content)
    lines = markdown.comparison(content).splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["a (n = 1)", "1.000", "0.1250", "–"]
    assert len({len(line) for line in lines[:6]}) == 1
    assert "its weights: abababababab…" in lines[7]
    assert "finds the class asked for in 75.0% of the samples (of real images: 90.0%" in str(
        markdown.in_short(content["tables"][0])
    )
    rows = tables.as_csv(content).splitlines()
    assert rows[1] == "1,a,0,4,fcd,lower,1.0,,1,,,,1.0"
    assert rows[3] == "1,b,0,4,recall,higher,0.25,,1,0.125,,,0.25"


def test_what_is_better_is_said_only_where_the_interval_leaves_out_zero(make_run):
    def seeds(name, fcd, recall, **changes):
        return [
            make_run(f"{name}_s{i}", i, {4: {"fcd": x, "recall": y}}, **changes)
            for i, (x, y) in enumerate(zip(fcd, recall, strict=True))
        ]

    a = seeds("a", [10.0, 10.1, 9.9], [0.1, 0.5, 0.9])
    b = seeds("b", [5.0, 5.1, 4.9], [0.2, 0.5, 0.8], **WIDE)
    [table], _ = compared(*a, *b)
    assert markdown.in_short(table) == ["b against a: better in fcd; not told apart in recall."]
    [table], _ = compared(*b, *a)
    assert "worse in fcd" in markdown.in_short(table)[0]
    [table], _ = compared(a[0], b[0])
    assert "without two seeds" in markdown.in_short(table)[0]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"tables": [{}], "left_out": []}', '{"tables": 1}', "NaN"]
)
def test_a_json_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json.* one that experiments\.compare wrote"):
        plain.read(tmp_path / "a.json")


def test_alarms_of_runs_are_said_beside_them_and_those_alike_once(make_run):
    folders = [make_run(name, i, {4: {"fcd": 1.0}}) for i, name in enumerate(("a_0", "a_1", "a_2"))]
    alike = {"step": 0, "alarm": "data/black", "sentence": "All black."}
    own = [
        {"step": 2, "alarm": "same", "sentence": "All alike."},
        {"step": 4, "alarm": "same", "sentence": ""},
    ]
    for folder, rows in zip(folders[:2], ([alike], [alike, *own]), strict=True):
        (folder / "alarms.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = tables.compare(groups.read(folders))
    assert content["alarms"] == [
        "a_0, a_1, from step 0 on: All black.",
        "a_1, from step 2 to 4: All alike.",
    ]
    text = markdown.comparison(content)
    assert text.endswith("Alarms in training:\n" + "".join(f"- {x}\n" for x in content["alarms"]))
    earlier = {name: value for name, value in content.items() if name != "alarms"}
    for silent in (earlier, content | {"alarms": []}):
        assert "Alarms" not in markdown.comparison(silent)

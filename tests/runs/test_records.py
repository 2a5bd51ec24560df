"""The lines of a run's record: numbers are kept, what is none is not."""

import json

import pytest

from gans.runs import evaluation_record, records


def write(path, *lines):
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))


@pytest.mark.parametrize(
    "value", [None, "1", True, [1], {}, float("nan"), float("inf"), 10**400, 1e60, -1e60]
)
def test_what_is_no_number_is_left_out(tmp_path, value):
    write(tmp_path / records.METRICS, {"step": 2, "time": 1.5, "d_loss": value, "g/loss": 3})
    assert records.metrics(tmp_path) == [{"step": 2, "time": 1.5, "g/loss": 3}]
    line = {"step": 2, "evaluator": "q", "values": {"fcd": value, "kcd": 1.0}, "protocol": {}}
    write(tmp_path / evaluation_record.FILE, line)
    assert [x["values"] for x in evaluation_record.read(tmp_path)] == [{"kcd": 1.0}]


GOOD = {"step": 2, "evaluator": "q", "values": {"fcd": 1.0}, "protocol": {"net": "x"}}


@pytest.mark.parametrize(
    "change",
    [
        *({"step": x} for x in (None, "2", True, 2.5, -1, 10**18, [])),
        *({"evaluator": x} for x in (None, 3, [])),
        *({"values": x} for x in (None, 3, [], "x")),
        *({"protocol": x} for x in (None, 3, [], "x", {"versions": []}, {"cautions": "x"})),
        *({"protocol": {"versions": {"jax": 1}}}, {"protocol": {"device": 3}}),
    ],
)
def test_an_evaluation_of_another_shape_is_passed_over(tmp_path, capsys, change):
    write(tmp_path / evaluation_record.FILE, GOOD | change, GOOD | {"step": 4, "later": [1]})
    assert [x["step"] for x in evaluation_record.read(tmp_path)] == [4]
    assert "evaluations.jsonl: 1 line is damaged" in capsys.readouterr().err


def test_good_lines_up_to_a_step_stay_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"step": 1,  "x": NaN}\n{"steps": 1}\n[]\n{"step": 3}\n{"step": 2}\n{"step": 1'
    )
    assert records.up_to(path, 2) == [b'{"step": 1,  "x": NaN}\n', b'{"step": 2}\n']
    assert records.up_to(tmp_path / "none", 2) == []

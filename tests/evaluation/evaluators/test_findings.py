"""What is left out of an evaluator's numbers, and that it is said."""

import json

import pytest
from ml_collections import ConfigDict

from gans.config import build
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.evaluation import runner
from gans.evaluation.evaluators.findings import Findings, Missing, Suspect
from gans.runs import best, evaluation_record


def test_what_is_no_number_is_left_out_and_said():
    findings = Findings(["Few images."])
    findings.take({"fine": 1, "far": float("inf"), "odd": float("nan"), "none": Missing("why.")})
    assert findings.numbers == {"fine": 1.0}
    assert findings.left_out == ["far", "odd", "none"]
    assert findings.cautions == [
        "Few images.",
        "far is left out: it is infinite.",
        "odd is left out: it is not a number.",
        "none is left out: why.",
    ]


def test_a_function_that_cannot_answer_is_left_out_and_the_others_are_asked():
    def fails(x):
        raise ValueError(f"{x} is too little.")

    findings = Findings()
    findings.ask("a.fails", fails, 1)
    findings.ask("a.doubles", lambda x: {"twice": 2 * x}, 1)
    assert findings.numbers == {"twice": 2.0}
    assert findings.notes == {
        "cautions": ["a.fails is left out: 1 is too little."],
        "left_out": ["a.fails"],
    }


def test_a_number_that_tells_of_something_wrong_is_taken_and_said_once():
    findings = Findings()
    for name in ("one", "other"):
        findings.take({name: Suspect(0.5, "Half of it.")})
    assert findings.numbers == {"one": 0.5, "other": 0.5} and findings.left_out == []
    assert findings.cautions == ["Half of it."]
    assert all(type(value) is float for value in findings.numbers.values())


def test_what_left_nothing_out_notes_no_more_than_cautions():
    assert Findings(["Few."]).notes == {"cautions": ["Few."]}


def lines(evaluator):
    """The record of an evaluator that returns, or raises, what it is given."""
    experiment = build.Experiment(ConfigDict({"evaluators": {}}), None, {})
    judge = runner.EvaluationRunner(experiment, DataInfo(1, (8, 8, 3)), None)
    judge._evaluators = {"quality": evaluator}
    return judge.run({}, 7)


def raises(subject):
    raise ValueError("there are no images.")


def test_no_evaluator_ends_a_training_or_writes_what_is_no_json():
    (line,) = lines(lambda subject: ({"fcd": 2.0, "ratio": float("inf")}, {"num": 3}))
    assert line["values"] == {"fcd": 2.0}
    assert line["protocol"]["cautions"] == ["ratio is left out: it is infinite."]
    json.dumps(line, allow_nan=False)
    assert evaluation_record.in_words(line) == "step 7, quality: fcd 2, without ratio (0 s)"
    (line,) = lines(raises)
    assert line["values"] == {}
    assert line["protocol"]["cautions"] == ["quality is left out: there are no images."]


def test_what_is_left_out_makes_no_other_protocol():
    one, other = (
        lines(lambda subject, x=x: ({"ratio": x}, {"num": 3}))[0]["protocol"]
        for x in (1.0, float("nan"))
    )
    assert evaluation_record.essential(one) == evaluation_record.essential(other)


class NoCheckpoints:
    saved = ()

    def position(self):
        return None

    def save(self, step, *args):
        self.saved += (step,)

    def wait(self):
        pass


def test_a_best_value_that_images_did_not_allow_is_waited_for():
    checkpoints = NoCheckpoints()
    kept = best.Best(checkpoints, "quality/ratio", False)
    for found in ({"ratio": float("inf")}, {"ratio": 3.0}):
        kept.offer(lines(lambda subject, found=found: (found, {})), None, {})
    kept.offer(lines(raises), None, {})
    assert checkpoints.saved == (7,)
    # One that this evaluator never has is a mistake, whatever else was left out.
    wrong = lines(lambda subject: ({"fcd": 1.0, "ratio": float("nan")}, {}))
    with pytest.raises(UserError, match="asks for 'fdc'"):
        best.Best(checkpoints, "quality/fdc", False).offer(wrong, None, {})

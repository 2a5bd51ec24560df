"""Alarms as a run folder keeps them: from their beginning to their end."""

import json

from gans.runs import alarm_record
from gans.runs.alarm_record import Alarm


def write(folder, *lines):
    text = "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)
    (folder / alarm_record.FILE).write_text(text)


def line(step, name, sentence=""):
    return {"step": step, "time": 1.0, "alarm": name, "sentence": sentence}


def test_alarms_last_until_they_end_and_may_come_again(tmp_path):
    write(
        tmp_path,
        line(1000, "same", "All alike."),
        line(1200, "right", "Right."),
        line(1500, "same"),
        line(2000, "same", "Alike again."),
        line(2500, "right"),
    )
    assert alarm_record.read(tmp_path) == [
        Alarm("same", "All alike.", 1000, 1500),
        Alarm("right", "Right.", 1200, 2500),
        Alarm("same", "Alike again.", 2000, None),
    ]
    assert [alarm_record.in_words(x) for x in alarm_record.read(tmp_path)[::2]] == [
        "from step 1,000 to 1,500: All alike.",
        "from step 2,000 on: Alike again.",
    ]


def test_what_is_no_line_of_it_is_passed_over(tmp_path, capsys):
    strange = [{"step": 1, "alarm": "same"}, {"step": -1, "alarm": "same", "sentence": "x"}, "["]
    write(tmp_path, line(5, "never begun"), *strange, line(7, "same", "x"), line(8, "same", "y"))
    assert alarm_record.read(tmp_path) == [Alarm("same", "x", 7, None)]
    assert "3 lines are damaged" in capsys.readouterr().err
    assert alarm_record.read(tmp_path / "elsewhere") == []

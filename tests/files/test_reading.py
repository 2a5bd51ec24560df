"""Files that are not what they should be: each is a sentence that names it, and none waits."""

import os
from typing import Any

import pytest
from typing_extensions import TypedDict

from gans.data.source import DataInfo
from gans.errors import UserError
from gans.files import reading


class Line(TypedDict):
    step: int


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content, why",
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("{}x", "not valid JSON"),
        (b'"\xe9"', "not valid JSON"),
        ('"\\ud800"', "not valid JSON"),
        ("{}".encode("utf-16"), "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("9" * 5000, "not valid JSON"),
        (b"\0" * 100, "not valid JSON"),
        ("NaN", "it is not a finite number"),
        ('{"a": [0, {"b": 1e999}]}', r"a\.1\.b is not a finite number"),
        ('{"a": -Infinity}', "a is not a finite number"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, content, why):
    with pytest.raises(UserError, match=rf"a\.json.*{why}"):
        reading.read_json(write(tmp_path / "a.json", content))


@pytest.mark.parametrize(
    "content, why",
    [
        ("[]", r"it is \[\]: it should be an object"),
        ("null", "it is None: it should be an object"),
        ("{}", r"size is missing \(1 more are wrong\)"),
        ('{"size": "3", "image_shape": [1, 2, 3]}', "size is '3': it should be a valid integer"),
        ('{"size": true, "image_shape": [1, 2, 3]}', "size is True"),
        ('{"size": 3, "image_shape": [1, 2]}', r"image_shape\.2 is missing"),
        ('{"size": 3, "image_shape": [1, 2, 3.5]}', r"image_shape\.2 is 3\.5"),
        ('{"size": 3, "image_shape": [1, 2, 3], "classes": "abc"}', "classes is 'abc'"),
        ('{"size": 3, "image_shape": [1, 2, 3], "classes": [1]}', r"classes\.0 is 1"),
    ],
)
def test_json_of_another_shape_is_refused_by_the_field(tmp_path, content, why):
    with pytest.raises(UserError, match=rf"a\.json: {why}"):
        reading.read_json(write(tmp_path / "a.json", content), DataInfo)


def test_json_becomes_what_the_type_says(tmp_path):
    text = '{"size": 3, "image_shape": [1, 2, 3], "classes": ["a"], "later": {"x": 1}}'
    path = write(tmp_path / "a.json", b"\xef\xbb\xbf" + text.encode())  # as an editor may leave it
    assert reading.read_json(path, DataInfo) == DataInfo(3, (1, 2, 3), ("a",))
    assert reading.read_json(path)["later"] == {"x": 1}


def pipe(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def device(path):
    path.symlink_to("/dev/zero")


def nowhere(path):
    path.symlink_to(path.with_name("nowhere"))


def itself(path):
    path.symlink_to(path)


def huge(path):
    path.touch()
    os.truncate(path, 2**40)  # a hole, which takes no room


@pytest.mark.parametrize(
    "make, why",
    [
        (pipe, "it is a pipe"),
        (folder, "it is a folder"),
        (device, "it is a device"),
        (nowhere, "No such file"),
        (itself, "symbolic links"),
        (huge, "bytes, and a file of its kind at most"),
    ],
)
def test_what_is_no_file_of_the_kind_is_neither_waited_for_nor_read(tmp_path, make, why):
    path = tmp_path / "a.json"
    make(path)
    with pytest.raises(UserError, match=rf"Cannot read .*a\.json: .*{why}"):
        reading.read_json(path)
    with pytest.raises(UserError, match=rf"Cannot read .*a\.json: .*{why}"):
        list(reading.read_lines(path, Line))


@pytest.mark.parametrize(
    "bad", ["", "{", "[]", "null", "3", "{}", '{"step": "4"}', '{"step": NaN}', "\0", '"\\ud800"']
)
def test_a_damaged_line_is_passed_over_and_said(tmp_path, capsys, bad):
    path = write(tmp_path / "a.jsonl", f'{{"step": 1}}\n{bad}\n{{"step": 3}}\n')
    found = list(reading.read_lines(path, Line))
    assert found == [(b'{"step": 1}\n', {"step": 1}), (b'{"step": 3}\n', {"step": 3})]
    assert "a.jsonl: 1 line is damaged and passed over (line 2: " in capsys.readouterr().err


def test_a_line_without_its_end_is_passed_over_in_silence(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", '{"step": 1}\n{"step": 2}')
    assert [line for _, line in reading.read_lines(path, Line)] == [{"step": 1}]
    assert list(reading.read_lines(tmp_path / "none", Line)) == []
    assert capsys.readouterr().err == ""


def test_a_line_that_is_too_long_hides_none_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_LONGEST", 16)
    path = write(tmp_path / "a.jsonl", "x" * 99 + '\n{"step": 3}\n')
    assert [line for _, line in reading.read_lines(path, Line)] == [{"step": 3}]


@pytest.mark.parametrize(
    "value, kind, is_right",
    [
        ((1, 2), tuple[int, ...], True),
        (3, float, True),
        (True, int, False),
        (3.0, int, False),
        ("ab", tuple[str, ...], False),
        (None, str | None, True),
        ([1], Any, True),
    ],
)
def test_a_value_is_checked_against_a_type(value, kind, is_right):
    if is_right:
        reading.check(value, kind, "nets.generator.features")
    else:
        with pytest.raises(UserError, match=r"nets\.generator\.features.* is "):
            reading.check(value, kind, "nets.generator.features")

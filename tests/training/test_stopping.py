"""Signals: the first saves, a second one changes nothing, and the third ends the program."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from gans import parallel
from gans.training import stopping

# Sends itself what it is told to, and ends well if none of it ends it.
CODE = """
import signal, sys
from gans.training import stopping
# Whoever runs the tests may have said nohup, too.
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[1] == "nohup" else signal.SIG_DFL)
with stopping.received("Stopping.") as numbers:
    for name in sys.argv[2:]:
        signal.raise_signal(signal.Signals[name])
print([signal.Signals(number).name for number in numbers])
"""


@pytest.fixture(autouse=True)
def _calm():
    """A second signal that is not expected fails the test and does not end pytest."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup would have ignored
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def outcome(*names, nohup=False):
    how = "nohup" if nohup else "by hand"
    ended = subprocess.run(
        [sys.executable, "-c", CODE, how, *names], capture_output=True, text=True
    )
    return ended.returncode, ended.stdout.strip(), ended.stderr.strip()


def test_two_signals_of_any_kind_leave_time_to_save():
    status, out, err = outcome("SIGTERM", "SIGHUP")
    assert (status, out, err) == (0, "['SIGTERM', 'SIGHUP']", "Stopping.")


def test_a_third_signal_ends_the_program():
    assert outcome("SIGTERM", "SIGTERM", "SIGTERM")[0] == -signal.SIGTERM


def test_a_second_control_c_ends_the_program_and_a_signal_after_the_first_does_not():
    assert outcome("SIGINT", "SIGINT")[0] == -signal.SIGINT
    assert outcome("SIGINT", "SIGTERM")[1] == "['SIGINT', 'SIGTERM']"


def test_a_terminal_that_is_closed_does_not_stop_what_nohup_started():
    assert outcome("SIGHUP", nohup=True)[1] == "[]"


def test_a_signal_without_anywhere_to_say_so_is_heard(monkeypatch):
    def gone(number, content):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", gone)
    with stopping.received("Stopping.") as numbers:
        signal.raise_signal(signal.SIGHUP)
    assert numbers == [signal.SIGHUP]


def test_handlers_are_those_of_before_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with stopping.received("Stopping."):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_what_is_abandoned_ends_where_it_is_and_nothing_else_does():
    ended = []
    with stopping.watched(parallel.make_mesh(1)) as watch:
        assert not watch.is_urgent() and watch.asked() == 0
        with contextlib.suppress(stopping.Abandoned), watch.abandoning():
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0)  # where Python looks for signals at the latest
            ended.append("the work")
        signal.raise_signal(signal.SIGTERM)
        ended.append("the save")
        with pytest.raises(stopping.Abandoned), watch.abandoning():
            ended.append("work begun after the signal")
        assert watch.is_urgent() and watch.asked() == signal.SIGTERM
    assert ended == ["the save"]

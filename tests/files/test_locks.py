"""Locks: on disks that have none, in place of links, and between processes."""

import errno
import fcntl
import os

import pytest

from gans.errors import UserError
from gans.files import locks


def refuse():
    raise UserError("held")


def test_a_lock_that_is_held_is_asked_about(tmp_path):
    # flock is of an open file, so that a second one stands for another process.
    first, second = (locks.locked(tmp_path / ".lock", refuse) for _ in range(2))
    with first, pytest.raises(UserError, match="held"), second:
        pass
    with locks.locked(tmp_path / ".lock", refuse):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_disk_without_locks_is_gone_on_with_and_said(tmp_path, monkeypatch, capsys, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.locked(tmp_path / ".lock", refuse):
        pass
    [line] = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line and os.strerror(number) in line


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
def test_held_is_what_a_disk_may_say_in_three_ways(tmp_path, monkeypatch, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match="held"), locks.locked(tmp_path / ".lock", refuse):
        pass


def test_a_lock_that_is_waited_for_is_taken_then(tmp_path, monkeypatch):
    asked = []

    def flock(file, operation):
        asked.append(operation)
        if operation & fcntl.LOCK_NB:
            raise BlockingIOError(errno.EWOULDBLOCK, "held")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.locked(tmp_path / ".lock", lambda: asked.append("told")):
        pass
    assert asked == [fcntl.LOCK_EX | fcntl.LOCK_NB, "told", fcntl.LOCK_EX]


def test_a_link_is_neither_followed_nor_emptied(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("all my work")
    (tmp_path / ".lock").symlink_to(precious)
    with pytest.raises(UserError, match="is a link"), locks.locked(tmp_path / ".lock", refuse):
        pass
    assert precious.read_text() == "all my work"


def test_a_file_of_that_name_keeps_what_it_holds(tmp_path):
    (tmp_path / ".lock").write_text("mine")
    with locks.locked(tmp_path / ".lock", refuse):
        pass
    assert (tmp_path / ".lock").read_text() == "mine"

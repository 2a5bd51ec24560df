"""Paths: as users give them, to a command, a config or a function, and as messages show them."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path

from gans.errors import UserError

_KINDS = {
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path, with `~` or `~name` at its beginning as the home folder that it stands for.

    A shell does this only where a word begins, so not in `--workdir=~/runs`. A file whose name
    begins with a tilde is left as it is if there is no user of that name.

    Raises:
      UserError: there is neither such a user nor such a file, or the path holds a null character.
    """
    text, path = os.fspath(path), Path(path)
    if "\0" in text:
        raise UserError(f"The path {readable(path)} holds a null character; give another.")
    if not text.startswith("~"):
        # Of ./~ a Path would leave the tilde alone, which the next to expand it would take for one.
        return path.absolute() if str(path).startswith("~") else path
    try:
        return path.expanduser()
    except RuntimeError:
        if os.path.lexists(path):
            return path
        raise UserError(
            f"{readable(path)} begins with the home folder of {path.parts[0][1:] or 'its user'}, "
            "which is not known: give the whole path, or write ./~ for a name with a tilde."
        ) from None


def other_than_file(mode: int) -> str | None:
    """What a path leads to, by its `st_mode`: "a pipe", say; None if to a regular file."""
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


def readable(path: str | os.PathLike[str]) -> str:
    """The path in text that can be printed anywhere, on one line.

    Bytes that are no UTF-8, line breaks and other control characters become backslash escapes.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Zl", "Zp") or kind.startswith("C"):  # separators of lines, controls, surrogates
        return character.encode("unicode_escape").decode()
    return character

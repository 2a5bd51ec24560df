"""Files read back as what they should be, and a sentence where they are not.

A file may be of an earlier version, cut by a kill, edited by hand, or no file at all: opening a
FIFO must not wait for ever, and a wrong name must not fill the memory. What JSON should hold, a
type says - a dataclass, a TypedDict, a pydantic model, `dict[str, str]` - and pydantic compares.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import reprlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import pydantic

from gans.errors import UserError
from gans.files import paths

T = TypeVar("T")

LARGEST = 1e50
"""Of a number that means something, without its sign: float32 ends at 3e38, and the fourth power
of this is finite."""

Number = Annotated[float, pydantic.Field(ge=-LARGEST, le=LARGEST)]

_MOST = 2**26  # bytes of a JSON file
_MOST_OF_LINES = 2**30  # and of one that is read line by line
_LONGEST = 2**24  # bytes of a line
_MARK = b"\xef\xbb\xbf"  # with which editors of Windows begin files


@contextlib.contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """A regular file to read, of at most so many bytes.

    Raises:
      OSError: it cannot be read, is none, or is larger.
    """
    # Without O_NONBLOCK, a FIFO is waited for until somebody writes to it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        about = os.fstat(handle)
        why = ""
        if kind := paths.other_than_file(about.st_mode):
            why = f"it is {kind}, not a file"
        elif most is not None and about.st_size > most:
            why = f"it has {about.st_size:,} bytes, and a file of its kind at most {most:,}"
        if why:
            raise OSError(errno.EINVAL, why, str(path))
    except BaseException:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        yield file


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def read_json(path: Path, kind: type[T] = Any) -> T:
    """What a JSON file holds, as a type.

    Lists become tuples where the type says so; fields that a dataclass does not have are left out.

    Raises:
      UserError: it cannot be read, is not JSON in UTF-8, has a number that is not finite, or is not
        of that type; the field is named.
    """
    with _in_words(path), opened(path, _MOST) as file:
        text = file.read(_MOST).removeprefix(_MARK)
    try:
        where = _not_finite(_adapter(Any).validate_json(text))
        if where is not None:
            raise UserError(f"{path}: {where or 'it'} is not a finite number.")
        return _adapter(kind).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise UserError(f"{path} is not valid JSON ({_cause(error)}).") from None
        raise UserError(f"{path}: {_why(error)}.") from None


def read_lines(path: Path, kind: type[T]) -> Iterator[tuple[bytes, T]]:
    """The lines of a file that has a JSON value of one type on each, as they are and as values.

    What is wrong is passed over, with a caution on stderr at the end; a last line that is not
    complete, without: a kill cuts it, or it is just being written. No file has no lines.

    Raises:
      UserError: the file is there and cannot be read.
    """
    if not os.path.lexists(path):
        return
    wrong: dict[int, str] = {}
    with _in_words(path), opened(path, _MOST_OF_LINES) as file:
        for number, line in enumerate(_lines(file), 1):
            try:
                yield line, _adapter(kind).validate_json(line, strict=True)
            except pydantic.ValidationError as error:
                wrong[number] = _why(error)
    if wrong:
        first, why = next(iter(wrong.items()))
        lines = f"{len(wrong)} lines are" if len(wrong) > 1 else "1 line is"
        print(f"{path}: {lines} damaged and passed over (line {first}: {why}).", file=sys.stderr)


def check(value: Any, kind: Any, name: str) -> None:
    """Raises UserError, which calls the value by a name, if it is not of a type."""
    try:
        _adapter(kind).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        raise UserError(f"{_why(error, name)}.") from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The complete lines, of those that are too long the beginning."""
    while line := file.readline(_LONGEST):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST)
        if rest:
            yield line


@functools.cache
def _adapter(kind: Any) -> pydantic.TypeAdapter:
    try:
        return pydantic.TypeAdapter(kind, config={"arbitrary_types_allowed": True})
    except pydantic.PydanticUserError:  # such as dataclasses, which have a config of their own
        return pydantic.TypeAdapter(kind)


def _not_finite(value: Any, name: str = "") -> str | None:
    """Where in a JSON value a number is infinite or none, None if nowhere."""
    if isinstance(value, float):
        return None if math.isfinite(value) else name
    if isinstance(value, Mapping):
        items = value.items()
    else:
        items = enumerate(value) if isinstance(value, list) else ()
    found = (_not_finite(item, f"{name}.{key}" if name else str(key)) for key, item in items)
    return next((x for x in found if x is not None), None)


def _cause(error: pydantic.ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Invalid JSON: ")


def _why(error: pydantic.ValidationError, name: str = "") -> str:
    """The first thing that is wrong, and how many more are."""
    first, *more = error.errors()
    if first["type"] == "json_invalid":
        return f"it is not valid JSON ({_cause(error)})"
    place = ".".join([*filter(None, [name]), *map(str, first["loc"])]) or "it"
    also = f" ({len(more)} more are wrong)" if more else ""
    if first["type"] == "missing":
        return f"{place} is missing{also}"
    should = first["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return f"{place} is {reprlib.repr(first['input'])}: {should}{also}"

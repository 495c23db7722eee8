"""Checks of plain values that come from outside: texts, JSON, paths; and how a message shows what came."""

from __future__ import annotations

import json
import operator
import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossfade.errors import InvalidInput

# Python's own JSON reader stops at a depth that depends on who calls it: what one place writes another could not read.
MOST_LEVELS = 100


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python writes out no number of more than 4,300 digits
            return f"a number of {x.bit_length():,} bits"


# What a message says of a value: never more than a line, whatever the value is.
shown = _Shown().repr


def check_text(text: object, name: str) -> None:
    """Refuses what is no string, or can't be written as UTF-8."""
    if not isinstance(text, str):
        raise InvalidInput(f"{name} must be a string, got {type(text).__name__}")
    try:
        if not text.isascii():  # which is known, while a copy of a large text takes time
            text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name} must be valid Unicode, but has a lone surrogate at character {error.start}; "
            "decode its source with errors='replace'"
        ) from error


def one_of(value: object, name: str, known: Sequence[str]) -> None:
    """Refuses what is none of some names."""
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(f"{name} must be one of {', '.join(known)}, got {shown(value)}")


def items_of(values: Any, wanted: str) -> Iterator[Any]:
    """The items one after the other, or InvalidInput, which says what is wanted."""
    try:
        return iter(values)
    except TypeError as error:
        raise InvalidInput(f"{wanted}, got {shown(values)}") from error


def count_of(value: Any, name: str, most: int) -> int:
    """The value as an int between 1 and `most`."""
    try:
        count = operator.index(value)
    except TypeError as error:
        raise InvalidInput(f"{name} must be a whole number, got {shown(value)}") from error
    if isinstance(value, bool) or not 1 <= count <= most:
        raise InvalidInput(f"{name} must be between 1 and {most}, got {shown(value)}")
    return count


def parse_json(content: bytes | str) -> Any:
    """What is written; ValueError where that is no JSON, or nested so deeply that it can't be read."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def json_copy(value: object, name: str) -> Any:
    """A copy as JSON would give it back: names of fields are strings, tuples are lists."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
        copy = json.loads(text)
        levels = _levels(copy) if text.count("[") + text.count("{") > MOST_LEVELS else 0
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} must hold JSON values only: {error}") from error
    if levels > MOST_LEVELS:
        raise InvalidInput(f"{name} must hold JSON values only, at most {MOST_LEVELS} inside each other, got {levels}")
    return copy


def checked_folder(path: object, of: str = "a collection") -> Path:
    """The absolute path of a folder, which need not exist.

    Raises:
        InvalidInput: It can't be a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidInput(f"{of}'s path must be a string or a Path, got {shown(path)}")
    try:
        folder = Path(path).absolute()
        folder.exists()  # raises for a name that is too long, but not for NUL
        str(folder).encode()  # SQLite takes no other names
        if "\0" in str(folder):
            raise ValueError("it holds NUL")
    except (TypeError, ValueError, OSError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else error  # which would name the path again
        raise InvalidInput(f"{shown(path)} can't be the path of {of}: {reason}") from error
    return folder


def _levels(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, inner), default=0)

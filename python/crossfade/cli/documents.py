"""Documents from files: JSON lines and CSV, read line by line, each error naming its line."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from crossfade._values import parse_json
from crossfade.document import Document
from crossfade.errors import InvalidInput

STDIN = "-"
ID_FIELDS = ("id", "_id")
LARGEST_CSV_FIELD = 2**31 - 1  # the csv module's own limit, 131,072 characters, is less than a long document

Numbered = Iterator[tuple[int, dict[str, Any]]]


def read(source: str, form: str | None = None) -> Iterator[Document]:
    """Read documents one by one.

    Every object or row needs `id` (or `_id`) and `text`; `title` is optional; other fields become metadata.

    Args:
        source: Path of a file, or "-" for stdin.
        form: "jsonl" or "csv"; by the file's ending where it isn't given, JSON lines where that says nothing.

    Raises:
        InvalidInput: The file can't be read, or a line holds no document; the message names the line.
    """
    if form is None:
        form = "csv" if Path(source).suffix.lower() == ".csv" else "jsonl"
    if form not in _FORMS:
        raise InvalidInput(f"the format must be one of {', '.join(_FORMS)}, got {form!r}")
    name = "stdin" if source == STDIN else source
    for number, fields in _FORMS[form](_lines(source, name), name):
        yield _document(fields, f"{name}, line {number}")


def is_file(source: str) -> bool:
    """Whether a source is a file, which can be read again, and no pipe."""
    with contextlib.suppress(OSError):  # a name that is too long: reading it says so
        return source != STDIN and Path(source).is_file()
    return False


def _lines(source: str, name: str) -> Iterator[str]:
    try:
        with sys.stdin.buffer if source == STDIN else Path(source).open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InvalidInput(f"{name}, line {number}: must be UTF-8: {error}") from error
    except OSError as error:
        raise InvalidInput(f"{name} can't be read: {error.strerror or error}") from error


def _json_lines(lines: Iterable[str], name: str) -> Numbered:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = parse_json(line)
        except ValueError as error:
            raise InvalidInput(f"{name}, line {number}: must be one JSON object: {error}") from error
        if not isinstance(fields, dict):
            raise InvalidInput(f"{name}, line {number}: must be one JSON object, got {type(fields).__name__}")
        yield number, fields


def _csv(lines: Iterable[str], name: str) -> Numbered:
    csv.field_size_limit(LARGEST_CSV_FIELD)
    rows = csv.DictReader(lines, strict=True)
    try:
        for row in rows:
            if None in row:
                raise InvalidInput(f"{name}, line {rows.line_num}: has more fields than the header")
            yield rows.line_num, {field: value for field, value in row.items() if value not in ("", None)}
    except csv.Error as error:
        raise InvalidInput(f"{name}, line {rows.line_num}: can't be read as CSV: {error}") from error


_FORMS: dict[str, Callable[[Iterable[str], str], Numbered]] = {"jsonl": _json_lines, "csv": _csv}


def _document(fields: dict[str, Any], place: str) -> Document:
    named = [field for field in ID_FIELDS if field in fields]
    if len(named) != 1:
        raise InvalidInput(f"{place}: needs one field id (or _id), got the fields {list(fields)}")
    if "text" not in fields:
        raise InvalidInput(f"{place}: needs a field text, got the fields {list(fields)}")
    meta = dict(fields)
    identifier, text, title = meta.pop(named[0]), meta.pop("text"), meta.pop("title", None)
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    try:
        return Document(identifier, text, title=title or None, meta=meta)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error}") from error

"""Documents from files: JSON lines and CSV, read line by line, each error naming its line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from crossfade._records import STDIN, Numbered, csv_rows, json_lines, lines
from crossfade.document import Document
from crossfade.errors import InvalidInput

ID_FIELDS = ("id", "_id")


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
    for number, fields in _FORMS[form](lines(source, name), name):
        yield _document(fields, f"{name}, line {number}")


def is_file(source: str) -> bool:
    """Whether a source is a file, which can be read again, and no pipe."""
    with contextlib.suppress(OSError):  # a name that is too long: reading it says so
        return source != STDIN and Path(source).is_file()
    return False


_FORMS: dict[str, Callable[[Iterable[str], str], Numbered]] = {"jsonl": json_lines, "csv": csv_rows}


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

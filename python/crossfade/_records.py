"""Records from files: JSON lines and CSV, read line by line, each error naming its line."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from crossfade._values import parse_json
from crossfade.errors import InvalidInput

STDIN = "-"
LARGEST_CSV_FIELD = 2**31 - 1  # the csv module's own limit, 131,072 characters, is less than a long document

Numbered = Iterator[tuple[int, dict[str, Any]]]


def lines(source: str, name: str) -> Iterator[str]:
    """The lines of a file, or of stdin for "-"; InvalidInput names the file and the line."""
    try:
        with sys.stdin.buffer if source == STDIN else Path(source).open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InvalidInput(f"{name}, line {number}: must be UTF-8: {error}") from error
    except OSError as error:
        raise InvalidInput(f"{name} can't be read: {error.strerror or error}") from error


def json_lines(source: Iterable[str], name: str) -> Numbered:
    """The objects of JSON lines, each with its line's number; empty lines are passed over."""
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            fields = parse_json(line)
        except ValueError as error:
            raise InvalidInput(f"{name}, line {number}: must be one JSON object: {error}") from error
        if not isinstance(fields, dict):
            raise InvalidInput(f"{name}, line {number}: must be one JSON object, got {type(fields).__name__}")
        yield number, fields


def csv_rows(source: Iterable[str], name: str) -> Numbered:
    """The rows of a table with a header, each with its line's number, without the fields that are empty."""
    csv.field_size_limit(LARGEST_CSV_FIELD)
    rows = csv.DictReader(source, strict=True)
    try:
        for row in rows:
            if None in row:
                raise InvalidInput(f"{name}, line {rows.line_num}: has more fields than the header")
            yield rows.line_num, {field: value for field, value in row.items() if value not in ("", None)}
    except csv.Error as error:
        raise InvalidInput(f"{name}, line {rows.line_num}: can't be read as CSV: {error}") from error

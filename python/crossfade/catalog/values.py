"""Values: what SQLite gives back, held to what was put in; its pages have no checksums, and its columns no types."""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

from apsw import Connection

Made = TypeVar("Made")
Kind = type | types.UnionType
_DECODER = json.JSONDecoder()


class WrongValue(ValueError):
    """A value of a kind that was never written; `database.translated` makes a DamagedFile of it."""


def checked(row: Sequence[Any], kinds: Sequence[Kind]) -> Sequence[Any]:
    """The row, if its values are of these kinds."""
    if len(row) != len(kinds):
        raise WrongValue(f"{len(row)} values stand where {len(kinds)} were written")
    if not all(map(isinstance, row, kinds)):
        value, kind = next(pair for pair in zip(row, kinds, strict=True) if not isinstance(*pair))
        raise WrongValue(f"{value!r:.80} stands where a value of {kind} was written")
    return row


def made(kind: type[Made], row: Sequence[Any]) -> Made:
    """A dataclass whose fields are a row's values, in order."""
    return kind(*checked(row, fields_of(typing.cast(Hashable, kind))))


def one(connection: Connection, query: str, kind: type[Made]) -> Made:
    """The only value of the only row."""
    value: Made = checked(connection.execute(query).fetchone() or (), (kind,))[0]
    return value


def checked_columns(rows: Sequence[Sequence[Any]], kinds: Sequence[Kind]) -> Sequence[Sequence[Any]]:
    """The rows, if the first columns' values are of these kinds; many rows are checked at the price of a few."""
    for column, kind in zip(zip(*rows, strict=True), kinds, strict=False):
        if not all(issubclass(found, kind) for found in set(map(type, column))):
            checked([value for value in column if not isinstance(value, kind)][:1], (kind,))
    return rows


def json_object(text: str) -> dict[str, Any]:
    """What a column of JSON holds, as it was written: nothing stands before or behind it."""
    value, end = _DECODER.raw_decode(text) if isinstance(text, str) else (None, 0)
    if not isinstance(value, dict) or end != len(text):
        raise WrongValue(f"{text!r:.80} stands where a JSON object was written")
    return value


@functools.cache
def fields_of(kind: Hashable) -> tuple[Kind, ...]:
    """The kinds of a dataclass' fields."""
    return tuple(typing.get_type_hints(kind).values())

"""Tables looked up by key: where rows stand, and what those score that may be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import crossfade._core as _core
from crossfade._arrays import StoredRows
from crossfade.errors import InvalidInput

Keys = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.bool_]


class Tables(NamedTuple):
    """Where the rows of keys stand.

    Args:
        places: By key, uint32, 1 + the number of its row among those of all files; 0 for none.
        files: Of each run of 2**bits numbers, int64, whose rows they are.
        first_rows: Of each run, int64, which row is the first.
        bits: See `files`.
    """

    places: npt.NDArray[np.uint32]
    files: npt.NDArray[np.int64]
    first_rows: npt.NDArray[np.int64]
    bits: int


# The files of a version: each one's number, and its rows (n, d).
Files = Sequence[tuple[int, StoredRows]]


class Ranked(NamedTuple):
    """What one query finds.

    Args:
        keys: `(count,)` uint64, score descending, then key; none twice; 2**64 - 1 where none is left.
        scores: `(count,)` float32, dot products with the rows; -inf for a missing key.
        kept: Of each list, how many keys are admitted and have a row.
        least: Of each list, the least score of these; inf where there are none.
    """

    keys: Keys
    scores: npt.NDArray[np.float32]
    kept: list[int]
    least: list[float]


def has(tables: Tables, files: Files, keys: Keys) -> Marks:
    """Whether there is a row for each of `keys` `(m,)`: bool `(m,)`.

    Raises:
        InvalidInput: An argument has another dtype or layout.
    """
    try:
        return _core.has(tables, files, keys)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{error}; {_WANTED}") from error


def gather(tables: Tables, files: Files, keys: Keys, out: StoredRows) -> int:
    """Copies the rows of `keys` `(m,)` to `out` `(m, d)`, of the files' dtype; zeros for a key without one.

    Returns:
        The first place of a key without a row; -1 where all have one.

    Raises:
        InvalidInput: An argument has another dtype or layout.
    """
    try:
        return _core.gather(tables, files, keys, out)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{error}; {_WANTED}, and out has the dtype of the rows") from error


def score(tables: Tables, files: Files, keys: Keys, queries: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Dot products of the rows of keys `(m,)` with queries `(q, d)`: `(q, m)` float32, NaN where a key has no row.

    A score depends on the instruction set, but not on the other keys and queries, or on where a row stands.

    Raises:
        InvalidInput: An argument has another dtype or layout, or a score isn't finite.
    """
    try:
        scores, finite = _core.score(tables, files, keys, queries)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{error}; {_WANTED}") from error
    if not finite:
        raise InvalidInput(_NOT_FINITE)
    return scores


def rank(
    tables: Tables,
    files: Files,
    query: npt.NDArray[np.float32],
    count: int,
    *,
    lists: Sequence[Keys],
    scored: tuple[Keys, npt.NDArray[np.float32]] = (np.empty(0, np.uint64), np.empty(0, np.float32)),
    tail: Sequence[tuple[StoredRows, Keys]] = (),
    dead: Marks | None = None,
    allowed: Marks | None = None,
) -> Ranked:
    """The best rows for a query `(d,)` float32, of what was proposed and what is scanned.

    Args:
        tables: Where rows stand.
        files: Of the rows.
        query: What is looked for.
        count: How many, 1 to 2**24.
        lists: Keys whose rows are scored, `(m,)` uint64 each, in any order; of 2**64 - 1 and of keys without a row
            nothing comes.
        scored: Keys that were found before, with their scores.
        tail: Rows that are all scored `(n, d)`, with their keys `(n,)`.
        dead: By key, bool, which keys count for nothing; those beyond its end are alive, as all are where it is None.
        allowed: By key, bool, which keys count; those beyond its end don't. All do where it is None.

    Raises:
        InvalidInput: An argument has another dtype or layout, or a score isn't finite.
    """
    try:
        best, scores, kept, least, finite = _core.rank(tables, files, query, scored, lists, tail, dead, allowed, count)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{error}; {_WANTED}") from error
    if not finite:
        raise InvalidInput(_NOT_FINITE)
    return Ranked(best, scores, kept, least)


class Compared(NamedTuple):
    """What two versions' rows score for one query, `(m,)` each.

    Args:
        keys: uint64, each once.
        old: float32, NaN where there is no old row.
        bridged: float32, what the Bridge gives; NaN where there is no old row, or where no new score is missing.
        new: float32, NaN where there is no new row.
        unmeasured: Places whose bridged scores are yet to be divided by the length of their row carried over.
    """

    keys: Keys
    old: npt.NDArray[np.float32]
    bridged: npt.NDArray[np.float32]
    new: npt.NDArray[np.float32]
    unmeasured: list[int]


def compare(
    versions: tuple[tuple[Tables, Files], tuple[Tables, Files]],
    lists: tuple[Keys, Keys],
    queries: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    lengths: npt.NDArray[np.float32],
    shift: float,
) -> Compared:
    """All three scores of what two versions have found.

    Args:
        versions: The old one and the new one.
        lists: What either has found, `(n,)` uint64 each, none twice in a list. The keys of both are scored: the first
            list, then what only the second has.
        queries: For old rows `(2, d1)`, the second one the new query folded by the Bridge; and for new rows `(d2,)`.
        lengths: By key, float32, the length of its row carried over; 0, and beyond the end, where it is not known.
        shift: What is added to a folded query's score before it is divided by the length.

    Raises:
        InvalidInput: An argument has another dtype or layout, or a score isn't finite.
    """
    try:
        keys, (old, bridged, new), unmeasured, finite = _core.compare(*versions, *lists, *queries, lengths, shift)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{error}; {_WANTED}") from error
    if not finite:
        raise InvalidInput(_NOT_FINITE)
    return Compared(keys, old, bridged, new, unmeasured)


_WANTED = "keys are uint64 vectors, tables uint32 and int64, rows of one width, queries float32, masks bool vectors"
_NOT_FINITE = "rows and query must be finite and not huge, but a score isn't finite; check the encoder's output"

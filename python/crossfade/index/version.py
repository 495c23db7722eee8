"""A version as a reader sees it: segments and a tail to search, rows to score exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossfade._forks import lazy
from crossfade.errors import InvalidInput
from crossfade.index.blocks import Keys
from crossfade.index.expansion import SPARE
from crossfade.index.locations import Locations, RowRange
from crossfade.index.opened import OpenSegment
from crossfade.index.vectors import Rows
from crossfade.kernels import Compared, Ranked, compare, gather, has, rank, score

Scores: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]

# Up to here all rows a filter leaves are scored: 20,000 rows of 384 values take as long as a few searches.
EXACT_ROWS = 20_000
# To score so many rows costs no more than to ask a graph for one more.
ROWS_A_CANDIDATE = 10
# Of so many keys it is counted how many may be found and have a row.
_SAMPLED = 2_048
_WIDEN = 4
# Standard deviations by which a segment may have more of the best rows than its share, as in drawing lots.
_CHANCE = 4.0
# Graphs are asked as thoroughly for a few rows as for so many: among texts that are nearly the same they would lose 3 %
# of the ten best.
_LEAST = 100


class VersionIndex:
    """What was committed of one version at one moment. Immutable, for any number of threads.

    Every row stands either in a segment or in the tail, which is scanned. The graphs only propose: scores are
    computed from the rows themselves, and are the same wherever a row stands.

    Args:
        dim: Columns of a row.
        locations: Where the keys stand; may know more than `rows` holds.
        rows: The mapped rows, float16 `(n, dim)`, by file number.
        segments: The sealed segments.
        tail: The rows that no segment holds.
    """

    def __init__(
        self,
        dim: int,
        locations: Locations,
        rows: Mapping[int, Rows],
        segments: Sequence[OpenSegment] = (),
        tail: Sequence[RowRange] = (),
    ) -> None:
        self.dim = dim
        self._locations = locations
        self._files = [(number, np.asarray(mapped)) for number, mapped in rows.items()]
        self._segments = tuple(segments)
        self._tail = tuple(tail)
        self._standing = sum(segment.info.rows for segment in segments) + sum(part.stop - part.start for part in tail)

    def __len__(self) -> int:
        """How many rows it holds, dead ones included."""
        return sum(len(rows) for _, rows in self._files)

    def candidates(
        self, queries: Scores, count: int, dead: Mask | None = None, allowed: Mask | None = None
    ) -> tuple[Keys, Scores]:
        """The best rows of each query that are not dead and, if anything is said about it, allowed.

        Approximate where segments are searched; exact in the tail, and altogether where at most 20,000
        rows are allowed, or graphs would have to be asked for a tenth as many as are left.

        Args:
            queries: `(q, dim)` float32, finite.
            count: How many, at least 1.
            dead: By key, which ones to leave out; keys beyond its end are alive.
            allowed: By key, which ones may be found; keys beyond its end may not.

        Returns:
            keys: `(q, count)` uint64; by score descending, then key; none twice; 2⁶⁴−1 where none is left.
            scores: `(q, count)` float32, exact dot products with the float16 rows; -inf for a missing key.

        Raises:
            InvalidInput: An argument can't be used.
            DamagedFile: A segment can't be searched.
            CollectionClosed: A segment is closed.
        """
        queries = self._require_queries(queries)
        if count < 1:
            raise InvalidInput(f"count must be at least 1, got {count}")
        keys = np.empty((len(queries), count), dtype=np.uint64)
        scores = np.empty(keys.shape, dtype=np.float32)
        admitted = self._admitted(dead, allowed)
        shares = [self._share(segment, max(count, _LEAST)) for segment in self._segments]
        asked = [_Asked(*it, admitted.dilution) for it in zip(self._segments, shares, strict=True)]
        if allowed is not None and (admitted.left <= EXACT_ROWS or admitted.cost_less_than(asked)):
            every = self._every(admitted)
            for row, query in enumerate(queries):
                keys[row], scores[row], *_ = self._rank(query, count, [every], admitted)
            return keys, scores
        near = [it.segment.search(queries, it.depth) for it in asked]
        for row, query in enumerate(queries):
            keys[row], scores[row] = self._best(query, count, asked, [found[row] for found in near], admitted)
        return keys, scores

    def scores(self, keys: Keys, query: Scores) -> Scores:
        """Exact scores of the rows of `keys`.

        Args:
            keys: `(m,)` uint64.
            query: `(dim,)` or `(q, dim)` float32, finite.

        Returns:
            `(m,)` or `(q, m)` float32, dot products with the float16 rows; NaN where a key has no row.

        Raises:
            InvalidInput: An argument can't be used.
        """
        queries = self._require_queries(query[np.newaxis] if query.ndim == 1 else query)
        scores = score(self._locations.tables(), self._files, keys, queries)
        return scores[0] if query.ndim == 1 else scores

    def has(self, keys: Keys) -> Mask:
        """Whether the version has a row for each of `keys` (m,): bool `(m,)`."""
        return has(self._locations.tables(), self._files, keys)

    def gather(self, keys: Keys) -> Scores:
        """The rows of `keys` (m,) as float32 `(m, dim)`.

        Raises:
            InvalidInput: The version has no row for one of them.
        """
        return self.stored(keys).astype(np.float32)

    def stored(self, keys: Keys) -> Rows:
        """The same as they are stored, float16."""
        rows, absent = self._gathered(keys)
        if absent >= 0:
            raise InvalidInput(f"key {keys[absent]} of {len(keys)} has no row in this version; ask has() before")
        return rows

    def stored_or_zeros(self, keys: Keys) -> Rows:
        """The same with zeros for a key that has none."""
        return self._gathered(keys)[0]

    def compared(
        self,
        newer: VersionIndex,
        lists: tuple[Keys, Keys],
        queries: tuple[Scores, Scores],
        lengths: Scores,
        shift: float,
    ) -> Compared:
        """All three scores of what this version and a newer one have found, as `kernels.compare` says."""
        versions = [(index._locations.tables(), index._files) for index in (self, newer)]
        return compare((versions[0], versions[1]), lists, queries, lengths, shift)

    def _gathered(self, keys: Keys) -> tuple[Rows, int]:
        rows = np.empty((len(keys), self.dim), dtype=np.float16)
        return rows, gather(self._locations.tables(), self._files, keys, rows)

    def _best(
        self, query: Scores, count: int, asked: list[_Asked], near: list[Keys], admitted: _Admitted
    ) -> tuple[Keys, Scores]:
        """One query's best rows. A segment is asked again where it may have more of them than it proposed."""
        found = self._rank(query, count, near, admitted, tail=self._tail_rows)
        while True:
            least, answers = found.scores[-1], zip(asked, found.kept, found.least, strict=True)
            again = [it.deeper(count, kept, worst >= least) for it, kept, worst in answers]
            asked = [it for it in again if it is not None]
            if not asked:
                return found.keys, found.scores
            if admitted.cost_less_than(asked):
                found = self._rank(query, count, [self._every(admitted)], admitted)
                return found.keys, found.scores
            near = [it.segment.search(query[np.newaxis], it.depth)[0] for it in asked]
            found = self._rank(query, count, near, admitted, scored=(found.keys, found.scores))

    def _admitted(self, dead: Mask | None, allowed: Mask | None) -> _Admitted:
        if allowed is None:
            return _Admitted(dead, None, 1.0, self._standing)
        left, step = int(np.count_nonzero(allowed)), max(1, len(allowed) // _SAMPLED)
        some = (np.flatnonzero(allowed[::step]) * step).astype(np.uint64)
        here = left * float(self.has(some).mean()) if len(some) else left
        return _Admitted(dead, allowed, max(1.0, self._standing / max(here, 1.0)), left)

    def _every(self, admitted: _Admitted) -> Keys:
        """All that may be found, and more: dead ones, and those without a row here."""
        allowed = admitted.allowed
        return self._locations.known() if allowed is None else np.flatnonzero(allowed).astype(np.uint64)

    def _rank(self, query: Scores, count: int, near: list[Keys], admitted: _Admitted, **more: Any) -> Ranked:
        more |= {"dead": admitted.dead, "allowed": admitted.allowed}
        return rank(self._locations.tables(), self._files, query, count, lists=near, **more)

    @lazy
    def _tail_rows(self) -> list[tuple[Rows, Keys]]:
        """The rows that no segment holds, with their keys."""
        parts = [(dict(self._files)[part.file_no], part) for part in self._tail]
        parts = [(rows, part._replace(stop=min(part.stop, len(rows)))) for rows, part in parts]
        return [(rows[part.start : part.stop], self._locations.keys(part)) for rows, part in parts]

    def _share(self, segment: OpenSegment, count: int) -> int:
        """How many of the best `count` stand in a segment, if it is like the others; with room for chance."""
        part = segment.info.rows / self._standing
        return math.ceil(count * part + _CHANCE * math.sqrt(count * part * (1.0 - part)))

    def _require_queries(self, queries: Scores) -> Scores:
        if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != self.dim:
            raise InvalidInput(f"queries must be float32 (q, {self.dim}), got {queries.dtype} {queries.shape}")
        if not np.isfinite(queries).all():
            raise InvalidInput("queries must be finite; check the encoder's output")
        return np.ascontiguousarray(queries)


class _Admitted(NamedTuple):
    """Which keys may be found, of how many rows about one of them is, and how many may be at most."""

    dead: Mask | None
    allowed: Mask | None
    dilution: float
    left: int

    def cost_less_than(self, asked: Sequence[_Asked]) -> bool:
        """Whether to score all that may be found costs less than to ask segments so."""
        return self.left <= ROWS_A_CANDIDATE * sum(it.depth for it in asked)


class _Asked(NamedTuple):
    """A segment, how many of the best rows it is expected to hold, and of how many rows one may be found."""

    segment: OpenSegment
    share: int
    dilution: float

    @property
    def depth(self) -> int:
        """How many rows it is asked for."""
        return math.ceil((self.share + SPARE) * self.dilution)

    def deeper(self, count: int, kept: int, all_among_best: bool) -> _Asked | None:
        """How it is to be asked again, after `kept` of its proposals could be found; None where that is enough."""
        rows = self.segment.info.rows
        if kept < min(self.share, count) and self.depth < rows:
            return self._replace(dilution=_WIDEN * self.dilution)
        if all_among_best and self.share < min(count, rows):
            return self._replace(share=count)
        return None

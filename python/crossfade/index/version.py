"""A version as a reader sees it: segments and a tail to search, rows to score exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import InvalidInput
from crossfade.index.blocks import NO_KEY, Keys
from crossfade.index.locations import ABSENT, Locations, Places, RowRange
from crossfade.index.pool import SegmentPool
from crossfade.index.vectors import Rows
from crossfade.kernels import admit, merge_topk, rescore

Scores: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]

# Up to here all rows a filter leaves are scored: 20,000 rows of 384 values take as long as a few searches.
EXACT_ROWS = 20_000
# A graph is asked for at most so many rows; beyond that, scoring all that is left costs less.
_DEEPEST = 4_096
# Graphs compare with the query rounded to float16, so that the last places may be swapped with the next ones.
_SPARE = 16
_WIDEN = 4
# Standard deviations by which a segment may have more of the best rows than its share; asked for so many, a graph finds
# 95 % of those that are its share.
_CHANCE = 4.0
# Graphs are asked as thoroughly for a few rows as for so many: among texts that are nearly the same they would lose 3 %
# of the ten best.
_LEAST = 100
# These two bound the memory of a call, to 50 MB where a tail is as long as it gets.
_ROWS_AT_ONCE = 16_384
_QUERIES_AT_ONCE = 256


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
        threads: Threads for exact scans; they don't change the scores.
    """

    def __init__(
        self,
        dim: int,
        locations: Locations,
        rows: Mapping[int, Rows],
        segments: Sequence[SegmentPool] = (),
        tail: Sequence[RowRange] = (),
        *,
        threads: int = 1,
    ) -> None:
        self.dim = dim
        self._locations = locations
        self._rows = dict(rows)
        self._segments = tuple(segments)
        self._tail = tuple(tail)
        self._standing = sum(segment.info.rows for segment in segments) + sum(part.stop - part.start for part in tail)
        self._threads = threads

    def __len__(self) -> int:
        """How many rows it holds, dead ones included."""
        return sum(len(rows) for rows in self._rows.values())

    def candidates(
        self, queries: Scores, count: int, dead: Mask | None = None, allowed: Mask | None = None
    ) -> tuple[Keys, Scores]:
        """The best rows of each query that are not dead and, if anything is said about it, allowed.

        Approximate where segments are searched; exact in the tail, and altogether where at most 20,000
        rows are allowed, or where 4,096 neighbours of a query hold too few that are.

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
        if 0 < len(queries) <= _QUERIES_AT_ONCE:
            return self._candidates(queries, count, dead, allowed)
        parts = [
            self._candidates(queries[start : start + _QUERIES_AT_ONCE], count, dead, allowed)
            for start in range(0, len(queries), _QUERIES_AT_ONCE)
        ]
        empty = np.empty((0, count), dtype=np.uint64), np.empty((0, count), dtype=np.float32)
        return (
            np.concatenate([empty[0], *(keys for keys, _ in parts)]),
            np.concatenate([empty[1], *(scores for _, scores in parts)]),
        )

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
        scores = self._scores(keys, self._require_queries(np.atleast_2d(query)))
        return scores[0] if query.ndim == 1 else scores

    def has(self, keys: Keys) -> Mask:
        """Whether the version has a row for each of `keys` (m,): bool `(m,)`."""
        present = np.zeros(len(keys), dtype=np.bool_)
        for places, _, _ in self._by_file(keys):
            present[places] = True
        return present

    def gather(self, keys: Keys) -> Scores:
        """The rows of `keys` (m,) as float32 `(m, dim)`.

        Raises:
            InvalidInput: The version has no row for one of them.
        """
        gathered = np.empty((len(keys), self.dim), dtype=np.float32)
        missing = np.ones(len(keys), dtype=np.bool_)
        for places, rows, at in self._by_file(keys):
            gathered[places] = rows[at]
            missing[places] = False
        if missing.any():
            raise InvalidInput(
                f"{missing.sum()} of {len(keys)} keys have no row in this version, the first is "
                f"{keys[missing][0]}; ask has() before"
            )
        return gathered

    def _scores(self, keys: Keys, queries: Scores) -> Scores:
        scores = np.full((len(queries), len(keys)), np.nan, dtype=np.float32)
        for places, rows, at in self._by_file(keys):
            scores[:, places] = rescore(rows, at, queries, threads=self._threads)
        return scores

    def _by_file(self, keys: Keys) -> Iterator[tuple[Places | slice, Rows, Places]]:
        for number, rows in self._rows.items():
            at, found = self._locations.rows_in(number, len(rows), keys)
            if found == len(keys):  # most often there is one file
                yield slice(None), rows, at
                return
            if found:
                places = np.flatnonzero(at != ABSENT)
                yield places, rows, at[places]

    def _candidates(self, queries: Scores, count: int, dead: Mask | None, allowed: Mask | None) -> tuple[Keys, Scores]:
        dilution = 1.0
        if allowed is not None:
            left = int(np.count_nonzero(allowed))
            if left <= EXACT_ROWS:
                return self._exact(queries, count, _these(np.flatnonzero(allowed).astype(np.uint64), dead))
            dilution = len(allowed) / left
        short = np.zeros(len(queries), dtype=np.bool_)
        parts = []
        shares = [self._share(segment, max(count, _LEAST)) for segment in self._segments]
        for segment, share in zip(self._segments, shares, strict=True):
            proposed, gave_up = self._search(segment, queries, share, count, dilution, dead, allowed)
            parts.append(self._score(queries, proposed))
            short |= gave_up
        parts += [self._scan(queries, count, part, dead, allowed) for part in self._tail]
        keys, scores = _merge(len(queries), count, parts)
        more = []
        for segment, share, (_, found) in zip(self._segments, shares, parts, strict=False):
            # Where all that a segment proposed is among the best, it may have more of them than its share.
            rich = (found >= scores[:, -1:]).all(axis=1) & ~short
            if share < count and share < segment.info.rows and rich.any():
                proposed, short[rich] = self._search(segment, queries[rich], count, count, dilution, dead, allowed)
                more.append(_scattered(rich, *self._score(queries[rich], proposed)))
        if more:
            keys, scores = _merge(len(queries), count, [(keys, scores), *more])
        if short.any():
            keys[short], scores[short] = self._exact(queries[short], count, self._left(dead, allowed))
        return keys, scores

    def _left(self, dead: Mask | None, allowed: Mask | None) -> Keys:
        return _these(self._locations.known(), dead, allowed)

    def _share(self, segment: SegmentPool, count: int) -> int:
        """How many of the best `count` stand in a segment, if it is like the others; with room for chance."""
        expected = count * segment.info.rows / self._standing
        return math.ceil(expected + _CHANCE * math.sqrt(expected))

    def _search(
        self,
        segment: SegmentPool,
        queries: Scores,
        share: int,
        count: int,
        dilution: float,
        dead: Mask | None,
        allowed: Mask | None,
    ) -> tuple[Keys, Mask]:
        """Proposals `(q, w)`, missing ones 2⁶⁴−1, and for which queries they are fewer than there may be."""
        wanted, width = min(share, count), share + _SPARE
        depth = math.ceil(width * dilution)
        keys, _ = segment.search(queries, depth)
        keep, kept = admit(keys, dead, allowed)
        if kept == keys.size and allowed is None:
            return keys, np.zeros(len(queries), dtype=np.bool_)
        proposed = np.full((len(queries), width), NO_KEY, dtype=np.uint64)
        short = np.ones(len(queries), dtype=np.bool_)
        while True:
            for row, near, there in zip(np.flatnonzero(short), keys, keep, strict=True):
                found = near[there][:width]
                proposed[row, : len(found)] = found
            short[short] = (np.count_nonzero(keep, axis=1) < wanted) & (depth < segment.info.rows)
            depth *= _WIDEN
            if not short.any() or depth > _DEEPEST:
                return proposed, short
            keys, _ = segment.search(queries[short], depth)
            keep, _ = admit(keys, dead, allowed)

    def _score(self, queries: Scores, proposed: Keys) -> tuple[Keys, Scores]:
        each = [self._scores(keys, queries[row : row + 1]) for row, keys in enumerate(proposed)]
        scores = each[0] if len(each) == 1 else np.concatenate(each)
        absent = np.isnan(scores)
        if absent.any():
            proposed = np.where(absent, np.uint64(NO_KEY), proposed)
            scores[absent] = -np.inf
        return proposed, scores

    def _scan(
        self, queries: Scores, count: int, part: RowRange, dead: Mask | None, allowed: Mask | None
    ) -> tuple[Keys, Scores]:
        rows = self._rows[part.file_no]
        keys = self._locations.keys(part._replace(stop=min(part.stop, len(rows))))
        admitted, _ = admit(keys, dead, allowed)
        best = []
        # A damaged segment's rows become tail until it is built again, so that a tail may be long.
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            piece = slice(start, start + _ROWS_AT_ONCE)
            at = np.flatnonzero(admitted[piece])
            found = keys[piece]
            standing = rows[part.start :][piece][: len(found)]
            if len(at) == len(found):  # rows that lie beside each other are read faster than rows by number
                scores = rescore(standing, None, queries, threads=self._threads)
            else:
                found, scores = found[at], rescore(standing, at, queries, threads=self._threads)
            best.append(_merge(len(queries), count, [(_for_each(queries, found), scores)]))
        return best[0] if len(best) == 1 else _merge(len(queries), count, best)

    def _exact(self, queries: Scores, count: int, keys: Keys) -> tuple[Keys, Scores]:
        parts = []
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            part = keys[start : start + _ROWS_AT_ONCE]
            scores = self.scores(part, queries)
            present = ~np.isnan(scores).any(axis=0)
            scored = _for_each(queries, part[present]), np.ascontiguousarray(scores[:, present])
            parts.append(_merge(len(queries), count, [scored]))
        return _merge(len(queries), count, parts)

    def _require_queries(self, queries: Scores) -> Scores:
        if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != self.dim:
            raise InvalidInput(f"queries must be float32 (q, {self.dim}), got {queries.dtype} {queries.shape}")
        if not np.isfinite(queries).all():
            raise InvalidInput("queries must be finite; check the encoder's output")
        return np.ascontiguousarray(queries)


def _these(keys: Keys, dead: Mask | None, allowed: Mask | None = None) -> Keys:
    admitted, _ = admit(keys, dead, allowed)
    return keys[admitted]


def _for_each(queries: Scores, keys: Keys) -> Keys:
    """The same keys for every query, `(q, n)`."""
    return keys[np.newaxis] if len(queries) == 1 else np.tile(keys, (len(queries), 1))


def _scattered(chosen: Mask, keys: Keys, scores: Scores) -> tuple[Keys, Scores]:
    """What was found for chosen queries, among nothing for the others."""
    every = np.full((len(chosen), keys.shape[1]), NO_KEY, dtype=np.uint64)
    best = np.full(every.shape, -np.inf, dtype=np.float32)
    every[chosen], best[chosen] = keys, scores
    return every, best


def _merge(queries: int, count: int, parts: Sequence[tuple[Keys, Scores]]) -> tuple[Keys, Scores]:
    if not parts:
        return np.full((queries, count), NO_KEY, dtype=np.uint64), np.full((queries, count), -np.inf, dtype=np.float32)
    keys, scores = parts[0]
    if len(parts) > 1:
        keys, scores = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    return merge_topk(keys[:, np.newaxis], scores[:, np.newaxis], count)

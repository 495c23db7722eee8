"""Growth: how long the index of a whole collection takes to build, from the index of a few rows."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossfade.catalog.files import SegmentRow
from crossfade.index import graph
from crossfade.index.form import Form
from crossfade.store.contents import to_merge
from crossfade.store.sealing import TAIL_ROWS

from .estimates import Interval

ROWS = 4_096
STEP = 256


class Built(NamedTuple):
    """A segment of so many rows, of which so many stood in the graph that the others were added to."""

    rows: int
    there: int

    @property
    def work(self) -> float:
        return _work(self.rows) - _work(self.there)


@dataclasses.dataclass(frozen=True)
class Growth:
    """What a graph of a few rows took to build, on one core.

    A graph of n rows takes c·n·ln n seconds: every row is put in by a search, whose way grows like the logarithm of n
    (Malkov and Yashunin 2018). How far the measured times leave that line is their trend, which is carried on as the
    error.

    Args:
        rows: How many were put in.
        coefficient: c, in seconds, of all of them.
        trend: By which power of n the times of the last half grow faster than that.
        spread: Relative standard deviation of the times around their line.
        bytes_a_row: Of the index file.
    """

    rows: int
    coefficient: float
    trend: float
    spread: float
    bytes_a_row: float

    def seconds(self, built: list[Built]) -> tuple[float, Interval]:
        """For building segments one after the other, and what it may be instead."""
        value = sum(self.coefficient * it.work for it in built)
        carried = sum(self.coefficient * it.work * (max(it.rows, 1) / self.rows) ** self.trend for it in built)
        low, high = sorted((value, carried))
        return value, (low * max(1.0 - 2.0 * self.spread, 0.0), high * (1.0 + 2.0 * self.spread))


def measure(rows: npt.NDArray[np.floating]) -> Growth:
    """Builds a graph of at most 4,096 rows `(n, dim)`, as a segment is built, and takes its times.

    Raises:
        StorageFailed: usearch could not build it.
    """
    taken = np.asarray(rows[:ROWS], np.float16)
    form = Form.of(taken)
    built = graph.new_graph(taken.shape[1], form)
    counts, seconds, spent = [], [], 0.0
    for start in range(0, len(taken), STEP):
        keys = np.arange(start, min(start + STEP, len(taken)), dtype=np.uint64)
        began = time.perf_counter()
        graph.add(built, form, keys, taken[start : start + STEP], 1)
        spent += time.perf_counter() - began
        counts.append(start + len(keys))
        seconds.append(spent)
    size = len(graph.serialize(built)) / len(taken)
    return Growth(len(taken), spent / _work(len(taken)), *_line(counts, seconds), size)


def segments_of(rows: int) -> list[Built]:
    """All segments that are built until so many rows are sealed, those too that later ones take in."""
    return [built for built, _ in _sealed(rows)]


def standing_of(rows: int) -> list[int]:
    """The rows of the segments that are left when so many rows are sealed."""
    sealed = [(Built(0, 0), []), *_sealed(rows)]
    return [segment.rows for segment in sealed[-1][1]]


def _sealed(rows: int) -> Iterator[tuple[Built, list[SegmentRow]]]:
    """One segment after the other, with those that stand then."""
    standing: list[SegmentRow] = []
    for number in range(rows // (TAIL_ROWS + 1)):
        merged = to_merge(standing, TAIL_ROWS + 1)
        size = TAIL_ROWS + 1 + sum(segment.rows for segment in merged)
        standing = [segment for segment in standing if segment not in merged]
        standing.append(SegmentRow(str(number), 0, size, 0, "", 0, 0.0, 0))
        yield Built(size, merged[0].rows if merged else 0), standing


def _work(rows: int) -> float:
    return rows * math.log(max(rows, 2))


def _line(counts: list[int], seconds: list[float]) -> tuple[float, float]:
    """Slope of log(seconds / work) against log(rows) over the last half, and the deviation from it."""
    half = len(counts) // 2
    if len(counts) - half < 3:
        return 0.0, 0.0
    x = np.log(counts[half:])
    y = np.log([took / _work(count) for took, count in zip(seconds[half:], counts[half:], strict=True)])
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(np.std(y - slope * x - offset))

"""Rows of tests, and segments built of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from crossfade.index import (
    Locations,
    OpenSegment,
    RowRange,
    SegmentInfo,
    VersionIndex,
    build_segment,
    new_id,
)

DIM = 8


class Remembered(set[str]):
    """Verifications kept in memory, as a catalog would keep them."""

    def is_verified(self, identity: str) -> bool:
        return identity in self

    def remember(self, identity: str) -> None:
        assert identity not in self
        self.add(identity)


def normalized(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float16]:
    unit: npt.NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float16)


def unit_rows(count: int, dim: int = DIM, seed: int = 0) -> npt.NDArray[np.float16]:
    return normalized(np.random.default_rng(seed).standard_normal((count, dim)))


def clusters(count: int, dim: int, seed: int) -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((50, dim))[rng.integers(0, 50, count)]
    return normalized(centers + 0.5 * rng.standard_normal((count, dim)))


def numbered(count: int, first: int = 0) -> npt.NDArray[np.uint64]:
    return np.arange(first, first + count, dtype=np.uint64)


def built(folder: Path | str, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.float16]) -> SegmentInfo:
    info = build_segment(folder, new_id(), keys, rows)
    assert info is not None
    return info


def opened(folder: Path | str, info: SegmentInfo, dim: int = DIM) -> OpenSegment:
    return OpenSegment(folder, info, dim, verified=Remembered())


def exact(
    keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.float16], query: npt.NDArray[np.float32], count: int
) -> list[int]:
    """The oracle: the best keys by float64 dot product, ties by key."""
    order = np.lexsort((keys, -(rows.astype(np.float64) @ query.astype(np.float64))))
    return [int(key) for key in keys[order][:count]]


def version_of(
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.float16],
    segments: tuple[OpenSegment, ...] = (),
    sealed: int = 0,
) -> VersionIndex:
    """A version of one file, number 3, of which the first rows are sealed."""
    locations = Locations()
    locations.add(3, keys, 0)
    tail = [RowRange(3, sealed, len(rows))] if sealed < len(rows) else []
    return VersionIndex(rows.shape[1], locations, {3: rows}, segments, tail)

"""How a map between two spaces is learned from the moments of paired rows: closed forms, with numpy.linalg only.

Every method is centred: rows have a strong common mean, and a map that has to carry it as well is worse by several
points. A map sends x to (x − center) @ matrix + offset, where center and offset are the means of the two sides. With C
the covariance of the old rows and K the cross-covariance:

* Orthogonal Procrustes (Schönemann 1966), with the least-squares scale. Where the dims differ, the thin SVD of K gives
  a matrix R with orthonormal rows or columns.
* Low rank + diagonal: R, each new column scaled by its own least squares (the diagonal matrix of Drift-Adapter,
  Vejendla 2025), and a correction of rank 64 for what that leaves over (reduced-rank ridge regression, Mukherjee and
  Zhu 2011).
* Ridge: (C + λ·m·I)⁻¹ · K, m the mean eigenvalue of C. λ has no unit, and does not depend on the number of pairs or on
  the scale of the rows.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade import kernels
from crossfade._blas import one_thread
from crossfade._forks import lazy
from crossfade.errors import InvalidInput

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Stored = NDArray[np.float32] | NDArray[np.float16]

PROCRUSTES = "procrustes"
LOW_RANK = "low rank + diagonal"
RIDGE = "ridge"
CANDIDATES = (
    (PROCRUSTES, 0.0),
    *((LOW_RANK, strength) for strength in (0.1, 1.0)),
    *((RIDGE, strength) for strength in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
)
RANK = 64
_ROWS_AT_ONCE = 4_096


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Means and (cross-)covariances of paired rows: all that any method needs, in either direction.

    Args:
        count: How many pairs they are of.
        center: Mean of the old rows, `(d1,)`.
        offset: Mean of the new rows, `(d2,)`.
        covariance: Of the old rows, `(d1, d1)`.
        cross: Between old and new rows, `(d1, d2)`.
        target: Covariance of the new rows, `(d2, d2)`.
    """

    count: int
    center: Float64
    offset: Float64
    covariance: Float64
    cross: Float64
    target: Float64

    @classmethod
    def of(cls, old: Stored, new: Stored, chosen: NDArray[np.int64] | None = None) -> Moments:
        """Moments of paired rows `(n, d1)` and `(n, d2)`, or of the chosen ones among them.

        Summed in float64 over blocks of rows as they are stored: no copy of all of them is made.
        """
        within, between, across = None, None, None
        places = np.arange(len(old)) if chosen is None else chosen
        for start in range(0, len(places), _ROWS_AT_ONCE):
            some = places[start : start + _ROWS_AT_ONCE]
            x, y = old[some], new[some]
            within = kernels.covariance(x, state=within)
            across = kernels.covariance(x, y, state=across)
            between = kernels.covariance(y, state=between)
        if within is None or across is None or between is None:
            raise InvalidInput("a map needs pairs to be learned from, got none")
        return cls(
            within.count, within.mean_x, between.mean_x, within.covariance, across.covariance, between.covariance
        )

    def __add__(self, other: Moments) -> Moments:
        """Moments of the pairs of both (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        share = other.count / count
        step, move = other.center - self.center, other.offset - self.offset

        def joined(mine: Float64, others: Float64, by: Float64, with_: Float64) -> Float64:
            both: Float64 = (1.0 - share) * mine + share * others + share * (1.0 - share) * np.outer(by, with_)
            return both

        return Moments(
            count,
            self.center + share * step,
            self.offset + share * move,
            joined(self.covariance, other.covariance, step, step),
            joined(self.cross, other.cross, step, move),
            joined(self.target, other.target, move, move),
        )

    @property
    def reversed(self) -> Moments:
        """Of the same pairs, for a map from the new rows to the old ones."""
        return Moments(self.count, self.offset, self.center, self.target, self.cross.T, self.covariance)


class Solver:
    """Fits every method to the same moments; what methods have in common is computed once.

    Raises:
        InvalidInput: The rows don't vary, so that there is nothing to learn from.
    """

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        if not np.trace(moments.covariance) > 0:
            raise InvalidInput("the old rows are all the same; fit a Bridge on rows of different texts")

    def solve(self, method: str, strength: float) -> Float64:
        """The matrix `(d1, d2)` of one candidate."""
        try:
            with one_thread(max(self.moments.cross.shape)):
                if method == RIDGE:
                    return self._ridge(strength)
                return self._procrustes() if method == PROCRUSTES else self._low_rank(strength)
        except np.linalg.LinAlgError as error:
            raise InvalidInput(f"no map can be learned from these rows: {error}; fit on more or other pairs") from error

    @lazy
    def _axes(self) -> tuple[Float64, Float64]:
        values, axes = np.linalg.eigh(self.moments.covariance)
        return np.maximum(values, 0.0), axes

    @lazy
    def _rotation(self) -> Float64:
        left, _, right = np.linalg.svd(self.moments.cross, full_matrices=False)
        rotation: Float64 = left @ right
        return rotation

    @lazy
    def _explained(self) -> tuple[Float64, Float64]:
        """By new column: what the rotated rows have in common with it, and what they have themselves."""
        along = np.einsum("ij,ij->j", self._rotation, self.moments.cross)
        return along, np.einsum("ij,ij->j", self._rotation, self.moments.covariance @ self._rotation)

    def _procrustes(self) -> Float64:
        along, within = self._explained
        matrix: Float64 = along.sum() / within.sum() * self._rotation
        return matrix

    def _ridge(self, strength: float) -> Float64:
        values, axes = self._axes
        matrix: Float64 = axes @ ((axes.T @ self.moments.cross) / (values + strength * values.mean())[:, None])
        return matrix

    def _low_rank(self, strength: float) -> Float64:
        along, within = self._explained
        base = self._rotation * (along / np.where(within > 0, within, 1.0))
        values, axes = self._axes
        # In these coordinates the ridge problem is an ordinary one, and its best map of rank r is a truncated SVD.
        roots = np.sqrt(values + strength * values.mean())[:, None]
        whole = (axes.T @ (self.moments.cross - self.moments.covariance @ base)) / roots
        rank = min(RANK, *whole.shape)
        _, directions = np.linalg.eigh(whole.T @ whole)
        kept = directions[:, directions.shape[1] - rank :]
        matrix: Float64 = base + axes @ ((whole @ kept) @ kept.T / roots)
        return matrix


def carry(rows: Stored, matrix: Float64, moments: Moments) -> Float32:
    """Rows `(n, d1)` carried over by a map fitted to these moments: unit rows `(n, d2)`; a zero row stays zero."""
    center, offset = moments.center.astype(np.float32), moments.offset.astype(np.float32)
    bad = np.zeros(len(rows), np.bool_)
    carried: Float32 = kernels.project(
        np.ascontiguousarray(rows), np.ascontiguousarray(matrix, dtype=np.float32), center, offset, bad=bad
    )
    return carried


def unit(rows: NDArray[Any]) -> Float32:
    """Rows at unit length; a zero row stays zero."""
    unscaled = np.ascontiguousarray(rows, dtype=np.float32)
    return kernels.normalize(unscaled, bad=np.zeros(len(rows), np.bool_))


def carry_unseen(old: Stored, new: Stored, kind: tuple[str, float], fold: NDArray[np.int64]) -> Float32:
    """Every old row carried over by a map that was fitted without it, and without the others of its fold.

    Args:
        old: Rows `(n, d1)`.
        new: Rows `(n, d2)` of the same texts.
        kind: Method and strength.
        fold: `(n,)`, each row's fold, from 0 on; at least two, none of them empty.
    """
    parts = [Moments.of(old, new, np.flatnonzero(fold == number)) for number in range(int(fold.max()) + 1)]
    carried = np.empty((len(old), new.shape[1]), np.float32)
    for number in range(len(parts)):
        moments = functools.reduce(lambda left, right: left + right, [*parts[:number], *parts[number + 1 :]])
        held = fold == number
        carried[held] = carry(old[held], Solver(moments).solve(*kind), moments)
    return carried

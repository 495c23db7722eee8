"""How a map between two spaces is learned from pairs of rows, in float64 and with numpy.linalg only.

Both methods are centred: rows have a strong common mean, and a map that has to carry it as well is worse by
several points. A map sends x to (x − center) @ matrix + offset, where center and offset are the means of the
two sides.

* Orthogonal Procrustes (Schönemann 1966), with the least-squares scale. Where the dims differ, the thin SVD
  of the cross-covariance gives a matrix with orthonormal rows or columns.
* Ridge: (C + λ·m·I)⁻¹ · K, with C the covariance of the old rows, m its mean eigenvalue and K the
  cross-covariance. λ has therefore no unit, and does not depend on the number of pairs or on the scale of the
  rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import InvalidInput

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

PROCRUSTES = "procrustes"
RIDGE = "ridge"
CANDIDATES = ((PROCRUSTES, 0.0), *((RIDGE, strength) for strength in (0.001, 0.01, 0.1, 1.0)))
NEIGHBOURS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Means and (cross-)covariances of paired rows: all that either method needs.

    Args:
        center: Mean of the old rows, `(d1,)`.
        offset: Mean of the new rows, `(d2,)`.
        covariance: Of the old rows, `(d1, d1)`.
        cross: Between old and new rows, `(d1, d2)`.
    """

    center: Float64
    offset: Float64
    covariance: Float64
    cross: Float64

    @classmethod
    def of(cls, old: Float64, new: Float64) -> Moments:
        """Moments of paired rows `(n, d1)` and `(n, d2)`."""
        center, offset = old.mean(axis=0), new.mean(axis=0)
        centred = old - center
        return cls(center, offset, centred.T @ centred / len(old), centred.T @ (new - offset) / len(old))


def solve(method: str, strength: float, moments: Moments) -> Float64:
    """The matrix `(d1, d2)` of one candidate.

    Raises:
        InvalidInput: The rows don't vary, so that there is nothing to learn from.
    """
    variance = np.trace(moments.covariance)
    if not variance > 0:
        raise InvalidInput("the old rows are all the same; fit a Bridge on rows of different texts")
    try:
        if method == RIDGE:
            dim = len(moments.covariance)
            ridge = strength * variance / dim * np.eye(dim)
            return np.linalg.solve(moments.covariance + ridge, moments.cross)
        left, _, right = np.linalg.svd(moments.cross, full_matrices=False)
    except np.linalg.LinAlgError as error:
        raise InvalidInput(f"no map can be learned from these rows: {error}; fit on more or other pairs") from error
    rotation: Float64 = left @ right
    scale = np.vdot(rotation, moments.cross) / np.vdot(rotation, moments.covariance @ rotation)
    return scale * rotation


def carry(old: Float64, matrix: Float64, moments: Moments) -> Float64:
    """Old rows `(n, d1)` carried over: unit rows `(n, d2)`."""
    return unit((old - moments.center) @ matrix + moments.offset)


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows at unit length; a zero row stays zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def agreement(carried: Float64, new: Float64) -> tuple[float, float]:
    """How well carried rows stand in for new rows, both unit rows `(n, d)`.

    Returns:
        The mean cosine of a row with its counterpart, and the mean share of the 10 nearest new rows of a new
        row that are also the nearest of its counterpart (itself left out; fewer than 10 where there are fewer
        rows).
    """
    k = min(NEIGHBOURS, len(new) - 1)
    found, true = carried @ new.T, new @ new.T
    np.fill_diagonal(found, -np.inf)
    np.fill_diagonal(true, -np.inf)
    nearest = np.argpartition(-found, k - 1, axis=1)[:, :k]
    wanted = np.zeros(true.shape, dtype=bool)
    np.put_along_axis(wanted, np.argpartition(-true, k - 1, axis=1)[:, :k], True, axis=1)
    recall = np.take_along_axis(wanted, nearest, axis=1).mean()
    return float(np.einsum("nd,nd->n", carried, new).mean()), float(recall)

"""Standard units: a score as the number of standard deviations above what the corpus scores on average."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfade import kernels
from crossfade._blas import one_thread
from crossfade._forks import lazy
from crossfade.errors import InvalidInput

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

AXES = 64
_TINY = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class StandardUnits:
    """What the scores of a query against a corpus are like, known from the corpus' mean μ and covariance Σ
    alone.

    For a query q and a document d, z(q, d) = (q·d − q·μ) / sqrt(qᵀΣq): one scale for every query and every
    model. Σ is shrunk towards a sphere (Ledoit and Wolf 2004, with a weight that doesn't look at the data)
    and kept as its leading axes over a common floor, so that a query costs 64 dot products and not d of them.

    Args:
        mean: μ, `(d,)` float32.
        axes: `(r, d)` float32, r at most 64: eigenvectors of Σ times sqrt(eigenvalue − floor).
        floor: Mean of the remaining eigenvalues; above 0.
    """

    mean: Float32
    axes: Float32
    floor: float

    @classmethod
    def fit(cls, rows: ArrayLike, prior: float | None = None) -> StandardUnits:
        """Learn the units from a uniform sample of a corpus.

        Args:
            rows: `(n, d)` floats, n at least 2.
            prior: How many rows the sphere is worth; it gets the weight prior / (n + prior). None means d.

        Raises:
            InvalidInput: Wrong shape, NaN, rows that don't vary, or a negative prior.

        Example:
            >>> rows = np.random.default_rng(0).standard_normal((4000, 8))
            >>> units = StandardUnits.fit(rows)
            >>> query = np.array([3, 0, 0, 0, 0, 0, 0, 0], np.float32)
            >>> [round(moment, 1) for moment in units.moments(query)]
            [0.0, 3.0]
        """
        sample = np.asarray(rows, dtype=np.float64)
        if sample.ndim != 2 or sample.shape[0] < 2 or sample.shape[1] < 1:
            raise InvalidInput(f"standard units need rows (n, d) with n >= 2, got {sample.shape}")
        count, dim = sample.shape
        weight = float(dim if prior is None else prior)
        if not np.isfinite(sample).all() or not 0.0 <= weight < np.inf:
            raise InvalidInput("rows must be finite and prior at least 0, got NaN, infinity or a negative prior")
        mean = sample.mean(axis=0)
        centred = sample - mean
        covariance = centred.T @ centred / count
        sphere = np.trace(covariance) / dim
        if not sphere > _TINY:
            raise InvalidInput("the rows are all the same; sample rows of different texts")
        shrinkage = weight / (count + weight)
        with one_thread(dim):
            values, vectors = np.linalg.eigh(covariance)
        values = np.maximum((1.0 - shrinkage) * values + shrinkage * sphere, 0.0)
        kept = min(AXES, dim - 1)
        floor = max(float(values[: dim - kept].mean()), _TINY * sphere)
        lengths = np.sqrt(np.maximum(values[dim - kept :] - floor, 0.0))
        axes = lengths[:, None] * vectors[:, dim - kept :].T
        return cls(mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32), floor)

    def moments(self, query: Float32) -> tuple[float, float]:
        """Mean and standard deviation of the scores of a query `(d,)` against the corpus; the latter above 0 unless the
        query is zero."""
        along = kernels.rescore(self._along, None, query)
        axes = along[1:]
        return float(along[0]), math.sqrt(axes @ axes + self.floor * float(query @ query))

    def z(self, query: Float32, scores: NDArray[Any]) -> Float64:
        """Scores of any shape of a query `(d,)` in standard units, float64; NaN stays NaN."""
        mean, deviation = self.moments(query)
        return (scores.astype(np.float64) - mean) / deviation

    @lazy
    def _along(self) -> Float32:
        """What a query is compared with: the mean, and the axes."""
        return np.vstack([self.mean, self.axes])

"""Kriging: what the known errors of some candidates say about the unknown ones of documents like them.

The estimate of a new score errs alike for documents that are alike: a subject that the Bridge carries badly, a turn of
phrase that the new model reads otherwise; and it errs in one direction for all that a query finds. Gaussian process
regression (Rasmussen and Williams 2006, eq. 2.23 and 2.24; Krige 1951) carries the errors over. In units of the error's
variance, two documents' errors have the covariance

    k(d, d′) = c + s · cos²(d − μ, d′ − μ)        and a document's own    k(d, d) = c + 1

so that c is common to all candidates of a query, s is shared by documents alike, and 1 − s is each one's own. cos² of
vectors is a positive definite kernel (a polynomial of degree 2), and needs no length scale. s is learned, by how well
the errors of some of a stand-in query's candidates foretell those of the others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfade.search.units import Float32, Float64

# From a half to six times as much little changes.
COMMON = 0.05
_TRIED = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
_TINY = 1e-12


class Carried(NamedTuple):
    """What the known errors say.

    Args:
        expected: `(m,)`, what each unknown error is expected to be; 0 for the known ones.
        left: `(m,)`, the share of its variance that is still open, 0 to 1; 0 for the known ones.
        common: What is expected of a document that is like none of these.
    """

    expected: Float64
    left: Float64
    common: float


def carry_over(rows: Float32, errors: Float64, shared: float) -> Carried:
    """Carries the known errors over to the unknown ones.

    Args:
        rows: `(m, d)`, the candidates' vectors less their mean; of any length.
        errors: `(m,)`; NaN where it is unknown.
        shared: s, 0 to 1.
    """
    unknown = np.isnan(errors)
    expected, left = np.zeros(len(errors)), unknown.astype(np.float64)
    if unknown.all():
        return Carried(expected, left, 0.0)
    lengths = np.sqrt(np.einsum("md,md->m", rows, rows))
    unit = rows / np.maximum(lengths, np.float32(_TINY))[:, None]
    known = unit[~unknown]
    own = _covariance(known, known, shared)
    own[np.diag_indices_from(own)] = COMMON + 1.0
    across = _covariance(known, unit[unknown], shared)
    # All right sides by one factorisation.
    solved = np.linalg.solve(own, np.column_stack([errors[~unknown].astype(np.float32), across]))
    expected[unknown] = across.T @ solved[:, 0]
    left[unknown] = np.clip(1.0 + COMMON - np.einsum("ku,ku->u", across, solved[:, 1:]), 0.0, 1.0)
    return Carried(expected, left, COMMON * float(solved[:, 0].sum()))


def learn_shared(rows: Float32, errors: Float64, variance: float, random: np.random.Generator) -> float:
    """The s under which half of a query's errors make the other half most likely.

    Args:
        rows: `(q, m, d)`, the candidates' vectors less their mean.
        errors: `(q, m)`, all known.
        variance: Of the errors.
        random: Chooses the halves.
    """
    hidden = np.stack([random.permutation(errors.shape[1]) % 2 == 0 for _ in errors])
    return max(_TRIED, key=lambda shared: _likelihood(rows, errors, hidden, variance, shared))


def _likelihood(rows: Float32, errors: Float64, hidden: NDArray[np.bool_], variance: float, shared: float) -> float:
    """Mean logarithm of the density that hidden errors have, given the others."""
    total = 0.0
    for some, of_query, away in zip(rows, errors, hidden, strict=True):
        carried = carry_over(some, np.where(away, np.nan, of_query), shared)
        spread = variance * np.maximum(carried.left[away], 1e-3)
        total -= float(np.mean(np.log(spread) + (of_query[away] - carried.expected[away]) ** 2 / spread))
    return total


def _covariance(some: Float32, others: Float32, shared: float) -> NDArray[np.float32]:
    cosines = some @ others.T
    covariance: NDArray[np.float32] = np.float32(shared) * cosines * cosines + np.float32(COMMON)
    return covariance

"""Kriging: what the known errors of some candidates say about the unknown ones of documents like them.

The estimate of a new score errs alike for documents that are alike: a subject that the Bridge carries badly, a turn of
phrase that the new model reads otherwise; and it errs in one direction for all that a query finds. Gaussian process
regression carries the errors over (`kernels.krige`). In units of the error's variance, two documents' errors have the
covariance

    k(d, d′) = c + s · cos²(d − μ, d′ − μ)        and a document's own    k(d, d) = c + 1

so that c is common to all candidates of a query, s is shared by documents alike, and 1 − s is each one's own. cos² of
vectors is a positive definite kernel (a polynomial of degree 2), and needs no length scale. s is learned, by how well
the errors of some of a stand-in query's candidates foretell those of the others.
"""

from __future__ import annotations

import numpy as np

from crossfade._arrays import StoredRows
from crossfade.kernels import Kriged, krige
from crossfade.search.units import Float32, Float64

# From a half to six times as much little changes.
COMMON = 0.05
_TRIED = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)


def carry_over(rows: StoredRows, mean: Float32, errors: Float64, shared: float) -> Kriged:
    """Carries the known errors over to the unknown ones.

    Args:
        rows: `(m, d)`, the candidates' vectors.
        mean: `(d,)`, μ.
        errors: `(m,)`; NaN where it is unknown.
        shared: s, 0 to 1.
    """
    return krige(rows, errors.astype(np.float32), mean, shared=shared, common=COMMON)


def learn_shared(
    rows: StoredRows, mean: Float32, errors: Float64, variance: float, random: np.random.Generator
) -> float:
    """The least s under which half of a query's errors make the other half about as likely as under the best one.

    About as likely is a mean within its standard error over the queries: a small sample must not find likeness that is
    not there (the one-standard-error rule; Breiman et al. 1984).

    Args:
        rows: `(q, m, d)`, the candidates' vectors.
        mean: `(d,)`, μ.
        errors: `(q, m)`, all known.
        variance: Of the errors.
        random: Chooses the halves.
    """
    hidden = np.stack([random.permutation(errors.shape[1]) % 2 == 0 for _ in errors])

    def likelihoods(shared: float) -> Float64:
        """Mean logarithm of the density that a query's hidden errors have, given the others; but for a constant."""
        found = []
        for some, of_query, away in zip(rows, errors, hidden, strict=True):
            carried = carry_over(some, mean, np.where(away, np.nan, of_query), shared)
            spread = variance * np.maximum(carried.left[away], 1e-3)
            found.append(-np.mean(np.log(spread) + (of_query[away] - carried.expected[away]) ** 2 / spread))
        return np.array(found)

    tried = [likelihoods(shared) for shared in _TRIED]
    best = max(tried, key=np.mean)
    lacking = [best - found for found in tried]
    return next(
        shared for shared, lack in zip(_TRIED, lacking, strict=True) if lack.mean() <= lack.std() / np.sqrt(len(lack))
    )

"""Smoothing: what documents alike score is evidence for each of them.

Documents that are alike tend to be relevant to the same queries (the cluster hypothesis; van Rijsbergen 1979). So a
high score that those most like a document share is to be trusted more than one that it has alone (regularised scores;
Diaz, CIKM 2005). Of the candidates with the highest evidence u, each one's is

    (1 − γ) u(d) + γ · Σ w(d, d′) u(d′) / Σ w(d, d′),    w(d, d′) = max(0, cos(d − μ, d′ − μ))⁴,    d′ ≠ d
"""

from __future__ import annotations

import numpy as np

from crossfade import kernels
from crossfade._arrays import StoredRows
from crossfade.search.units import Float32, Float64

# γ, and how many of the best are compared; `python -m bench.blend` tries others.
SHARE = 0.3
COMPARED = 64


def smoothed(evidence: Float64, rows: StoredRows, mean: Float32) -> Float64:
    """Evidence `(m,)`, that of the best ones drawn towards what those like them have.

    Args:
        evidence: `(m,)`, of a query's candidates.
        rows: `(m, d)`, their vectors.
        mean: `(d,)`, μ.
    """
    best = np.argsort(-evidence, kind="stable")[:COMPARED]
    own, centred = evidence[best], rows[best].astype(np.float32) - mean
    unit = kernels.normalize(centred, out=centred, bad=np.zeros(len(best), np.bool_))
    likeness = np.maximum(kernels.rescore(unit, None, unit), 0.0).astype(np.float64) ** 4
    np.fill_diagonal(likeness, 0.0)
    total = likeness.sum(axis=1)
    others = np.where(total > 0.0, likeness @ own / np.where(total > 0.0, total, 1.0), own)
    result = evidence.copy()
    result[best] = own + SHARE * (others - own)
    return result

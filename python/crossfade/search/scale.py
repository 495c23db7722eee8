"""Scale: blended ranks, in scores that users' thresholds were made for.

The r-th best of a query's candidates gets the score that the live model gives to *its* r-th best of them. The order is
the blend's; how high a query's scores are, and how they fall off, is the live model's, as it is without a migration: as
many hits pass a threshold at every share as did before. The mean and deviation of the corpus alone would not do: the
best ten of a mean of two models lie lower than the best ten of one, by an amount that depends on the share.
"""

from __future__ import annotations

import numpy as np

from .units import Float32


def ranked_scores(blended: Float32, own: Float32) -> Float32:
    """Scores for blended ones, best first.

    Args:
        blended: `(m,)`, descending, on the live model's scale.
        own: `(m,)`, in the same order, what the live model gives; NaN where it has no vector: the blended one
            stands for it.

    Returns:
        `(m,)` float32, descending: equal where the blended ones are, and only there.

    Example:
        >>> blended, own = np.array([0.9, 0.8, 0.7], np.float32), np.array([0.5, 0.75, 0.25], np.float32)
        >>> ranked_scores(blended, own).tolist()
        [0.75, 0.5, 0.25]
    """
    scores: Float32 = np.sort(np.where(np.isnan(own), blended, own).astype(np.float32))[::-1].copy()
    falls = blended[1:] < blended[:-1]
    if (falls == (scores[1:] < scores[:-1])).all():
        return scores
    for place, fall in enumerate(falls.tolist(), 1):
        before = scores[place - 1]
        scores[place] = min(scores[place], np.nextafter(before, np.float32(-np.inf))) if fall else before
    return scores

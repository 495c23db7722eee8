"""Blending: one ranking of what two models score, as `search/blend.py` explains it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import crossfade._core as _core
from crossfade._arrays import StoredRows
from crossfade.errors import InvalidInput

Float32Array = npt.NDArray[np.float32]


class BlendModel(NamedTuple):
    """What is known of two models' scores.

    Args:
        scale: β, from the new model's units to the old one's, above 0.
        intercept: Of the estimate of a missing new score.
        old: The estimate's factor of the old score.
        bridged: Its factor of the bridged score.
        variance: Of its error.
        shared: Share of the error's variance that rows alike have in common, 0 to 1 (`krige`).
        common: Share that all rows have in common.
        compared: So many of the best are compared where errors are carried over, at most 4,096.
        smoothing: How far scores are drawn towards those of rows like them where no new score is missing, 0 to 1.
        smoothed: So many of the best are, at most 512.
        rank_offset: A candidate of rank r pays 1 / (r + rank_offset) of the toll.
    """

    scale: float
    intercept: float
    old: float
    bridged: float
    variance: float
    shared: float
    common: float
    compared: int
    smoothing: float
    smoothed: int
    rank_offset: float


class BlendUnits(NamedTuple):
    """Mean and deviation, above 0, of one query's scores against a corpus: by the old model, by the new one, and of the
    scale that blended scores are told in."""

    old_mean: float
    old_deviation: float
    new_mean: float
    new_deviation: float
    shown_mean: float
    shown_deviation: float


def blend(
    scores: tuple[Float32Array, Float32Array, Float32Array],
    rows: tuple[StoredRows | None, Float32Array],
    units: BlendUnits,
    model: BlendModel,
    *,
    head: int,
    weight: float,
    bounded: bool,
) -> tuple[Float32Array, npt.NDArray[np.float64]]:
    """Blend what one query's candidates score.

    Args:
        scores: Old, new and bridged ones, `(m,)` float32 each, NaN where there is none.
        rows: `(m, d)` float32 or float16, with their mean `(d,)`: the old ones where a new score is missing, or None
            where rows alike share nothing; the new ones where none is, by which scores are smoothed, or None, and they
            are not.
        units: The query's.
        model: What is known of both models.
        head: How many of the candidates are the old version's, best first; they come first.
        weight: Of the new evidence, 0 to 1.
        bounded: Whether no score may exceed 1: then all are scaled.

    Returns:
        The blended scores `(m,)` float32; and in standard units `(6, m)` float64 z_old, β · z_new, the estimate of it,
        the new evidence, the bonus, and the weighted sum.

    Raises:
        InvalidInput: An argument has another shape or dtype or is out of range, or a candidate has neither a new score
            nor an old and a bridged one, or an infinite one.
    """
    try:
        blended, parts, scored = _core.blend(*scores, *rows, head, units, model, bounded, weight)
    except (ValueError, TypeError) as error:
        shapes = ", ".join(str(np.shape(it)) for it in (*scores, *rows) if it is not None)
        raise InvalidInput(
            f"{error}; a candidate needs three scores and a row, float32 scores (m,), and head from 0 to m; "
            f"got shapes {shapes} with head {head}"
        ) from error
    if not scored:
        raise InvalidInput("every candidate needs a new score, or an old and a bridged one, but got NaN or infinity")
    return blended, parts


def rank_blended(
    keys: npt.NDArray[np.uint64], blended: Float32Array, own: Float32Array
) -> tuple[npt.NDArray[np.int64], Float32Array]:
    """The order of blended scores, and scores that users' thresholds were made for.

    The r-th best gets the score that the live model gives to *its* r-th best of them. The order is the blend's; how
    high a query's scores are, and how they fall off, is the live model's, as it is without a migration: as many hits
    pass a threshold at every share as did before. The mean and deviation of the corpus alone would not do: the best
    ten of a mean of two models lie lower than the best ten of one, by an amount that depends on the share.

    Args:
        keys: `(m,)` uint64.
        blended: `(m,)` float32, on the live model's scale.
        own: `(m,)` float32, what the live model gives; NaN where it has no vector: the blended one stands for it.

    Returns:
        order: `(m,)` int64, places by blended score descending, then key.
        scores: `(m,)` float32 in that order, descending: equal where the blended ones are, and only there.

    Raises:
        InvalidInput: An argument has another shape or dtype, or a blended score is NaN.

    Example:
        >>> keys, blended = np.arange(3, dtype=np.uint64), np.array([0.7, 0.9, 0.8], np.float32)
        >>> order, scores = rank_blended(keys, blended, np.array([0.25, 0.5, 0.75], np.float32))
        >>> order.tolist(), scores.tolist()
        ([1, 2, 0], [0.75, 0.5, 0.25])
    """
    try:
        return _core.rank_blended(keys, blended, own)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{error}; keys are uint64 (m,), scores float32 (m,)") from error

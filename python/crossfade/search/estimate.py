"""Estimate: a candidate's missing new score, from its old score and its bridged one.

Learned where it is used: among each query's nearest documents, not among all of them. Documents stand in for
queries, and every document is carried over by a map of the Bridge's kind that has not seen it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfade.bridge import Bridge, fitting
from crossfade.search import kriging
from crossfade.search.units import Float32, Float64, StandardUnits

STAND_INS = 400
HEAD = 100
FOLDS = 4
COMPARED = 100
LEAST_NEAR = 2


@dataclasses.dataclass(frozen=True)
class Estimate:
    """How a missing new score is estimated, in standard units.

    Args:
        scale: β, from the new model's units to the old one's.
        intercept: c0.
        old: c1, of z_old.
        bridged: c2, of β · z_bridged.
        variance: v, of the estimate's error.
        explained: Share of the variance of the true β · z_new that the estimate explains, 0 to 1.
        shared: Share of the error's variance that documents alike have in common, 0 to 1 (`kriging`).
    """

    scale: float
    intercept: float
    old: float
    bridged: float
    variance: float
    explained: float
    shared: float = 0.0

    @classmethod
    def none(cls) -> Estimate:
        """Of one who knows nothing: the old score itself, with an error as large as its variance."""
        return cls(scale=1.0, intercept=0.0, old=1.0, bridged=0.0, variance=1.0, explained=0.0)

    @classmethod
    def learn(cls, known: StandIns) -> Estimate:
        """Fit by least squares to what stand-in queries score against the documents nearest to them by the old model.

        β makes the mean of what the new model likes best equal to that of what the old model likes best.
        """
        head, best = nearest(known.old, known.depth), nearest(known.new, known.depth)
        scale = float(taken(known.old, head).mean() / taken(known.new, best).mean())
        terms = [taken(known.old, head), scale * taken(known.bridged, head)]
        line, *about = _fitted(known, head, terms, scale * taken(known.new, head))
        return cls(scale, *line, *about)

    @classmethod
    def learn_bridged(cls, known: StandIns, documents: int) -> Estimate:
        """The same from the bridged score alone, nearest by it, in the new model's units: c1 is 0 and β is 1.

        The line is learned as far up as it will be used: from as many of the nearest as one in `documents`, all that
        there are, has among a query's candidates. Farther down it is flatter, and would promise too little to those
        that nothing else is known of. How far it errs is asked of more of them, as few tell little.
        """
        head = nearest(known.bridged, known.depth)
        _, *about = _fitted(known, head, [taken(known.bridged, head)], taken(known.new, head))
        among = -(
            -HEAD * len(known.rows) // max(documents, len(known.rows))
        )  # more than there are, if some were deleted
        best = nearest(known.bridged, min(known.depth, max(LEAST_NEAR, among)))
        line = _line([taken(known.bridged, best)], taken(known.new, best))
        return cls(1.0, line[0], 0.0, line[1], *about)


class StandIns(NamedTuple):
    """What documents that stand in for queries score against all `(q, n)`, in standard units.

    Args:
        old: The old model's scores.
        new: The new model's.
        bridged: The new model's query against old rows that are carried over by maps that have not seen them.
        rows: The documents' old rows `(n, d1)`.
        mean: μ of the old Space, `(d1,)`.
        depth: How many of the nearest documents are learned from.
        random: Where whatever follows draws from.
    """

    old: Float64
    new: Float64
    bridged: Float64
    rows: Float32
    mean: Float32
    depth: int
    random: np.random.Generator

    @classmethod
    def of(
        cls,
        old: Float32,
        new: Float32,
        bridge: Bridge,
        units: tuple[StandardUnits, StandardUnits],
        seed: int,
    ) -> StandIns:
        """Of paired rows of documents.

        Args:
            old: `(n, d1)`.
            new: `(n, d2)`, row by row of the same documents.
            bridge: Its method is fitted again without the pair that is carried over.
            units: Of the old Space and of the new one.
            seed: Of the folds, of which documents stand in, and of `random`.
        """
        random = np.random.default_rng(seed)
        kind = bridge.quality.method, bridge.quality.regularisation
        carried = fitting.carry_unseen(old, new, kind, random.permutation(len(old)) % FOLDS)
        some = random.permutation(len(old))[:STAND_INS]
        scores = (
            standard_scores(units[0], old, some, old),
            standard_scores(units[1], new, some, new),
            standard_scores(units[1], new, some, carried),
        )
        return cls(*scores, old, units[0].mean, depth_of(len(old)), random)


def _fitted(
    known: StandIns, head: NDArray[np.int64], terms: Sequence[Float64], true: Float64
) -> tuple[list[float], float, float, float]:
    """Least squares of `true` by `terms`, query after query; and what the errors of the first queries' documents share.

    Args:
        known: Whose scores they are.
        head: `(q, m)`, the documents they are of.
        terms: `(q · m,)` each.
        true: The same.

    Returns:
        The coefficients, that of 1 first; the variance of the error; the share it explains; and the share that
        documents alike have in common.
    """
    intercept, *slopes = line = _line(terms, true)
    errors = (true - intercept - sum(slope * term for slope, term in zip(slopes, terms, strict=True))).reshape(
        head.shape
    )
    variance = float(np.mean(errors**2))
    explained = max(0.0, 1.0 - variance / float(true.var()))
    rows = known.rows[head[:COMPARED]]
    shared = kriging.learn_shared(rows, known.mean, errors[:COMPARED], variance, known.random)
    return line, variance, explained, shared


def _line(terms: Sequence[Float64], true: Float64) -> list[float]:
    """Least squares of `true` by `terms`, `(q · m,)` each: the coefficients, that of 1 first."""
    line: list[float] = np.linalg.lstsq(np.stack([np.ones_like(true), *terms], axis=1), true, rcond=None)[0].tolist()
    return line


def standard_scores(units: StandardUnits, rows: Float32, stand_ins: NDArray[np.int64], against: Float32) -> Float64:
    """Scores `(q, n)` of stand-in queries in standard units, each one's own document out of reach."""
    queries = rows[stand_ins]
    scores = queries @ against.T
    z: Float64 = np.stack([units.z(query, found) for query, found in zip(queries, scores, strict=True)])
    z[np.arange(len(stand_ins)), stand_ins] = -np.inf
    return z


def depth_of(documents: int) -> int:
    """How many nearest documents are learned from: of a small sample a tenth, the rest would be nobody's candidates."""
    return min(HEAD, documents // 10)


def nearest(z: Float64, count: int) -> NDArray[np.int64]:
    """Columns `(q, count)` of the highest scores, in no order."""
    return np.argpartition(-z, count - 1, axis=1)[:, :count]


def taken(z: Float64, columns: NDArray[np.int64]) -> Float64:
    """The scores in these columns, row after row, `(q · count,)`."""
    return np.take_along_axis(z, columns, axis=1).ravel()

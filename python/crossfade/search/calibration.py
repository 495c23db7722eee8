"""Calibration: from scores to the probability that a hit is relevant, learned from judged hits.

    P(relevant | score) = 1 / (1 + exp(−(slope · score + intercept)))

of greatest likelihood, where N₊ relevant hits count as (N₊ + 1) / (N₊ + 2) and N₋ others as 1 / (N₋ + 2) instead of 1
and 0, so that few hits claim no certainty (Platt, Probabilistic outputs for support vector machines, in Advances in
Large Margin Classifiers, 1999). Found by Newton's method with backtracking, in terms that neither overflow nor cancel
(Lin, Lin and Weng, A note on Platt's probabilistic outputs for support vector machines, Machine Learning 68, 2007).

What users see as a score is on the live version's scale at every share of a migration (`kernels.rank_blended`). So one
calibration serves for as long as that version is live, and none for two versions: each keeps its own, in its folder.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.bridge import files
from crossfade.errors import DamagedFile, InvalidInput, NewerFormat, NotReady, SpaceMismatch
from crossfade.space import Space

from .units import Float64

# The answers whose scores are on the live version's own scale: its own, and what a fade is mapped back to it.
METHODS = ("live", "fade")
# Under so many hits of either kind two numbers can't be learned.
LEAST_HITS = 30
FOLDS, BINS = 4, 10
MOST_STEPS = 100
_NAME = "calibration"
_FIGURES = ("slope", "intercept", "made_at")

_log = logging.getLogger("crossfade")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """From a version's scores to probabilities; immutable.

    Args:
        slope: Logits that a score of 1 adds, 0 or more.
        intercept: Logits at a score of 0.
        relevant: Judged hits it was learned from that were relevant.
        irrelevant: Those that were not.
        queries: Queries they were found for.
        k: How many of the first hits of each query were looked at.
        error: Expected calibration error on queries it had not seen (`error_of`); None under 4 queries.
        space: Fingerprint of the Space whose scores it reads.
        made_at: When, in Unix seconds.
    """

    slope: float
    intercept: float
    relevant: int
    irrelevant: int
    queries: int
    k: int
    error: float | None
    space: str
    made_at: float

    @classmethod
    def fit(
        cls, scores: Float64, relevant: NDArray[np.bool_], queries: NDArray[np.int64], *, k: int, space: Space
    ) -> Calibration:
        """Learn it.

        Args:
            scores: `(n,)` of hits.
            relevant: `(n,)`, which of them are.
            queries: `(n,)`, a number for each hit's query.
            k: How many of the first hits of each query they are.
            space: Of the version that the scores are of.

        Raises:
            NotReady: Under 30 of the hits are relevant, or under 30 are not; or all have the same score.
            InvalidInput: The lower the score, the more are relevant.
        """
        found, others = int(relevant.sum()), int((~relevant).sum())
        if min(found, others) < LEAST_HITS:
            raise NotReady(
                f"a calibration takes {LEAST_HITS} relevant hits and as many others, and {found} and {others} of the "
                f"first {k} hits of {len(np.unique(queries))} queries are; judge more queries, or check that the "
                "judgements name documents of this collection"
            )
        if np.ptp(scores) == 0.0:
            raise NotReady("every judged hit has the same score, which tells nothing of relevance; judge other queries")
        slope, intercept = platt(scores, relevant)
        if slope < 0.0:
            raise InvalidInput(
                f"of {found + others} judged hits the lower the score the more are relevant (slope {slope:.3g}): no "
                "probability would be worth having; check that the judgements say above 0 for relevant"
            )
        return cls(
            slope=slope,
            intercept=intercept,
            relevant=found,
            irrelevant=others,
            queries=len(np.unique(queries)),
            k=k,
            error=_error_on_others(scores, relevant, queries),
            space=space.fingerprint,
            made_at=time.time(),
        )

    def relevance(self, score: float) -> float:
        """Probability that a hit with this score is relevant, 0 to 1.

        Example:
            >>> one = dict(relevant=50, irrelevant=50, queries=10, k=10, error=None, space="", made_at=0.0)
            >>> Calibration(slope=10.0, intercept=-5.0, **one).relevance(0.5)
            0.5
        """
        logit = self.slope * score + self.intercept
        less_likely = math.exp(-abs(logit))  # which never overflows
        return (1.0 if logit >= 0.0 else less_likely) / (1.0 + less_likely)

    def score_at(self, relevance: float) -> float | None:
        """The score from which on hits are relevant with this probability; None where every score gives the same."""
        return (math.log(relevance / (1.0 - relevance)) - self.intercept) / self.slope if self.slope else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    def save(self, folder: Path) -> None:
        """Write it into a version's folder, atomically; an earlier one there is replaced.

        Raises:
            StorageFailed: The disk is full or failed.
        """
        files.write(folder, _NAME, {}, self.to_dict())

    @classmethod
    def load(cls, folder: Path, space: Space) -> Calibration | None:
        """Read what `save` wrote; None where it wrote nothing.

        Args:
            folder: Of the version.
            space: Of the version.

        Raises:
            DamagedFile: A file is missing, or differs from its checksum.
            SpaceMismatch: It is of another Space.
            NewerFormat: A newer crossfade wrote it.
            StorageFailed: The disk could not be read.
        """
        try:
            _, facts = files.read(folder, _NAME)
        except InvalidInput:
            return None
        with files.complete(folder, _NAME):
            kept = cls(**{field.name: facts[field.name] for field in dataclasses.fields(cls)})
            sound = all(math.isfinite(getattr(kept, name)) for name in _FIGURES) and kept.slope >= 0.0
        if not sound:
            raise DamagedFile(f"{folder}: the calibration holds numbers that none has; calibrate again")
        if kept.space != space.fingerprint:
            raise SpaceMismatch(f"{folder}: the calibration is of another Space than {space!r}; calibrate again")
        return kept

    @classmethod
    def find(cls, folder: Path, space: Space) -> Calibration | None:
        """What `save` wrote, or None where it can't be used: a search does without, and says so in the log."""
        try:
            return cls.load(folder, space)
        except (DamagedFile, NewerFormat, SpaceMismatch) as error:
            _log.warning("hits have no relevance, for the calibration can't be used: %s", error)
            return None

    @staticmethod
    def remove(folder: Path) -> None:
        """Removes what is in a version's folder, whole or not.

        Raises:
            StorageFailed: It can't be removed.
        """
        files.remove(folder, _NAME)


def platt(scores: Float64, relevant: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of greatest likelihood for scores `(n,)` of hits that are relevant or not `(n,)`."""
    found, others = int(relevant.sum()), int((~relevant).sum())
    targets = np.where(relevant, (found + 1.0) / (found + 2.0), 1.0 / (others + 2.0))
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    columns = np.stack([(scores - centre) / spread, np.ones(len(scores))], axis=1)

    def loss(weights: Float64) -> float:
        logits = columns @ weights
        return float((np.logaddexp(0.0, logits) - targets * logits).sum())

    weights = np.array([0.0, math.log((found + 1.0) / (others + 1.0))])
    for _ in range(MOST_STEPS):
        expected = np.exp(-np.logaddexp(0.0, -(columns @ weights)))
        gradient = columns.T @ (expected - targets)
        curvature = (columns.T * (expected * (1.0 - expected))) @ columns + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        gain, size, before = float(gradient @ step), 1.0, loss(weights)
        while size > 1e-10 and loss(weights - size * step) > before - 1e-4 * size * gain:
            size /= 2.0
        if size <= 1e-10:  # nothing better can be told apart
            break
        weights = weights - size * step
        if gain < 1e-12:
            break
    return float(weights[0] / spread), float(weights[1] - weights[0] * centre / spread)


def error_of(expected: Float64, relevant: NDArray[np.bool_]) -> float:
    """Expected calibration error of probabilities `(n,)` of hits that are relevant or not `(n,)`.

    By probability the hits fall into ten bins of equal size; the difference between the mean probability and the share
    that is relevant, in the mean over the bins (Naeini, Cooper and Hauskrecht 2015). Of few hits chance alone gives
    something above 0.

    Example:
        >>> error_of(np.full(10, 0.25), np.zeros(10, np.bool_))
        0.25
    """
    order = np.argsort(expected, kind="stable")
    bins = np.array_split(order, BINS)
    return float(sum(abs(expected[some].sum() - relevant[some].sum()) for some in bins) / len(expected))


def _error_on_others(scores: Float64, relevant: NDArray[np.bool_], queries: NDArray[np.int64]) -> float | None:
    """The same of hits whose queries played no part: in four folds, each by what the others teach."""
    names, place = np.unique(queries, return_inverse=True)
    if len(names) < FOLDS:
        return None
    fold = (np.random.default_rng(0).permutation(len(names)) % FOLDS)[place]
    expected = np.empty(len(scores))
    for part in range(FOLDS):
        slope, intercept = platt(scores[fold != part], relevant[fold != part])
        expected[fold == part] = np.exp(-np.logaddexp(0.0, -(slope * scores[fold == part] + intercept)))
    return error_of(expected, relevant)

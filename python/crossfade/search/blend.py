"""Blend: one ranking from two models while only some documents have a vector of the new one.

Every candidate has an old score, and some have a new one. In standard units of either model (`StandardUnits`)
a candidate's blended score is

    s(d) = (1 − a) · z_old(d) + a · u(d)

where u is the new evidence on the old model's scale: β · z_new(d) where the document has a new vector, and
elsewhere its estimate c0 + c1 · z_old(d) + c2 · β · z_bridged(d). Four things keep a half-filled collection
from ranking worse than it did before:

* The estimate is learned where it is used: among each stand-in query's nearest documents, not among all of
  them, with documents standing in for queries and a Bridge that has not seen the pair.
* It is corrected by the errors on those candidates whose new score is known: for all of a query's candidates,
  and the more for documents like them (`kriging`).
* An unknown score may turn out high. The candidates without a new vector get v, the variance of the error that
  is left, as a bonus over those with one: if the odds of relevance grow exponentially with u, what counts is the
  mean of the exponential, which for a normal error exceeds the exponential of the mean by a term proportional
  to v.
* The weight a grows with the coverage of this query's own candidates, the faster the better the estimate is.

Once every candidate has a new vector, what those like a document score is evidence for it as well (`smoothing`).

s is mapped back by the live model's mean and deviation: the old one's, and after a cutover to the blend the new
one's, β apart. What users see as a score is put on that model's own scale after that (`kernels.rank_blended`). A
document without an old vector, written while the old encoder was not at hand, has s = u. `kernels.blend` computes it.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfade import kernels
from crossfade._arrays import StoredRows
from crossfade.bridge import Bridge, files
from crossfade.errors import DamagedFile, InvalidInput
from crossfade.kernels import BlendModel, BlendUnits
from crossfade.search import kriging, smoothing
from crossfade.search.estimate import Estimate, StandIns
from crossfade.search.units import Float32, Float64, StandardUnits

# Under this many documents the sample says too little, and the old version answers alone.
MIN_DOCUMENTS = 64
# Weight of the new evidence where every candidate has it: 0.7 to 0.9 is best, or nearly, on every pair measured.
FULL_WEIGHT = 0.8
# A candidate of rank r (from 0) counts 1 / (r + 10) in the coverage: the first ten about as much as the next
# twenty.
RANK_OFFSET = 10.0
# So many of the best candidates are compared with each other.
MOST_COMPARED = 256
_NAME = "blend"


class Parts(NamedTuple):
    """What blended scores are made of: `(m,)` float64, in standard units of the old model.

    Args:
        old: z_old.
        new: β · z_new; NaN where there is no new score.
        guess: Estimate of the new score, from the old and the bridged one; NaN where nobody asked for a bridged one.
        expected: The new score; where it is missing the estimate, with the errors on documents like it carried over;
            where none is missing, smoothed.
        bonus: The benefit of the doubt, less what all pay for it; added to `expected`.
        blended: The weighted sum.
    """

    old: Float64
    new: Float64
    guess: Float64
    expected: Float64
    bonus: Float64
    blended: Float64


@dataclasses.dataclass(frozen=True, eq=False)
class Blended:
    """The scores of one query's candidates.

    Args:
        scores: `(m,)` float32, in the order of the candidates; a cosine on the scale asked for.
        coverage: Rank-weighted share of the old version's candidates that have a new vector, 0 to 1.
        weight: Weight of the new evidence, 0 to 1; at 0 the old scores decide.
        parts: What they are made of; None where they are the old scores.
    """

    scores: Float32
    coverage: float
    weight: float
    parts: Parts | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Blend:
    """Scores a query's candidates while a collection fades from one model to another; immutable.

    Args:
        old: Units of the old Space.
        new: Units of the new Space.
        estimate: Of a missing new score.
        full_weight: Weight of the new evidence at full coverage, 0 to 1; at 0 the old version answers alone.
        documents: How many documents it was learned from.
        bounded: Whether the old model's scores are cosines, which may not exceed 1.
        bridge: Digest of the Bridge it belongs to.
        new_bounded: The same of the new model's.
    """

    old: StandardUnits
    new: StandardUnits
    estimate: Estimate
    full_weight: float
    documents: int
    bounded: bool
    bridge: str
    new_bounded: bool = True

    @classmethod
    def fit(
        cls,
        old_rows: ArrayLike,
        new_rows: ArrayLike,
        bridge: Bridge,
        *,
        full_weight: float = FULL_WEIGHT,
        seed: int = 0,
    ) -> Blend:
        """Learn the units and the estimate from documents that have both vectors.

        Args:
            old_rows: `(n, d1)` floats. Under 64 rows the Blend's weight is 0.
            new_rows: `(n, d2)` floats, row by row of the same documents.
            bridge: Fitted on such pairs; its method is fitted again without the pair it estimates.
            full_weight: Weight at full coverage, 0 to 1. Learn it from judged queries where there are any.
            seed: Of the stand-in queries and the folds.

        Raises:
            InvalidInput: Wrong shapes, NaN, rows that don't vary, or a weight out of range.
        """
        old, new = np.asarray(old_rows, dtype=np.float32), np.asarray(new_rows, dtype=np.float32)
        d1, d2 = bridge.matrix.shape
        if old.shape[1:] != (d1,) or new.shape[1:] != (d2,) or len(old) != len(new):
            raise InvalidInput(f"a Blend needs paired rows (n, {d1}) and (n, {d2}), got {old.shape} and {new.shape}")
        if not 0.0 <= full_weight <= 1.0:
            raise InvalidInput(f"full_weight must be between 0 and 1, got {full_weight!r}")
        units = StandardUnits.fit(old), StandardUnits.fit(new)
        enough = len(old) >= MIN_DOCUMENTS
        return cls(
            *units,
            estimate=Estimate.learn(StandIns.of(old, new, bridge, units, seed)) if enough else Estimate.none(),
            full_weight=full_weight if enough else 0.0,
            documents=len(old),
            bounded=_are_unit(old),
            bridge=bridge.digest,
            new_bounded=_are_unit(new),
        )

    def with_weight(self, full_weight: float) -> Blend:
        """The same Blend with another weight at full coverage; 0 lets the old version answer alone."""
        if not 0.0 <= full_weight <= 1.0:
            raise InvalidInput(f"full_weight must be between 0 and 1, got {full_weight!r}")
        if full_weight > 0.0 and self.documents < MIN_DOCUMENTS:
            raise InvalidInput(f"a Blend of {self.documents} documents has no weight, that takes {MIN_DOCUMENTS}")
        return dataclasses.replace(self, full_weight=full_weight)

    def coverage_of(self, covered: NDArray[np.bool_]) -> float:
        """Rank-weighted share of candidates `(h,)`, the old version's best first, that have a new vector."""
        if not len(covered):
            return 0.0
        worth = _worth(len(covered))
        return float(worth @ covered / worth.sum())

    def weight_for(self, covered: NDArray[np.bool_]) -> float:
        """Weight of the new evidence for a query; where it is 0 the query need not be encoded with the new
        model.

        It is full_weight · sqrt(c^(1 − R²)), with c the coverage and R² what the estimate explains: with a
        perfect estimate coverage would not matter, with a useless one the weight grows as its root.

        Args:
            covered: `(h,)` bool, which of the old version's candidates, best first, have a new vector.

        Returns:
            0 to 1; exactly 0 where none has one.
        """
        return self._weight_at(self.coverage_of(covered))

    def _weight_at(self, coverage: float) -> float:
        return self.full_weight * coverage ** ((1.0 - self.estimate.explained) / 2.0) if coverage > 0.0 else 0.0

    def score(
        self,
        old_query: Float32,
        new_query: Float32,
        old_scores: Float32,
        new_scores: Float32,
        bridged_scores: Float32,
        *,
        head: int,
        old_rows: StoredRows | None = None,
        new_rows: StoredRows | None = None,
        cut_over: bool = False,
    ) -> Blended:
        """Blend the scores of one query's candidates.

        The first `head` candidates are the old version's best, best first; after them come those that only
        the new version found.

        Args:
            old_query: `(d1,)` float32.
            new_query: `(d2,)` float32.
            old_scores: `(m,)`, old query times old rows; NaN where a candidate has no old row.
            new_scores: `(m,)`, new query times new rows; NaN where a candidate has no new row.
            bridged_scores: `(m,)`, new query times carried old rows (`Bridge.apply`). May be NaN where there
                is a new score; those that are given sharpen the estimate for the others.
            head: How many of the candidates are the old version's, 0 to m.
            old_rows: `(m, d1)`, the candidates' old rows, where a new score is missing: they tell which are alike; not
                needed where errors share nothing.
            new_rows: `(m, d2)`, the candidates' new rows, where every new score is given: then they are smoothed.
            cut_over: Whether the new version is the live one: then scores are on its scale.

        Returns:
            Scores in the order given. Before the cutover, where the weight is 0, they are the old ones, bit for bit.

        Raises:
            InvalidInput: Shapes differ, or a candidate has neither a new score nor an old and a bridged one.
        """
        _check_candidates((old_scores, new_scores, bridged_scores), (old_rows, new_rows), head)
        known = ~np.isnan(new_scores)
        coverage = self.coverage_of(known[:head])
        weight = self._weight_at(coverage)
        if weight == 0.0 and not cut_over:
            return Blended(old_scores.astype(np.float32), coverage, 0.0)
        of_old, of_new = self.old.moments(old_query), self.new.moments(new_query)
        shown = (of_new[0], of_new[1] / self.estimate.scale) if cut_over else of_old
        scores, parts = kernels.blend(
            (old_scores, new_scores, bridged_scores),
            (new_rows, self.new.mean) if known.all() else (old_rows, self.old.mean),
            BlendUnits(*of_old, *of_new, *shown),
            self._model,
            head=head,
            weight=weight,
            bounded=self.new_bounded if cut_over else self.bounded,
        )
        return Blended(scores, coverage, weight, Parts(*parts))

    @property
    def _model(self) -> BlendModel:
        e = self.estimate
        return BlendModel(
            e.scale,
            e.intercept,
            e.old,
            e.bridged,
            e.variance,
            e.shared,
            kriging.COMMON,
            MOST_COMPARED,
            smoothing.SHARE,
            smoothing.COMPARED,
            RANK_OFFSET,
        )

    def save(self, folder: str | Path) -> None:
        """Write `blend.json` and its array file into a folder, atomically; an earlier Blend there is
        replaced.

        Raises:
            StorageFailed: The disk is full or failed.
        """
        arrays: files.Arrays = {
            "old_mean": self.old.mean,
            "old_axes": self.old.axes,
            "new_mean": self.new.mean,
            "new_axes": self.new.axes,
        }
        facts = {
            "old_floor": self.old.floor,
            "new_floor": self.new.floor,
            "estimate": dataclasses.asdict(self.estimate),
            "full_weight": self.full_weight,
            "documents": self.documents,
            "bounded": self.bounded,
            "bridge": self.bridge,
            "new_bounded": self.new_bounded,
        }
        files.write(Path(folder), _NAME, arrays, facts)

    @classmethod
    def load(cls, folder: str | Path, bridge: Bridge | None = None) -> Blend:
        """Read the Blend that `save` wrote; with a Bridge given, only the one that was fitted with it.

        Raises:
            InvalidInput: The folder holds no Blend.
            DamagedFile: A file is missing, differs from its checksum, or belongs to another Bridge.
            NewerFormat: A newer crossfade wrote it.
        """
        arrays, facts = files.read(Path(folder), _NAME)
        with files.complete(folder, _NAME):
            if bridge is not None and facts["bridge"] != bridge.digest:
                raise DamagedFile(f"the Blend in {folder} belongs to another Bridge; fit both again")
            return cls(
                StandardUnits(arrays["old_mean"], arrays["old_axes"], facts["old_floor"]),
                StandardUnits(arrays["new_mean"], arrays["new_axes"], facts["new_floor"]),
                Estimate(**facts["estimate"]),
                facts["full_weight"],
                facts["documents"],
                facts["bounded"],
                facts["bridge"],
                facts.get("new_bounded", facts["bounded"]),  # not there in what earlier versions wrote
            )


def _check_candidates(scores: tuple[Float32, ...], rows: tuple[StoredRows | None, ...], head: int) -> None:
    count = len(scores[0])
    lengths = {len(it) for it in rows if it is not None}
    if {it.shape for it in scores} != {(count,)} or not lengths <= {count} or not 0 <= head <= count:
        shapes = ", ".join(str(it.shape) for it in (*scores, *rows) if it is not None)
        raise InvalidInput(f"a candidate needs three scores and a row, got shapes {shapes} with head {head}")


def _are_unit(rows: Float32) -> bool:
    return bool(np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=0.01))


@functools.lru_cache(64)
def _worth(count: int) -> Float64:
    """What a candidate of each rank counts; not to be written to."""
    return np.reciprocal(np.arange(count, dtype=np.float64) + RANK_OFFSET)

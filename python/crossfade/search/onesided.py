"""OneSided: scores for queries that only the new model has encoded, because the old one can't be called any more.

The bridged score, that of the new query and the old row carried over, takes the old score's place in the blend of
`search/blend.py`. In standard units of the new Space the score is

    s(d) = (1 − a) · z_bridged(d) + a · u(d),    a = c^((1 − R²) / 2)

where u is z_new(d) where the document has a new vector, and elsewhere its estimate c0 + c2 · z_bridged(d), with the
known errors carried over to documents alike and the benefit of the doubt; c is the coverage of the query's candidates
and R² what the estimate explains. So where no candidate has a new vector the order is the Bridge's, and where every one
has it, the new model's.

The query carried back, against the old rows themselves, has no part in it. With the new query known, all that an old
row tells of the new score is what it tells of the new row. Beyond that the query carried back helps stand-in queries,
which are documents, as the map back knows them, more than it helps real ones (docs/decisions/0009).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossfade._arrays import StoredRows
from crossfade.bridge import Bridge, files

from .blend import Blend
from .estimate import STAND_INS, Estimate, StandIns, depth_of
from .units import Float32, StandardUnits

_NAME = "onesided"


@dataclasses.dataclass(frozen=True)
class OneSided:
    """What is learned to do without the old model's queries; immutable. Nothing is until then: an estimate that
    explains nothing, and scores on the new model's scale.

    Args:
        estimate: Of a missing new score, from the bridged one alone.
        slope: Of the line from the new model's scores to the old one's scale.
        intercept: Of that line.
    """

    estimate: Estimate = dataclasses.field(default_factory=Estimate.none)
    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def learn(
        cls,
        old: Float32,
        new: Float32,
        bridge: Bridge,
        units: tuple[StandardUnits, StandardUnits],
        documents: int,
        seed: int,
    ) -> OneSided:
        """Fit to paired rows of documents, of `documents` that there are; the other arguments as of `StandIns.of`.

        The line takes what documents score against all others in the mean, and what against those nearest to them,
        from the new model's scale to the old one's.
        """
        estimate = Estimate.learn_bridged(StandIns.of(old, new, bridge, units, seed), documents)
        some = np.random.default_rng(seed).permutation(len(old))[:STAND_INS]
        (old_mean, old_best), (new_mean, new_best) = _levels(old, some), _levels(new, some)
        slope = (old_best - old_mean) / (new_best - new_mean)
        return cls(estimate, slope, old_mean - slope * new_mean)

    def score(
        self,
        blend: Blend,
        query: Float32,
        folded: Float32,
        scores: tuple[Float32, Float32],
        old_rows: StoredRows | None,
        head: int,
    ) -> tuple[Float32, float]:
        """Scores of one query's candidates on the old model's scale, and the coverage.

        Args:
            blend: Of the same fade; its units are used.
            query: `(d2,)`, the new query.
            folded: `(d1,)`, what old rows are asked with for their bridged scores.
            scores: `(m,)` each: true new ones, NaN where there is none; and bridged ones, NaN where a document has no
                old row: it has a true score then, which stands for both.
            old_rows: `(m, d1)`; zeros where there is none. Not needed where every score is true.
            head: How many candidates the old version has given; they come first, best first.

        Raises:
            InvalidInput: A candidate has neither a true nor a bridged score.
        """
        true, bridged = scores
        # What the blend takes for old scores: bridged ones, as far above the mean as they are among new ones.
        (old_mean, old_deviation), (new_mean, new_deviation) = blend.old.moments(folded), blend.new.moments(query)
        found = (np.where(np.isnan(bridged), true, bridged).astype(np.float64) - new_mean) / new_deviation
        as_old = (old_mean + old_deviation * found).astype(np.float32)
        blend_of_new = dataclasses.replace(blend, estimate=self.estimate, full_weight=1.0, bounded=False)
        blended = blend_of_new.score(folded, query, as_old, true, bridged, head=head, old_rows=old_rows)
        standard = (blended.scores.astype(np.float64) - old_mean) / old_deviation
        result = self.intercept + self.slope * (new_mean + new_deviation * standard)
        if blend.bounded:
            result /= max(1.0, result.max(initial=0.0))
        return result.astype(np.float32), blended.coverage

    def save(self, folder: Path) -> None:
        """Write it into a folder, atomically.

        Raises:
            StorageFailed: The disk is full or failed.
        """
        line = np.array([self.intercept, self.slope])
        files.write(folder, _NAME, {"line": line}, {"estimate": dataclasses.asdict(self.estimate)})

    @classmethod
    def load(cls, folder: Path) -> OneSided:
        """Read what `save` wrote; where it wrote nothing, or what earlier versions did, do with the Bridge alone.

        Raises:
            DamagedFile: A file is missing, or differs from its checksum.
        """
        if not (folder / f"{_NAME}.json").exists():
            return cls()
        arrays, facts = files.read(folder, _NAME)
        if "lines" in arrays:
            return cls()
        with files.complete(folder, _NAME):
            intercept, slope = arrays["line"].tolist()
            return cls(Estimate(**facts["estimate"]), slope, intercept)


def _levels(rows: Float32, some: NDArray[np.int64]) -> tuple[float, float]:
    """What some of the rows `(n, d)` score against all others in the mean, and against those nearest to them."""
    scores = rows[some] @ rows.T
    own = np.arange(len(some)), some
    mean = (scores.sum(dtype=np.float64) - scores[own].sum(dtype=np.float64)) / (len(some) * (len(rows) - 1))
    scores[own] = -np.inf
    best = np.partition(scores, -depth_of(len(rows)), axis=1)[:, -depth_of(len(rows)) :]
    return float(mean), float(best.mean())

"""OneSided: scores for queries that only the new model has encoded, because the old one can't be called any more.

Two things are known of every document: the bridged score A (the query times the old row carried over) and the score B
of the query carried back times the old row itself. In standard units of the two Spaces the score is, on the scale of
z_new,

    s(d) = (1 − w) · u(d) + w · o(d),    w = c · (1 − c)

where u is z_new(d) where the document has a new vector, and elsewhere its estimate c0 + c1 · z_A + c2 · z_B; o is the
estimate of z_old from the same two; and c is the coverage of the query's candidates. Both estimates are learned as that
of a fade is: among stand-in queries' nearest documents, with maps that have not seen the pair. The correction for a
query and the benefit of the doubt are those of `search/blend.py`.

w is half the chance that of two candidates one has a new vector and the other has not: only between such two, which are
known by different means, is something gained by evidence that is of one kind for both. So nothing of it is left where
every candidate has its new vector: then the order is the new model's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade import kernels
from crossfade.bridge import Bridge, files, fitting
from crossfade.errors import InvalidInput

from .blend import Blend
from .estimate import FOLDS, STAND_INS, depth_of, nearest, standard_scores, taken
from .units import Float32, Float64, StandardUnits

Line = tuple[float, float, float]
# How many known errors the prior of no error is worth.
ERROR_PRIOR = 20.0
_NAME, _BACK = "onesided", "back"


@dataclasses.dataclass(frozen=True, eq=False)
class OneSided:
    """What is learned to do without the old model's queries; immutable.

    Args:
        back: From the new Space to the old one; None in what was saved without it: then B is left out.
        new: c0, c1 and c2 of the estimate of z_new.
        old: The same of the estimate of z_old.
        variance: Of the error of the first one.
    """

    back: Bridge | None = None
    new: Line = (0.0, 1.0, 0.0)
    old: Line = (0.0, 0.0, 0.0)
    variance: float = 0.0

    @classmethod
    def learn(
        cls,
        old: Float32,
        new: Float32,
        bridges: tuple[Bridge, Bridge],
        units: tuple[StandardUnits, StandardUnits],
        seed: int,
        more: fitting.Moments | None = None,
    ) -> OneSided:
        """Fit by least squares on paired rows `(n, d1)` and `(n, d2)` of a uniform sample; arguments as `Estimate`'s.

        `bridges` are the one from old to new and the one back.
        """
        random = np.random.default_rng(seed)
        fold = random.permutation(len(old)) % FOLDS
        kinds = [(it.quality.method, it.quality.regularisation) for it in bridges]
        carried = fitting.carry_unseen(old, new, kinds[0], fold, more)
        asking = fitting.carry_unseen(new, old, kinds[1], fold, more.reversed if more else None)
        some = random.permutation(len(old))[:STAND_INS]
        bridged = standard_scores(units[1], new, some, carried)
        back = standard_scores(units[0], asking, some, old)
        head = nearest(bridged + back, depth_of(len(old)))
        design = np.stack([np.ones(head.size), taken(bridged, head), taken(back, head)], axis=1)
        true_new = taken(standard_scores(units[1], new, some, new), head)
        true_old = taken(standard_scores(units[0], old, some, old), head)
        by_new, by_old = (np.linalg.lstsq(design, true, rcond=None)[0] for true in (true_new, true_old))
        variance = float(np.mean((true_new - design @ by_new) ** 2))
        return cls(bridges[1], _line(by_new), _line(by_old), variance)

    def carry_back(self, queries: Float32, bridge: Bridge) -> Float32:
        """New queries `(q, d2)` as old ones `(q, d1)`."""
        return self.back.apply(queries) if self.back else kernels.normalize(_folded(queries, bridge))

    def asked(self, queries: Float32, carried: Float32, bridge: Bridge, blend: Blend) -> Float32:
        """What to ask the old version with `(q, d1)`: unknown scores are nearly linear in the old row.

        They are but for the length of the carried rows, so this is good for candidates and not for scores.
        """
        bridged = _folded(queries, bridge)
        by_bridge = [self.new[1] / blend.new.sigma(query) for query in queries]
        by_back = [self.new[2] / blend.old.sigma(query) for query in carried]
        both = np.array(by_bridge)[:, None] * bridged + np.array(by_back)[:, None] * carried
        return kernels.normalize(np.ascontiguousarray(both, dtype=np.float32))

    def score(
        self,
        blend: Blend,
        query: Float32,
        carried: Float32,
        scores: tuple[Float32, Float32, Float32],
        head: int,
    ) -> tuple[Float32, float]:
        """Scores of one query's candidates on the old model's scale, and the coverage.

        Args:
            blend: Of the same fade; its units are used.
            query: `(d2,)`, the new query.
            carried: `(d1,)`, the query carried back.
            scores: True new ones, NaN where there is none; bridged ones; and old rows times `carried`. The latter two
                are NaN where a document has no old row; it has a true score then.
            head: How many candidates the old version has given; they come first, best first.

        Raises:
            InvalidInput: A candidate has neither a true nor a bridged score.
        """
        true, bridged = blend.new.z(query, scores[0]), blend.new.z(query, scores[1])
        back = blend.old.z(carried, scores[2])
        known = ~np.isnan(true)
        coverage = blend.coverage_of(known[:head])
        guess = self.new[0] + self.new[1] * bridged + self.new[2] * back
        errors = (true - guess)[:head]
        errors = errors[~np.isnan(errors)]
        guess += errors.sum() / (len(errors) + ERROR_PRIOR)
        evidence = np.where(known, true - self.variance * (1.0 - coverage), guess + self.variance * coverage)
        shared = coverage * (1.0 - coverage) if any(self.old) else 0.0
        common = self.old[0] + self.old[1] * bridged + self.old[2] * back
        blended = evidence + shared * np.where(np.isnan(common), 0.0, common - evidence)
        mean, deviation = blend.old.mu(carried), blend.old.sigma(carried)
        result: Float64 = mean + deviation * blend.estimate.scale * blended
        if not np.isfinite(result).all():
            raise InvalidInput("every candidate needs a true or a bridged score, but got NaN")
        if blend.bounded:
            result /= max(1.0, result.max(initial=0.0))
        return result.astype(np.float32), coverage

    def save(self, folder: Path) -> None:
        """Write the Bridge back and what belongs to it into a folder; nothing where there is none."""
        if self.back:
            self.back.save(folder, _BACK)
            files.write(folder, _NAME, {"lines": np.array([self.new, self.old])}, {"variance": self.variance})

    @classmethod
    def load(cls, folder: Path) -> OneSided:
        """Read what `save` wrote; where it wrote nothing, do without.

        Raises:
            DamagedFile: A file is missing, or differs from its checksum.
        """
        if not (folder / f"{_NAME}.json").exists():
            return cls()
        arrays, facts = files.read(folder, _NAME)
        with files.complete(folder, _NAME):
            new, old = arrays["lines"]
            return cls(Bridge.load(folder, _BACK), _line(new), _line(old), float(facts["variance"]))


def _folded(queries: Float32, bridge: Bridge) -> Float32:
    return np.ascontiguousarray(queries @ bridge.matrix.T)


def _line(values: NDArray[Any]) -> Line:
    intercept, bridged, back = (float(value) for value in values)
    return intercept, bridged, back

"""Draws: the new model's scores of documents that it has not embedded, by what they were where it has."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

# Draws of a query's missing scores, and the least pairs their distribution is learned from.
DRAWS, LEAST_PAIRS = 20, 100


@dataclasses.dataclass(frozen=True)
class Draws:
    """What new scores are drawn from: a linear estimate, and the residuals it left."""

    line: Numbers
    residuals: Numbers

    @property
    def pairs(self) -> int:
        return len(self.residuals)

    @property
    def residual(self) -> float:
        return float(self.residuals.std())

    def draw(self, features: Numbers, random: np.random.Generator) -> Numbers:
        """A score for each document."""
        drawn: Numbers = features @ self.line + random.choice(self.residuals, len(features))
        return drawn


def draws_of(features: Numbers, scores: Numbers) -> Draws | None:
    """What is learned from pairs of query and document: features `(n, f)` and true scores `(n,)`; None from too few."""
    if len(scores) < LEAST_PAIRS:
        return None
    line = np.linalg.lstsq(features, scores, rcond=None)[0].astype(np.float64)
    return Draws(line, scores - features @ line)

"""How close rows are to the reference's, and whether they depend on what else is in a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
# What is asked of every precision.
GATE = {"cosine_mean": 0.999, "cosine_min": 0.995, "recall": 0.98, "invariance": 1e-3}


def fidelity(rows: NDArray[Any], reference: NDArray[Any], alone: NDArray[Any]) -> dict[str, Any]:
    """Figures of rows `(n, dim)` against those of the reference, `(at least n, dim)`.

    `alone` are the first rows again, each text encoded in a call of its own. `recall` is the share of a document's ten
    nearest others that stay the same.
    """
    ours, theirs, single = unit(rows), unit(reference[: len(rows)]), unit(alone)
    cosines = np.einsum("ij,ij->i", ours, theirs)
    kept = [len(set(a) & set(b)) / len(b) for a, b in zip(nearest(ours), nearest(theirs), strict=True)]
    distances = 1.0 - np.einsum("ij,ij->i", single, ours[: len(single)])
    figures = {
        "cosine_mean": float(cosines.mean()),
        "cosine_p1": float(np.quantile(cosines, 0.01)),
        "cosine_min": float(cosines.min()),
        "recall": float(np.mean(kept)),
        "invariance": float(max(distances.max(), 0.0)),
    }
    return {**figures, "passed": passed(figures)}


def passed(figures: dict[str, float]) -> bool:
    """Whether the gate is."""
    low = all(figures[name] >= GATE[name] for name in ("cosine_mean", "cosine_min", "recall"))
    return low and figures["invariance"] <= GATE["invariance"]


def unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))


def nearest(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """The ten nearest other rows of each."""
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(rows) - 1)]

"""Form: what a graph keeps of a row to compare it by.

A graph only proposes, scores are computed from the rows themselves. So it need not keep float16: in int8 a comparison
reads half the bytes, and a search, which mostly waits for memory, takes two thirds of the time.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.index.vectors import Rows

_HIGHEST = 127
_SAMPLE = 8_192
# Values above that quantile are cut: of a few that are far from all others the many must not suffer.
_QUANTILE = 0.99999


@dataclasses.dataclass(frozen=True)
class Form:
    """How rows are written down in a graph.

    All rows of a graph are multiplied by the same number: the order of a query's dot products stays.

    Args:
        scale: What rows are multiplied by before they are rounded to int8; 0 where they stay float16.
    """

    scale: float = 0.0

    @classmethod
    def of(cls, rows: Rows) -> Form:
        """The int8 form that suits rows `(n, dim)`; float16 where there is no value but zeros to suit."""
        some = rows[:: max(1, len(rows) // _SAMPLE)]
        largest = float(np.quantile(np.abs(some.astype(np.float32)), _QUANTILE))
        return cls(_HIGHEST / largest if largest > 0.0 else 0.0)

    @property
    def dtype(self) -> str:
        """Its name in usearch."""
        return "i8" if self.scale else "f16"

    @property
    def of_rows(self) -> np.dtype[Any]:
        """What rows are kept in."""
        return np.dtype(np.int8 if self.scale else np.float16)

    @property
    def bytes_a_value(self) -> int:
        return self.of_rows.itemsize

    def rows(self, rows: Rows) -> NDArray[Any]:
        """Rows as the graph keeps them."""
        if not self.scale:
            return rows
        scaled = (rows.astype(np.float32) * np.float32(self.scale)).clip(-_HIGHEST, _HIGHEST)
        whole: NDArray[np.int8] = np.rint(scaled).astype(np.int8)
        return whole


FLOAT16 = Form()

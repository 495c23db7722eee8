"""Asked: the texts of one search, which may be made again before it answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossfade.encoder import Encoder

from .ranking import Rows


class Asked:
    """The texts of one search; no model encodes any of them twice, however often the search is made."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._rows: dict[str, dict[int, Rows]] = {}

    def encode(self, encoder: Encoder, positions: Sequence[int] | None = None) -> Rows:
        """Query rows `(n, dim)` float32 of all texts, or of those at some positions."""
        wanted = range(len(self._texts)) if positions is None else positions
        known = self._rows.setdefault(encoder.space.fingerprint, {})
        missing = [position for position in wanted if position not in known]
        if missing:
            rows = encoder.encode([self._texts[position] for position in missing], kind="query")
            known.update(zip(missing, rows, strict=True))
            if len(missing) == len(wanted):
                return rows
        return np.stack([known[position] for position in wanted])

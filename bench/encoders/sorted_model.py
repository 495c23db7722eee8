"""How a careful engineer feeds a runtime that gives hidden states: sorted batches of so many tokens, mean pooling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

MAX_TOKENS = 256


class SortedModel:
    """A contender made of a runtime.

    Args:
        folder: Holds tokenizer.json, which may ask for other truncation and for padding.
        budget: Padded tokens of a batch.
        run: From tokens and mask, both int64 `(batch, tokens)`, to hidden states `(batch, tokens, dim)`.
    """

    def __init__(self, folder: Path, budget: int, run: Callable[[Any, Any], Any], versions: dict[str, str]) -> None:
        self.versions = {**versions, "tokenizers": tokenizers.__version__}
        self._budget = budget
        self._run = run
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: list[str]) -> Any:
        rows: Any = None
        for chosen, tokens, mask in batches(self._ids(texts), self._budget):
            hidden = self._run(tokens, mask)
            rows = np.empty((len(texts), hidden.shape[2]), np.float32) if rows is None else rows
            rows[chosen] = mean_rows(hidden, mask)
        return rows

    def tokens(self, texts: list[str]) -> int:
        return sum(map(len, self._ids(texts)))

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]


def batches(ids: list[list[int]], budget: int) -> Iterator[tuple[list[int], Any, Any]]:
    """Indices, tokens and mask of every batch, longest texts first."""
    order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
    while order:
        longest = len(ids[order[0]])
        chosen = order[: max(1, budget // longest)]
        order = order[len(chosen) :]
        tokens, mask = (np.zeros((len(chosen), longest), np.int64) for _ in range(2))
        for row, index in enumerate(chosen):
            tokens[row, : len(ids[index])] = ids[index]
            mask[row, : len(ids[index])] = 1
        yield chosen, tokens, mask


def mean_rows(hidden: Any, mask: Any) -> Any:
    """Unit rows: the mean of the hidden states of real tokens."""
    sums = np.matmul(mask[:, None, :].astype(np.float32), hidden)[:, 0]
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)

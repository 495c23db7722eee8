"""Words: texts as rows of nothing but the words they have, to compare models with."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"\w+")


def word_rows(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Unit rows `(n, words)` of the words' counts, each times log(n / texts that have it) (Spärck Jones 1972).

    A text without words that others have too is a row of zeros.
    """
    numbers: dict[str, int] = {}
    each = [[numbers.setdefault(word, len(numbers)) for word in WORD.findall(text.casefold())] for text in texts]
    having = np.bincount([number for words in each for number in set(words)], minlength=len(numbers))
    shared = np.flatnonzero(having > 1)  # others decide the length of a row only
    columns = np.full(len(numbers), -1)
    columns[shared] = np.arange(len(shared))
    weights = np.log(len(texts) / np.maximum(having, 1))
    rows = np.zeros((len(texts), max(len(shared), 1)), np.float32)
    for row, words in enumerate(each):
        found, counts = np.unique(np.array(words, np.int64), return_counts=True)
        values = counts * weights[found]
        length = float(np.sqrt((values**2).sum()))
        common = columns[found] >= 0
        rows[row, columns[found[common]]] = values[common] / (length or 1.0)
    return rows

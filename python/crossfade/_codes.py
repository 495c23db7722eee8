"""Codes: one bit a value, by which rows are told apart roughly and very fast (binary quantization)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossfade._arrays import StoredRows

# Means are taken of so many rows, at equal distances.
_SAMPLE = 8_192
_ROWS_AT_ONCE = 4_096
_WORD, _ABREAST = 64, 8


class Codes(NamedTuple):
    """Of each value of a row, whether it is above the mean of its column.

    Rows alike have codes that differ in few bits (Charikar 2002, on hashing by signs); what all rows share, and would
    make their codes alike, is taken off before.

    Args:
        bits: `(⌈n / 8⌉, words, 8)` uint64, words = ⌈d / 64⌉: each word in turn of eight rows; zeros fill what is left.
        center: `(d,)` float32, the means, of rows whose root mean square length is 1.

    Example:
        graph = graph._replace(codes=Codes.of(graph.rows))
    """

    bits: npt.NDArray[np.uint64]
    center: npt.NDArray[np.float32]

    @classmethod
    def of(cls, rows: StoredRows) -> Codes:
        """The codes of rows `(n, d)`, n and d at least 1."""
        some = rows[:: max(1, len(rows) // _SAMPLE)].astype(np.float32)
        center = some.mean(axis=0)
        # A whole number is above the mean if it is above the whole number below: an eighth of the time.
        least = np.floor(center).astype(np.int8) if rows.dtype == np.int8 else center
        by_row = np.zeros((_blocks(len(rows)) * _ABREAST, _words(rows.shape[1])), np.uint64)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE].astype(least.dtype, copy=False)
            by_row[start : start + len(part)] = _packed(part > least)
        bits = by_row.reshape(-1, _ABREAST, by_row.shape[1]).transpose(0, 2, 1)
        length = np.sqrt(np.einsum("nd,nd->", some, some) / len(some))
        return cls(np.ascontiguousarray(bits), center / (length or np.float32(1.0)))

    def of_queries(self, queries: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
        """The codes of queries `(q, d)`, as if they were as long as rows are: `(q, words)` uint64."""
        lengths = np.sqrt(np.einsum("qd,qd->q", queries, queries))
        return _packed(queries > lengths[:, np.newaxis] * self.center)


def codes_size(n: int, d: int) -> int:
    """The bytes of the codes of rows `(n, d)`."""
    return _blocks(n) * _ABREAST * _words(d) * _WORD // 8


def _blocks(n: int) -> int:
    return -(-n // _ABREAST)


def _words(d: int) -> int:
    return -(-d // _WORD)


def _packed(above: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Bits `(n, d)` as words `(n, words)`."""
    packed = np.packbits(above, axis=1)
    words = np.zeros((len(above), _words(above.shape[1])), np.uint64)
    words.view(np.uint8)[:, : packed.shape[1]] = packed
    return words

"""Walks through graphs: the rows that are nearest to a query, along the links between rows that are near each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import crossfade._core as _core
from crossfade._arrays import StoredRows
from crossfade._codes import Codes
from crossfade.errors import DamagedFile, InvalidInput

_WANTED = (
    "queries must be float32 (q, d) as wide as the rows, count and expansion whole numbers from 1 to 2**24, and a "
    "graph consist of what Graph says"
)


class Graph(NamedTuple):
    """An HNSW graph (Malkov and Yashunin 2018) as it stands in a file.

    Args:
        rows: `(n, d)` float32, float16, bfloat16 or int8, what queries are compared with.
        records: `(bytes,)` uint8, one record a row: its key (8 bytes), its highest level (2), and for each level from
            the lowest how many links it has there (4) and room for them (4 each), which are places of rows.
        before: `(n,)` uint32, how many levels above the lowest all rows before each have together.
        lowest_links: For how many links there is room in the lowest level.
        links: The same of each other level.
        top: The highest level.
        entry: The row where walks begin.
        codes: Of its rows; where there are some, walks begin at the rows with the codes most like the query's too.
    """

    rows: StoredRows
    records: npt.NDArray[np.uint8]
    before: npt.NDArray[np.uint32]
    lowest_links: int
    links: int
    top: int
    entry: int
    codes: Codes | None = None


def walk(graph: Graph, queries: npt.NDArray[np.float32], count: int, expansion: int) -> npt.NDArray[np.uint64]:
    """The approximate nearest rows of each query, by dot product.

    The best `expansion` rows that were met are kept, and the links of each of them are followed, until none is left
    (algorithm 2 of the paper). All rows that one leads to are scored at once, and read from memory ahead of it: a walk
    mostly waits for memory.

    Args:
        graph: Where to look.
        queries: `(q, d)` float32, finite.
        count: How many to find, 1 to 2**24.
        expansion: How many to keep, 1 to 2**24; fewer than `count` count as that many.

    Returns:
        `(q, count)` uint64, keys by score descending, each once; 2**64 - 1 behind the last that was met.

    Raises:
        InvalidInput: An argument has another dtype or layout, or is out of range.
        DamagedFile: A link leads to no row, or a row has no such level.

    Example:
        keys = kernels.walk(graph, queries, count=100, expansion=200)
    """
    rows, records, before, lowest_links, links, top, entry, codes = graph
    shape = lowest_links, links, top, entry
    try:
        asked = codes.of_queries(queries) if codes else None
        bits = codes.bits if codes else None
        keys, sound = _core.walk(rows, records, before, shape, bits, queries, asked, count, expansion)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{error}; {_WANTED}") from error
    if not sound:
        raise DamagedFile("a graph leads out of itself: build it again from the rows")
    return keys

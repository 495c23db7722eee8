"""Reach: every row of a graph is led to.

A row with too many links gives some up (Malkov and Yashunin 2018, algorithm 1, line 17). Where none is left to the row
at the other end no walk comes there any more, and nobody would find its text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfade.kernels import Graph, walk

# Enough to meet one that has room: half of the room is free on average.
_NEAR, _EXPANSION = 64, 128
_NODES_AT_ONCE = 4_096
_KEY, _HEAD, _LINK = 8, 10, 4

Nodes = NDArray[np.int64]


def connect(graph: Graph) -> None:
    """Leads to each row that can't be reached from the entry, from the nearest one with room for a link.

    A row around which there is no room at all stays as it is.

    Args:
        graph: Its records are altered.

    Raises:
        DamagedFile: The graph leads out of itself.
    """
    while len(lonely := unreached(graph)):
        # From the entry along the lowest level: from higher ones it would come to what leads nobody anywhere.
        near = walk(
            graph._replace(top=0, codes=None), np.ascontiguousarray(graph.rows[lonely], np.float32), _NEAR, _EXPANSION
        )
        starts = _starts(graph)
        keys = _gathered(graph, starts, _KEY).view(np.uint64)[:, 0]
        order = np.argsort(keys)
        nodes = order[np.searchsorted(keys, near, sorter=order).clip(max=len(keys) - 1)]
        found = [starts[around[keys[around] == those]] for around, those in zip(nodes, near, strict=True)]
        if not sum(_lead(graph, records, node) for node, records in zip(lonely, found, strict=True)):
            return


def unreached(graph: Graph) -> Nodes:
    """The nodes that can't be reached from the entry along links of the lowest level."""
    starts, met = _starts(graph), np.zeros(len(graph.rows), bool)
    met[graph.entry] = True
    front = np.flatnonzero(met)
    while len(front):
        beyond = []
        for first in range(0, len(front), _NODES_AT_ONCE):
            at = starts[front[first : first + _NODES_AT_ONCE]] + _HEAD
            lists = _gathered(graph, at, _LINK * (1 + graph.lowest_links)).view(np.uint32)
            led_to = np.unique(lists[:, 1:][np.arange(graph.lowest_links) < lists[:, :1]])
            beyond.append(led_to[~met[led_to]])
            met[led_to] = True
        front = np.concatenate(beyond)
    return np.flatnonzero(~met)


def _lead(graph: Graph, starts: Nodes, node: int) -> bool:
    """A link to the node from the first of the records that has room."""
    for at in starts + _HEAD:
        count = int(graph.records[at : at + _LINK].view(np.uint32)[0])
        if count < graph.lowest_links:
            end = at + _LINK * (1 + count)
            graph.records[end : end + _LINK] = np.array([node], np.uint32).view(np.uint8)
            graph.records[at : at + _LINK] = np.array([count + 1], np.uint32).view(np.uint8)
            return True
    return False


def _starts(graph: Graph) -> Nodes:
    """Where the record of each node begins."""
    lowest, upper = (_LINK * (1 + links) for links in (graph.lowest_links, graph.links))
    return np.arange(len(graph.rows)) * (_HEAD + lowest) + graph.before.astype(np.int64) * upper


def _gathered(graph: Graph, starts: Nodes, size: int) -> NDArray[np.uint8]:
    """The bytes from each start on, `(n, size)`."""
    return np.lib.stride_tricks.sliding_window_view(graph.records, size)[starts]

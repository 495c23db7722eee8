"""Graphs as they stand in files, of random links."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade import kernels

LOWEST, LINKS = 8, 4


def graph_of(rows: npt.NDArray[Any], seed: int, *, all_linked: bool = False, top: int = 3) -> kernels.Graph:
    """Random links between rows of random levels; `all_linked`: besides, each row leads to the one behind it."""
    rng = np.random.default_rng(seed)
    levels = np.minimum(rng.geometric(0.6, len(rows)) - 1, top)
    records = []
    for node, highest in enumerate(levels.tolist()):
        record = (1_000 + 7 * node).to_bytes(8, "little") + highest.to_bytes(2, "little")
        for level in range(highest + 1):
            room = LINKS if level else LOWEST
            others = np.flatnonzero(levels >= level)
            chosen = rng.permutation(others)[: rng.integers(0, room, endpoint=True)].astype(np.uint32)
            if all_linked and level == 0:
                chosen = np.append(chosen[: LOWEST - 1], (node + 1) % len(rows)).astype(np.uint32)
            record += np.uint32(len(chosen)).tobytes() + chosen.tobytes() + b"\xff" * (4 * (room - len(chosen)))
        records.append(record)
    before = (np.cumsum(levels) - levels).astype(np.uint32)
    content = np.frombuffer(bytearray(b"".join(records)), np.uint8)
    return kernels.Graph(rows, content, before, LOWEST, LINKS, int(levels.max()), int(np.argmax(levels)))


def links_of(graph: kernels.Graph, node: int, level: int) -> list[int]:
    start = node * (14 + 4 * LOWEST) + int(graph.before[node]) * 4 * (1 + LINKS) + 10
    start += 4 * (1 + LOWEST) + (level - 1) * 4 * (1 + LINKS) if level else 0
    count = int.from_bytes(graph.records[start : start + 4].tobytes(), "little")
    return np.frombuffer(graph.records[start + 4 : start + 4 + 4 * count].tobytes(), np.uint32).astype(int).tolist()


def whole_rows(n: int, d: int, seed: int, dtype: Any) -> npt.NDArray[Any]:
    """Whole numbers, whose products are exact at every instruction set."""
    return np.random.default_rng(seed).integers(-120, 121, (n, d)).astype(dtype)

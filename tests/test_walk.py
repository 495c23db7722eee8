"""Walks through graphs, beside the algorithm in a few lines; and what a damaged graph can't do."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade import kernels
from crossfade.errors import DamagedFile, InvalidInput
from graphs import LOWEST, graph_of, links_of, whole_rows
from kernel_rows import LAYOUTS, LEVELS, SEEDS, examples, forced, laid_out

NO_KEY = 2**64 - 1


def walked(graph: kernels.Graph, query: npt.NDArray[np.float32], expansion: int) -> list[int]:
    """Malkov and Yashunin 2018, algorithms 5 and 2: the nodes that are kept, best first."""
    scores = graph.rows.astype(np.float64) @ query.astype(np.float64)
    at = graph.entry
    for level in range(graph.top, 0, -1):
        while (near := max([*links_of(graph, at, level), at], key=scores.__getitem__)) != at and scores[near] > scores[
            at
        ]:
            at = near
    seen, kept, opened = {at}, [at], set[int]()
    while left := [node for node in kept if node not in opened]:
        opened.add(left[0])
        for node in links_of(graph, left[0], 0):
            if node not in seen:
                seen.add(node)
                bisect.insort(kept, node, key=lambda other: -scores[other])
                kept = kept[:expansion]
    return kept


@pytest.mark.parametrize("level", LEVELS)
@given(
    n=st.sampled_from([1, 2, 5, 40, 130]),
    d=st.sampled_from([1, 3, 16, 33, 70]),
    dtype=st.sampled_from([np.int8, np.float16, np.float32]),
    layout=LAYOUTS,
    count=st.integers(1, 140),
    expansion=st.integers(1, 140),
    seed=SEEDS,
)
@examples
def test_a_walk_meets_what_the_algorithm_meets(
    level: str, n: int, d: int, dtype: Any, layout: tuple[int, int, bool], count: int, expansion: int, seed: int
) -> None:
    """The same rows with the same scores in the same order, padded with the key of none, for any layout of the rows."""
    graph = graph_of(laid_out(whole_rows(n, d, seed, dtype), layout), seed)
    queries = whole_rows(3, d, seed + 1, np.float32)
    with forced(level):
        found = kernels.walk(graph, queries, count, expansion)
    assert (found.shape, found.dtype) == ((3, count), np.uint64)
    for keys, query in zip(found.tolist(), queries, strict=True):
        nodes = [(key - 1_000) // 7 for key in keys if key != NO_KEY]
        scores, expected = graph.rows.astype(float) @ query, walked(graph, query, max(count, expansion))[:count]
        assert keys[len(nodes) :] == [NO_KEY] * (count - len(nodes))
        assert len(set(nodes)) == len(nodes) == len(expected)
        if len(set(scores.tolist())) == n:  # equal scores may lead another way
            assert nodes == expected


@given(seed=SEEDS)
@examples
def test_who_keeps_all_finds_all(seed: int) -> None:
    """Where every row can be reached and as many are kept as there are, the answer is that of exact search."""
    rows, query = whole_rows(60, 24, seed, np.int8), whole_rows(1, 24, seed + 1, np.float32)
    scores = rows.astype(float) @ query[0]
    found = kernels.walk(graph_of(rows, seed, all_linked=True), query, 10, 60)
    assert scores[(found[0].astype(int) - 1_000) // 7].tolist() == np.sort(scores)[::-1][:10].tolist()


@given(at=st.integers(0, 10**6), value=st.integers(0, 255), where=st.sampled_from(["records", "before"]), seed=SEEDS)
@examples
def test_a_damaged_graph_harms_nobody(at: int, value: int, where: str, seed: int) -> None:
    """Whatever a byte says, nothing beyond the file is read: the answer is of its keys, or the damage is told."""
    graph = graph_of(whole_rows(40, 8, seed, np.int8), seed)
    changed = np.array(getattr(graph, where)).view(np.uint8)
    changed[at % len(changed)] = value
    graph = graph._replace(**{where: changed.view(np.uint32) if where == "before" else changed})
    try:
        found = kernels.walk(graph, whole_rows(2, 8, seed + 1, np.float32), 5, 20)
    except DamagedFile:
        return
    assert found.shape == (2, 5)


def test_what_leads_out_of_a_graph_is_damage() -> None:
    """A link to no row, more links than there is room for, records that end too early."""
    graph = graph_of(whole_rows(40, 8, 3, np.int8), 3, all_linked=True)
    query = whole_rows(1, 8, 4, np.float32)
    first = np.flatnonzero(graph.before == 0)[-1]  # rows before it have no upper level
    start = int(graph.entry if graph.top == 0 else first) * (14 + 4 * LOWEST) + 10
    for place, number in ((start, LOWEST + 1), (start + 4, 40)):
        content = graph.records.copy()
        content[place : place + 4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8)
        with pytest.raises(DamagedFile, match="build it again"):
            kernels.walk(graph._replace(records=content), query, 40, 40)
    with pytest.raises(DamagedFile, match="build it again"):
        kernels.walk(graph._replace(records=graph.records[:-30]), query, 40, 40)


def test_scores_that_are_none_are_passed_over() -> None:
    """A row whose score is NaN, as its values are too large to be multiplied, is never found, nor in the way."""
    rows = whole_rows(50, 8, 1, np.float32)
    rows[7] = [3e38, -3e38] * 4
    graph = graph_of(rows, 1, all_linked=True)
    query = np.full((1, 8), 1e30, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(rows[7] @ query[0])
    found = kernels.walk(graph, query, 49, 50)[0]
    assert 1_000 + 7 * 7 not in found.tolist()
    assert NO_KEY not in found.tolist()


@pytest.mark.parametrize(
    "broken",
    [
        {"queries": np.ones((1, 9), np.float32)},
        {"queries": np.ones((1, 8))},
        {"queries": np.ones(8, np.float32)},
        {"count": 0},
        {"count": True},
        {"expansion": 2**24 + 1},
        {"entry": 40},
        {"entry": -1},
        {"links": 1_025},
        {"top": 2**64},
        {"before": np.zeros(39, np.uint32)},
        {"before": np.zeros(40, np.int64)},
        {"records": np.zeros((2, 2), np.uint8)},
        {"rows": np.zeros((0, 8), np.int8)},
        {"rows": np.zeros((40, 8), np.float64)},
    ],
)
def test_what_can_not_be_walked_is_refused(broken: dict[str, Any]) -> None:
    """Shapes, dtypes and numbers that don't fit, before anything is read."""
    graph = graph_of(whole_rows(40, 8, 0, np.int8), 0)
    asked: dict[str, Any] = {"queries": np.ones((1, 8), np.float32), "count": 3, "expansion": 9}
    inside = {name: value for name, value in broken.items() if name in graph._fields}
    asked |= {name: value for name, value in broken.items() if name not in inside}
    with pytest.raises(InvalidInput, match="Graph says"):
        kernels.walk(graph._replace(**inside), **asked)

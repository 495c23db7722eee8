"""Reach: the rows that a walk through a graph can come to at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crossfade import kernels
from crossfade.index import graph, segment_path
from crossfade.index.reach import connect, unreached
from graphs import LOWEST, graph_of, links_of, whole_rows
from kernel_rows import SEEDS, examples
from segments import built, normalized, numbered


def left_out(of: kernels.Graph) -> list[int]:
    """The oracle: one node after the other."""
    met, front = {of.entry}, [of.entry]
    while front:
        fresh = set(links_of(of, front.pop(), 0)) - met
        met |= fresh
        front += fresh
    return sorted({*range(len(of.rows))} - met)


@given(n=st.sampled_from([1, 2, 5, 40, 130]), seed=SEEDS)
@examples
def test_rows_that_nothing_leads_to_are_found(n: int, seed: int) -> None:
    """Those that a search from node to node does not meet either."""
    of = graph_of(whole_rows(n, 8, seed, np.int8), seed)
    assert unreached(of).tolist() == left_out(of)


@given(n=st.sampled_from([1, 2, 5, 40, 60]), seed=SEEDS)
@examples
def test_each_row_is_led_to_while_there_is_room(n: int, seed: int) -> None:
    """Links are only added, and within their room; some are left out only where all that are met have no room."""
    of = graph_of(whole_rows(n, 8, seed, np.int8), seed)
    before = [links_of(of, node, 0) for node in range(n)]
    connect(of)
    after = [links_of(of, node, 0) for node in range(n)]
    assert all(new[: len(old)] == old and len(new) <= LOWEST for old, new in zip(before, after, strict=True))
    assert all(node not in new[len(old) :] for node, (old, new) in enumerate(zip(before, after, strict=True)))
    out = {*left_out(of)}
    assert not out or all(len(links) == LOWEST for node, links in enumerate(after) if node not in out)


def test_segments_lead_to_all_their_rows(tmp_path: Path) -> None:
    """Of 3,000 rows, some nearer to what all have in common, usearch's own graph leaves dozens out."""
    rng = np.random.default_rng(0)
    keys, rows = numbered(3_000, 5), normalized(rng.standard_normal((3_000, 64)) + 4 * rng.random((3_000, 1)))
    info = built(tmp_path, keys, rows)
    path = segment_path(tmp_path, info.name)
    of = graph.new_graph(64, info.form)
    graph.add(of, info.form, keys, rows, 1)
    content = np.frombuffer(graph.serialize(of), np.uint8)

    assert len(unreached(graph.read(content, path, 3_000, 64, info.form))) > 24
    assert not len(unreached(graph.view(path, 3_000, 64, info.form)))

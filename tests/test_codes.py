"""Codes of rows, beside bits counted one by one; and walks that begin at the rows with the nearest codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade import kernels
from crossfade.errors import InvalidInput
from crossfade.index import graph, segment_path
from crossfade.kernels import Codes
from graphs import LOWEST, graph_of, whole_rows
from kernel_rows import LEVELS, SEEDS, WIDTHS, examples, forced
from segments import built, clusters, normalized, numbered

OVERSAMPLING = 8  # as cpp/kernels/walk.h says


def bits_of(codes: Codes, n: int, d: int) -> npt.NDArray[np.bool_]:
    """Row by row, value by value."""
    words = np.array([[codes.bits[i // 8, w, i % 8] for w in range(codes.bits.shape[1])] for i in range(n)])
    return np.unpackbits(words.view(np.uint8), axis=1)[:, :d].astype(bool)


def unlinked(rows: npt.NDArray[Any]) -> kernels.Graph:
    """A graph of which no row leads to another: what is found is what the walk begins with."""
    of = graph_of(rows, 0, top=0)
    records = of.records.reshape(len(rows), 14 + 4 * LOWEST).copy()
    records[:, 10:14] = 0
    return of._replace(records=records.ravel(), codes=Codes.of(rows))


@given(
    n=st.sampled_from([1, 2, 7, 8, 9, 130]),
    d=WIDTHS,
    dtype=st.sampled_from([np.int8, np.float16, np.float32]),
    seed=SEEDS,
)
@examples
def test_a_bit_says_whether_a_value_is_above_the_mean(n: int, d: int, dtype: Any, seed: int) -> None:
    """Of its column; of a query, above the mean of rows as long as it is. What is left of a word is zero."""
    rows, queries = whole_rows(n, d, seed, dtype), whole_rows(3, d, seed + 1, np.float32)
    codes = Codes.of(rows)
    exact = rows.astype(np.float64)
    mean = exact.mean(axis=0)
    told = np.abs(exact - mean) > 1e-3  # float32 can tell them apart
    assert (bits_of(codes, n, d) == (exact > mean))[told].all()
    assert int(np.bitwise_count(codes.bits).sum()) == int(bits_of(codes, n, d).sum())
    assert codes.bits.nbytes == kernels.codes_size(n, d)
    length = np.sqrt((exact**2).sum(axis=1).mean()) or 1.0
    threshold = np.linalg.norm(queries, axis=1, keepdims=True) * mean / length
    asked = np.unpackbits(codes.of_queries(queries).view(np.uint8), axis=1)[:, :d].astype(bool)
    told = np.abs(queries - threshold) > 1e-3
    assert (asked == (queries > threshold))[told].all()


@pytest.mark.parametrize("level", LEVELS)
@given(
    n=st.sampled_from([1, 9, 40, 300, 2_000]),
    d=st.sampled_from([1, 63, 64, 65, 384]),
    count=st.integers(1, 40),
    seed=SEEDS,
)
@examples
def test_a_walk_begins_at_the_nearest_codes(level: str, n: int, d: int, count: int, seed: int) -> None:
    """At eight for each row that is wanted, of equally near ones the first, and at the entry: their best are found."""
    of, queries = unlinked(whole_rows(n, d, seed, np.int8)), whole_rows(2, d, seed + 1, np.float32)
    assert of.codes is not None
    differing = (
        bits_of(of.codes, n, d)[np.newaxis]
        != np.unpackbits(of.codes.of_queries(queries).view(np.uint8), axis=1).astype(bool)[:, np.newaxis, :d]
    )
    begun = np.argsort(differing.sum(axis=2), axis=1, kind="stable")[:, : OVERSAMPLING * count]
    with forced(level):
        found = kernels.walk(of, queries, count, count)
    for keys, alike, query in zip(found, begun, queries, strict=True):
        nodes = np.union1d(alike, of.entry)
        scores = np.sort(of.rows[nodes].astype(np.float64) @ query)[::-1][:count]
        met = (keys[: len(scores)].astype(int) - 1_000) // 7
        assert len(set(met.tolist())) == len(scores)
        assert (of.rows[met].astype(np.float64) @ query).tolist() == scores.tolist()
        assert (keys[len(scores) :] == kernels.PADDING_KEY).all()


def test_who_wants_an_eighth_of_the_rows_gets_the_best_of_all() -> None:
    """Whatever links there are."""
    of, query = unlinked(whole_rows(320, 24, 5, np.int8)), whole_rows(1, 24, 6, np.float32)
    found = kernels.walk(of, query, 40, 40)
    scores = of.rows.astype(np.float64) @ query[0]
    assert scores[(found[0].astype(int) - 1_000) // 7].tolist() == np.sort(scores)[::-1][:40].tolist()


def test_codes_find_what_links_don_t_lead_to(tmp_path: Path) -> None:
    """Among rows in clusters, of the ten best, less than a fifth is missed of what walks from one row miss."""
    rng = np.random.default_rng(0)
    around = rng.standard_normal((40, 64))[rng.integers(0, 40, 8_300)]
    rows, keys = normalized(around + rng.standard_normal((8_300, 64)) / 4), numbered(8_000, 5)
    rows, queries = rows[:8_000], rows[8_000:].astype(np.float32)
    info = built(tmp_path, keys, rows)
    opened = graph.view(segment_path(tmp_path, info.name), 8_000, 64, info.form)
    best = keys[np.argsort(-(queries @ rows.astype(np.float32).T), axis=1)[:, :10]]

    def missed(of: kernels.Graph) -> int:
        near = graph.search(of, tmp_path, queries, 26, 26)
        return sum(len(np.setdiff1d(*pair)) for pair in zip(best, near, strict=True))

    assert 5 * missed(opened) < missed(opened._replace(codes=None))


def test_graphs_too_large_have_no_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look through theirs would take longer than to walk."""
    info = built(tmp_path, numbered(800, 5), clusters(800, 64, 3))
    path = segment_path(tmp_path, info.name)
    assert graph.view(path, 800, 64, info.form).codes is not None
    monkeypatch.setattr(graph, "CODES_SIZE", kernels.codes_size(800, 64) - 1)
    assert graph.view(path, 800, 64, info.form).codes is None


@pytest.mark.parametrize(
    "codes",
    [
        Codes(np.zeros((5, 1, 8), np.int64), np.zeros(8, np.float32)),
        Codes(np.zeros((4, 1, 8), np.uint64), np.zeros(8, np.float32)),
        Codes(np.zeros((5, 2, 8), np.uint64), np.zeros(8, np.float32)),
        Codes(np.zeros((5, 1, 8), np.uint64), np.zeros(9, np.float32)),
        Codes(np.zeros((5, 0, 8), np.uint64), np.zeros(8, np.float32)),
        Codes(np.zeros((5, 1, 16), np.uint64)[:, :, ::2], np.zeros(8, np.float32)),
        Codes(np.zeros((5, 8), np.uint64), np.zeros(8, np.float32)),
    ],
)
def test_codes_of_other_rows_are_refused(codes: Codes) -> None:
    """Shapes, dtypes and layouts that don't fit the rows, before anything is read."""
    of = graph_of(whole_rows(40, 8, 0, np.int8), 0)._replace(codes=codes)
    with pytest.raises(InvalidInput, match="Graph says"):
        kernels.walk(of, np.ones((1, 8), np.float32), 3, 9)

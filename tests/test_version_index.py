"""A version's index: answers that don't depend on where a row stands."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import InvalidInput
from crossfade.index import (
    NO_KEY,
    Locations,
    OpenSegment,
    RowRange,
    VersionIndex,
)
from segments import DIM, built, clusters, exact, numbered, opened, unit_rows, version_of


@settings(deadline=None, max_examples=60)
@given(data=st.data(), files=st.lists(st.integers(0, 40), min_size=1, max_size=3), seed=st.integers(0, 2**32 - 1))
def test_candidates_are_those_of_exact_search(data: st.DataObject, files: list[int], seed: int) -> None:
    """Sealed or not, in whatever file, dead or not allowed: the keys and scores are those of a scan of everything."""
    rng = np.random.default_rng(seed)
    total = sum(files)
    every_key, every_row = rng.permutation(numbered(2 * total))[:total], unit_rows(total, seed=seed)
    dead, allowed = (
        data.draw(st.none() | st.sampled_from([rng.random(length) < 0.4 for length in (0, total, 3 * total)]))
        for _ in range(2)
    )
    count = data.draw(st.integers(1, 12))
    locations, rows, segments, tail, at = Locations(), {}, [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        for number, size in enumerate(files):
            keys, rows[number] = every_key[at : at + size], every_row[at : at + size]
            at += size
            locations.add(number, keys, 0)
            sealed = data.draw(st.integers(0, size))
            if sealed:
                segments.append(opened(folder, built(folder, keys[:sealed], rows[number][:sealed])))
            tail.append(RowRange(number, sealed, size))
        version = VersionIndex(DIM, locations, rows, segments, tail)
        queries = unit_rows(3, seed=seed + 1).astype(np.float32)
        found, scores = version.candidates(queries, count, dead, allowed)

    is_dead = {*np.flatnonzero(dead).tolist()} if dead is not None else set()
    may_be = {*np.flatnonzero(allowed).tolist()} if allowed is not None else {*every_key.tolist()}
    left = np.array([key in may_be - is_dead for key in every_key.tolist()], bool)
    assert found.shape == scores.shape == (3, count)
    assert found.dtype == np.uint64
    assert scores.dtype == np.float32
    for near, score, query in zip(found.tolist(), scores, queries, strict=True):
        product = dict(zip(every_key.tolist(), every_row.astype(np.float64) @ query, strict=True))
        best = sorted((product[key] for key in every_key[left].tolist()), reverse=True)[:count]
        assert len({*near[: len(best)]} & {*every_key[left].tolist()}) == len(best)
        # By score, not by key: rows whose scores differ by less than float32 can tell may change places.
        np.testing.assert_allclose(score[: len(best)], best, atol=1e-5)
        np.testing.assert_allclose([product[key] for key in near[: len(best)]], best, atol=1e-5)
        assert near[len(best) :] == [NO_KEY] * (count - len(best))
        assert np.isneginf(score[len(best) :]).all()


@pytest.mark.parametrize("gone", [300, 4000, 24_990, 25_000])
def test_tombstones_widen_the_search(big: tuple[VersionIndex, npt.NDArray[np.float16]], gone: int) -> None:
    """With the nearest 300, 4,000 or all but ten rows dead, the ten best of the rest are found; of none, none."""
    version, rows = big
    query = rows[17].astype(np.float32)
    nearest = np.array(exact(numbered(len(rows)), rows, query, gone), np.int64)
    dead = np.zeros(len(rows), np.bool_)
    dead[nearest] = True

    found, _ = version.candidates(query[np.newaxis], 10, dead)

    left = np.flatnonzero(~dead)
    expected = exact(left.astype(np.uint64), rows[left], query, 10)
    assert len(set(found[0].tolist()) & set(expected)) >= 0.9 * len(expected)
    assert not dead[found[found != NO_KEY].astype(np.int64)].any()


@pytest.mark.parametrize("share", [0.001, 0.5, 0.9])
def test_filters_widen_the_search(big: tuple[VersionIndex, npt.NDArray[np.float16]], share: float) -> None:
    """Few or many rows allowed, and the query's neighbours not among them: ten allowed rows are found, the best."""
    version, rows = big
    queries = rows[[3, 99]].astype(np.float32)
    allowed = np.random.default_rng(0).random(len(rows)) < share
    allowed[np.array(exact(numbered(len(rows)), rows, queries[0], 2000), np.int64)] = False

    found, _ = version.candidates(queries, 10, None, allowed)

    left = np.flatnonzero(allowed)
    for near, query in zip(found, queries, strict=True):
        expected = exact(left.astype(np.uint64), rows[left], query, 10)
        assert len(set(near.tolist()) & set(expected)) >= 0.9 * len(expected)


def test_graphs_are_asked_by_rows_and_not_by_keys(
    big: tuple[VersionIndex, npt.NDArray[np.float16]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that have no row don't make a filter's search any deeper; where it would be too deep all rows are scored."""
    version, rows = big
    asked, search = [], OpenSegment.search

    def counted(segment: OpenSegment, queries: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.uint64]:
        asked.append(count)
        return search(segment, queries, count)

    monkeypatch.setattr(OpenSegment, "search", counted)
    query = rows[[3]].astype(np.float32)
    allowed = np.random.default_rng(0).random(len(rows)) < 0.9
    longer = np.concatenate([allowed, np.zeros(20 * len(rows), np.bool_)])
    first, then = (version.candidates(query, 10, None, mask)[0].tolist() for mask in (allowed, longer))
    assert first == then
    assert max(asked) < 1.3 * min(asked)
    asked.clear()
    found, _ = version.candidates(query, 3_000, None, allowed)
    left = np.flatnonzero(allowed)
    assert not asked
    assert found[0].tolist() == exact(left.astype(np.uint64), rows[left], query[0], 3_000)


def test_a_long_tail_is_scanned_whole(big: tuple[VersionIndex, npt.NDArray[np.float16]]) -> None:
    """Without its segment, say because that was damaged, a version gives the answers of an exact search."""
    _, rows = big
    version = version_of(numbered(len(rows)), rows)
    queries = rows[[3, 24_000]].astype(np.float32)

    found, scores = version.candidates(queries, 30)

    for near, score, query in zip(found, scores, queries, strict=True):
        products = np.sort(rows.astype(np.float64) @ query)[::-1]
        np.testing.assert_allclose(score, products[:30], atol=1e-5)
        assert len(set(near.tolist())) == 30


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> tuple[VersionIndex, npt.NDArray[np.float16]]:
    """25,000 rows, more than are ever scanned for a filter, of which the last 200 are not sealed."""
    folder = tmp_path_factory.mktemp("big")
    rows = clusters(25_000, 16, 2)
    info = built(folder, numbered(24_800), rows[:24_800])
    return version_of(numbered(25_000), rows, (opened(folder, info, 16),), 24_800), rows


def test_a_segment_with_more_than_its_share_is_asked_again(tmp_path: Path) -> None:
    """Where the best rows of a query stand together in the smallest of three segments, all of them are found."""
    rows = clusters(6_000, 16, 5)
    query = rows[:1].astype(np.float32)
    rows = rows[np.argsort(-(rows.astype(np.float32) @ query[0]), kind="stable")]
    keys = numbered(len(rows))
    parts = slice(0, 300), slice(300, 3_000), slice(3_000, 6_000)
    segments = tuple(opened(tmp_path, built(tmp_path, keys[part], rows[part]), 16) for part in parts)
    version = version_of(keys, rows, segments, len(rows))

    found, scores = version.candidates(np.concatenate([query, -query]), 100)

    assert len({*found[0].tolist()} & {*range(100)}) >= 98
    assert len({*found[1].tolist()} & {*range(5_900, 6_000)}) >= 90
    np.testing.assert_array_equal(scores[0], version.scores(found[0], query[0]))


def test_equal_scores_are_ordered_by_key(tmp_path: Path) -> None:
    """Where rows are equal the lower key comes first, whether the rows are sealed or not."""
    keys = np.array([9, 2, 7, 4, 1, 8], np.uint64)
    rows = np.repeat(unit_rows(1), 6, axis=0)
    segment = opened(tmp_path, built(tmp_path, keys[:3], rows[:3]))

    found, scores = version_of(keys, rows, (segment,), 3).candidates(unit_rows(1).astype(np.float32), 6)

    assert found[0].tolist() == [1, 2, 4, 7, 8, 9]
    assert len(set(scores[0].tolist())) == 1


def test_a_row_in_segment_and_tail_counts_once(tmp_path: Path) -> None:
    """A tail that overlaps a segment, as just after sealing, gives no key twice."""
    rows = unit_rows(20)
    segment = opened(tmp_path, built(tmp_path, numbered(20), rows))

    found, _ = version_of(numbered(20), rows, (segment, segment), 10).candidates(rows[:2].astype(np.float32), 20)

    assert np.sort(found, axis=1).tolist() == [list(range(20))] * 2


def test_scores_are_exact_and_nan_where_there_is_no_row() -> None:
    """For one query a vector, for several a matrix, in the order asked for."""
    rows, queries = unit_rows(30), unit_rows(3, seed=4).astype(np.float32)
    version = version_of(numbered(30, 5), rows)
    keys = np.array([7, 1000, 34, 7, 0], np.uint64)

    scores = version.scores(keys, queries)

    expected = queries @ rows.astype(np.float32)[[2, 29, 2]].T
    np.testing.assert_allclose(scores[:, [0, 2, 3]], expected, atol=1e-5)
    assert np.isnan(scores[:, [1, 4]]).all()
    np.testing.assert_array_equal(version.scores(keys, queries[1]), scores[1])
    assert version.scores(keys[:0], queries).shape == (3, 0)
    assert version.has(keys).tolist() == [True, False, True, True, False]


def test_gathering_gives_rows_or_says_which_are_missing() -> None:
    """Rows come back as float32 in the order asked for; a key without one is an error, or zeros."""
    rows = unit_rows(30)
    version = version_of(numbered(30, 5), rows)

    np.testing.assert_array_equal(version.gather(np.array([9, 5], np.uint64)), rows[[4, 0]].astype(np.float32))
    assert version.gather(numbered(0)).shape == (0, DIM)
    with pytest.raises(InvalidInput, match="key 1000 of 2 has no row in this version"):
        version.gather(np.array([9, 1000], np.uint64))
    np.testing.assert_array_equal(version.stored_or_zeros(np.array([1000, 9], np.uint64)), [0 * rows[4], rows[4]])


def test_a_version_does_not_see_what_came_later() -> None:
    """A snapshot of four rows stays one of four rows when its shared locations learn of more."""
    rows, locations = unit_rows(6), Locations()
    locations.add(0, numbered(4), 0)
    version = VersionIndex(DIM, locations, {0: rows[:4]}, [], [RowRange(0, 0, 4)])
    locations.add(0, numbered(2, 4), 4)
    locations.add(1, numbered(5000, 100), 0)

    found, _ = version.candidates(rows[:1].astype(np.float32), 10)

    assert np.sort(found[0][:4]).tolist() == [0, 1, 2, 3]
    assert (found[0][4:] == NO_KEY).all()
    assert version.has(numbered(6)).tolist() == [True] * 4 + [False] * 2
    assert (len(version), version.dim) == (4, DIM)


def test_an_empty_version_answers() -> None:
    """Without any rows, and without any queries, answers have their shapes."""
    empty = VersionIndex(DIM, Locations(), {})
    mask = np.ones(3, np.bool_)

    assert (empty.candidates(np.ones((2, DIM), np.float32), 3)[0] == NO_KEY).all()
    assert (empty.candidates(np.ones((2, DIM), np.float32), 3, mask, mask)[0] == NO_KEY).all()
    assert version_of(numbered(4), unit_rows(4)).candidates(np.ones((0, DIM), np.float32), 3)[0].shape == (0, 3)


def test_many_queries_are_answered_as_one_is() -> None:
    """A batch larger than what is worked on at once gives what its queries give alone."""
    version = version_of(numbered(50), unit_rows(50))
    queries = unit_rows(600, seed=3).astype(np.float32)

    keys, scores = version.candidates(queries, 4)

    for place in (0, 255, 256, 599):
        alone = version.candidates(queries[place : place + 1], 4)
        np.testing.assert_array_equal(keys[place], alone[0][0])
        np.testing.assert_array_equal(scores[place], alone[1][0])


def test_queries_must_be_finite() -> None:
    """A NaN query would find ten confident keys."""
    with pytest.raises(InvalidInput, match="finite"):
        version_of(numbered(4), unit_rows(4)).candidates(np.full((1, DIM), np.nan, np.float32), 3)


@settings(deadline=None)
@given(
    adds=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30) | st.integers(4_000, 9_000)), max_size=8),
    settled=st.integers(0, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_locations_know_every_row(adds: list[tuple[int, int]], settled: int, seed: int) -> None:
    """Whatever the order and size of what is added, and however much of it stands in segments, each key is found at its
    row, and each row has its key."""
    rng = np.random.default_rng(seed)
    locations, stored = Locations(), {file_no: numbered(0) for file_no in range(4)}
    for file_no, count in adds:
        added = sum(map(len, stored.values()))
        keys = rng.permutation(numbered(count, added)) * np.uint64(7)
        locations.add(file_no, keys, len(stored[file_no]))
        stored[file_no] = np.concatenate([stored[file_no], keys])
        locations.settle(file_no, len(stored[file_no]) * settled // 4)

    np.testing.assert_array_equal(locations.known(), np.sort(np.concatenate(list(stored.values()))))
    for file_no, keys in stored.items():
        files, rows = locations.find(keys)
        assert (files == file_no).all()
        np.testing.assert_array_equal(rows, np.arange(len(keys)))
        for start, stop in (
            (0, len(keys)),
            (min(len(keys), len(keys) * settled // 4), len(keys)),
            (len(keys) // 3, len(keys) // 2),
        ):
            np.testing.assert_array_equal(locations.keys(RowRange(file_no, start, stop)), keys[start:stop])
    strangers = np.array([1, 2**40], np.uint64)
    assert locations.find(strangers)[0].tolist() == [-1, -1]
    with pytest.raises(InvalidInput):
        locations.add(2**31, numbered(1), 0)

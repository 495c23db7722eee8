"""The classic merges of two lists: against plain dicts, and through a collection half of which is re-embedded."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossfade as cf
from crossfade.errors import EncoderMissing, InvalidInput
from crossfade.search.merges import MERGES, NAMES, Found, convex, minmax, rrf, zscore
from support import filled, text_of

List = list[tuple[int, float]]
Parts = Callable[[List], dict[int, float]]

COUNT = 600
QUERIES = [text_of(number, words=6) for number in range(5_000, 5_020)]


def rrf_parts(ranked: List) -> dict[int, float]:
    return {key: 1.0 / (60 + rank) for rank, (key, _) in enumerate(ranked, 1)}


def ranged_parts(ranked: List, least: float | None = None) -> dict[int, float]:
    scores = [score for _, score in ranked]
    low = min(scores, default=0.0) if least is None else least
    if len(scores) and max(scores) > low:
        return {key: (score - low) / (max(scores) - low) for key, score in ranked}
    return {key: 1.0 for key, _ in ranked}


def standard_parts(ranked: List) -> dict[int, float]:
    scores = [score for _, score in ranked]
    if len(set(scores)) <= 1:
        return {key: 0.0 for key, _ in ranked}
    mean, deviation = statistics.fmean(scores), statistics.pstdev(scores)
    return {key: (score - mean) / deviation for key, score in ranked}


ORACLES: dict[str, Parts] = {
    "rrf": rrf_parts,
    "minmax": ranged_parts,
    "zscore": standard_parts,
    "convex": lambda ranked: {key: 0.5 * part for key, part in ranged_parts(ranked, -1.0).items()},
}


def found(ranked: List, least: float | None = -1.0) -> Found:
    keys = np.array([key for key, _ in ranked], np.uint64)
    return Found(keys, np.array([score for _, score in ranked], np.float32), least)


def lists(least: int = 0, most: int = 30) -> st.SearchStrategy[List]:
    """Ranked lists as an index gives them: none twice, best first, ties by key; often with equal scores."""
    scores = st.integers(-100, 100).map(lambda number: float(np.float32(number / 100)))
    return st.dictionaries(st.integers(least, most), scores, max_size=20).map(
        lambda values: sorted(values.items(), key=lambda item: (-item[1], item[0]))
    )


@pytest.mark.parametrize("name", MERGES)
@given(old=lists(), new=lists())
def test_merges_are_what_they_are_called(name: str, old: List, new: List) -> None:
    """Every document once, with the sum of what each list gives it; best first, ties by key. Lists may be empty."""
    merged = MERGES[name](found(old), found(new))
    parts = [ORACLES[name](old), ORACLES[name](new)]
    expected = {key: sum(part.get(key, 0.0) for part in parts) for part in parts for key in part}
    assert len(merged.keys) == len(set(merged.keys.tolist())) == len(expected)
    for key, score in zip(merged.keys.tolist(), merged.scores.tolist(), strict=True):
        assert score == pytest.approx(expected[key], abs=1e-9)
    pairs = list(zip((-merged.scores).tolist(), merged.keys.tolist(), strict=True))
    assert pairs == sorted(pairs)


@pytest.mark.parametrize("name", MERGES)
@given(old=lists(), new=lists())
def test_one_list_keeps_its_order(name: str, old: List, new: List) -> None:
    """Where one version finds nothing, the other's ranking stands."""
    assert MERGES[name](found(old), found([])).keys.tolist() == [key for key, _ in old]
    assert MERGES[name](found([]), found(new)).keys.tolist() == [key for key, _ in new]


@given(old=lists(0, 99), new=lists(100, 199))
def test_rrf_of_disjoint_lists_is_half_and_half(old: List, new: List) -> None:
    """Whatever the scores are, the first 2 n are n of either list: what makes it wrong during a migration."""
    both = min(len(old), len(new))
    first = rrf(found(old), found(new)).keys[: 2 * both]
    assert int((first < 100).sum()) == both


def test_what_minmax_and_zscore_depend_on() -> None:
    """The worst of a list, which nobody looks at, moves every score of minmax and zscore, but none of convex."""
    old, new = [(1, 0.8), (2, 0.7), (3, 0.6)], [(11, 0.5), (12, 0.45), (13, 0.44)]
    longer = [*new, (14, 0.1)]
    for merge, changed in ((minmax, True), (zscore, True), (convex, False), (rrf, False)):
        short, long = (merge(found(old), found(it)).keys.tolist() for it in (new, longer))
        assert ([key for key in long if key != 14] != short) == changed, merge.__name__


def test_weights_of_convex() -> None:
    """A weight of 1 puts the old list behind, of 0 the new one; without a least score the worst of a list is it."""
    old, new = [(1, 0.8), (2, 0.7)], [(11, 0.5), (12, 0.4)]
    assert convex(found(old), found(new), 1.0).keys.tolist() == [11, 12, 1, 2]
    assert convex(found(old), found(new), 0.0).keys.tolist() == [1, 2, 11, 12]
    dot = convex(found(old, None), found(new, None))
    assert dict(zip(dot.keys.tolist(), dot.scores.tolist(), strict=True)) == {1: 0.5, 11: 0.5, 2: 0.0, 12: 0.0}


def test_a_half_filled_collection_merged(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Each document stands in one list: the new version's where it has a vector there, else the old one's."""
    with filled(folder, old, COUNT) as docs:
        docs.migrate(new).run(until=0.5)
        everything = docs.search(QUERIES[0], k=COUNT, merge="rrf")
        version = {hit.id: hit.version for hit in everything}
        assert sorted(version) == sorted(f"d{number}" for number in range(COUNT))
        assert list(version.values()).count(2) == COUNT // 2
        sides = [exact(everything, QUERIES, encoder, side) for side, encoder in ((1, old), (2, new))]
        for name, parts_of in ORACLES.items():
            for row, hits in enumerate(docs.search(QUERIES, k=10, merge=name)):
                parts = parts_of(sides[0][row]) | parts_of(sides[1][row])
                best = sorted(parts.values(), reverse=True)[:10]
                assert hits.scores == pytest.approx(best, abs=1e-4)
                assert [parts[int(hit.id[1:])] for hit in hits] == pytest.approx(best, abs=1e-4)
                assert [hit.version for hit in hits] == [version[hit.id] for hit in hits]
                assert (hits.method, hits.coverage, hits.weight) == (name, 0.0, 0.0)


def exact(everything: cf.Hits, queries: list[str], encoder: cf.Encoder, side: int) -> list[List]:
    """For each query the hundred best of the documents with that version, by number; vectors are kept as float16."""
    mine = [hit for hit in everything if hit.version == side]
    rows = encoder.encode([hit.text for hit in mine]).astype(np.float16).astype(np.float32)
    scores = encoder.encode(queries, kind="query") @ rows.T
    best = np.argsort(-scores, axis=1)[:, :100]
    return [[(int(mine[at].id[1:]), float(row[at])) for at in ats] for row, ats in zip(scores, best, strict=True)]


def test_filters_and_deletes_hold_in_a_merge(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """A merge finds what a filter lets through and nothing that is deleted, from both versions."""
    with filled(folder, old, COUNT) as docs:
        docs.migrate(new).run(until=0.5)
        docs.delete([f"d{number}" for number in range(50)])
        for name in MERGES:
            hits = docs.search(QUERIES[0], k=COUNT, filter={"parity": 1}, merge=name)
            assert sorted(hits.ids) == sorted(f"d{number}" for number in range(51, COUNT, 2))
            assert {hit.version for hit in hits} == {1, 2}


def test_where_one_version_serves_a_merge_changes_nothing(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Before a migration, before its first vector, and after its cutover every merge is the one version's answer."""
    with filled(folder, old, 300) as docs:
        for prepare in (lambda: None, lambda: docs.migrate(new), lambda: (docs.migrate(new).run(), cut_over(docs))):
            prepare()
            expected = docs.search(QUERIES)
            assert {hits.method for hits in expected} == {"live"}
            for name in NAMES:
                assert docs.search(QUERIES, merge=name) == expected


def cut_over(docs: cf.Collection) -> None:
    assert docs.migration
    docs.migration.cutover()


def test_a_merge_needs_nothing_learned(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Too few documents for a Bridge: the blend answers as the old version, a classic merge merges all the same."""
    with filled(folder, old, 60) as docs:
        docs.migrate(new).run(until=0.5)
        assert docs.search(QUERIES[0]).method == "live"
        assert docs.search(QUERIES[0], merge="rrf").method == "rrf"
        with cf.Collection.open(folder, new) as other, pytest.raises(EncoderMissing):
            other.search(QUERIES[0], merge="rrf")
    with filled(folder.with_name("fitted"), old, 300) as docs:
        docs.migrate(new).run(until=0.9)
        with cf.Collection.open(docs.path, new) as other:
            assert other.search(QUERIES[0], merge="rrf").method == "bridged"
        with cf.Collection.open(docs.path, old) as other:
            assert other.search(QUERIES[0], merge="rrf").method == "live"


@pytest.mark.parametrize("name", ["RRF", "", None, 3, ["rrf"], "fade "])
def test_an_unknown_merge_is_refused(docs: cf.Collection, old: cf.Encoder, name: object) -> None:
    """Also where it would change nothing; the message names what there is."""
    with pytest.raises(InvalidInput, match="merge must be one of fade, rrf, minmax, zscore, convex, got"):
        docs.search("some text", merge=name)
    with pytest.raises(InvalidInput, match="merge must be one of"):
        docs.search(vector=old.encode(["some text"])[0], merge=name)

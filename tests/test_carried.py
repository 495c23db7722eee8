"""Scores of carried rows: what a search asks all the time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from crossfade.bridge import Bridge
from crossfade.errors import InvalidInput
from crossfade.search.carried import Carried
from segments import normalized, numbered, version_of

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.float32]


def rounding(bridge: Bridge, rows: Rows, query: Rows) -> Rows:
    """By how much scores may differ where every value of the map is off by half a unit in the last place of float16."""
    centred, matrix = rows - bridge.center, np.abs(bridge.matrix)
    lengths = np.linalg.norm(centred @ bridge.matrix + bridge.offset, axis=1)
    least: Rows = 2.0**-24 * matrix.max()  # where it is subnormal
    off: Rows = np.abs(centred) @ np.maximum(2.0**-11 * matrix, least) @ np.abs(query) / lengths
    return off


@pytest.mark.parametrize("dims", [(8, 8), (33, 20), (20, 65), (384, 384)])
def test_carried_scores_are_those_of_carried_rows(level: str, dims: tuple[int, int]) -> None:
    """Without carrying a row, its score is what `Bridge.apply` of it gives, but for the map's rounding to float16.

    Whatever was asked before, the bits are the same. Of vectors as long as real ones scores are off by 1e-4 at most.
    """
    rng = np.random.default_rng(0)
    old = normalized(rng.standard_normal((300, dims[0])) + 0.5)
    new = normalized(old @ rng.standard_normal(dims) + 0.3 * rng.standard_normal((300, dims[1])))
    bridge = Bridge.fit(old.astype(np.float32), new.astype(np.float32))
    version, keys = version_of(numbered(300, 5), old), rng.permutation(numbered(300, 5))
    carried, fresh = Carried(bridge), Carried(bridge)
    for query in new[:3].astype(np.float32):
        first = carried.scores(version, keys[:7], query)
        scores = carried.scores(version, keys, query)
        rows = version.gather(keys)
        off = np.abs(scores - bridge.apply(rows) @ query)
        assert (off <= rounding(bridge, rows, query) + 2e-6).all()
        assert dims[0] < 384 or off.max() < 1e-4
        assert first.tolist() == scores[:7].tolist()
        assert scores.tolist() == fresh.scores(version, keys, query).tolist()
    assert carried.scores(version, keys[:0], query).shape == (0,)


@pytest.mark.parametrize("covered", [0, 120, 250])
def test_all_three_scores_of_what_two_versions_have_found(level: str, covered: int) -> None:
    """Keys of both lists, each once, and the bits that either version and `scores` give; NaN where there is no row.

    Where every key has a new row nobody asks what the Bridge gives.
    """
    rng = np.random.default_rng(1)
    old = normalized(rng.standard_normal((200, 24)) + 0.5)
    new = normalized(rng.standard_normal((250, 16)) + 0.5)
    bridge = Bridge.fit(old.astype(np.float32), new[:200].astype(np.float32))
    version, newer = version_of(numbered(200), old), version_of(numbered(covered), new[:covered])
    some = rng.permutation(np.arange(250, dtype=np.uint64))
    lists = some[:150], rng.permutation(some[100:])
    queries = old[7].astype(np.float32), new[7].astype(np.float32)
    carried = Carried(bridge)
    for _ in range(2):  # the second time all lengths are known
        found = carried.compared(version, newer, lists, queries)
        assert found.keys.tolist() == [*lists[0].tolist(), *(key for key in lists[1].tolist() if key not in lists[0])]
        there = version.has(found.keys)
        np.testing.assert_array_equal(found.old, version.scores(found.keys, queries[0]))
        np.testing.assert_array_equal(found.new, newer.scores(found.keys, queries[1]))
        if covered == 250:
            assert np.isnan(found.bridged).all()
        else:
            expected = Carried(bridge).scores(version, found.keys[there], queries[1])
            assert found.bridged[there].tolist() == expected.tolist()
            assert np.isnan(found.bridged[~there]).all()


def test_scores_that_are_not_finite_are_refused() -> None:
    """A query that holds NaN is named, and not taken for missing rows."""
    rows = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    bridge, version = Bridge.fit(rows, rows), version_of(numbered(100), normalized(rows.astype(np.float64)))
    keys = np.arange(10, dtype=np.uint64)
    with pytest.raises(InvalidInput, match="finite"):
        Carried(bridge).compared(version, version, (keys, keys), (np.full(8, np.nan, np.float32), rows[0]))


def test_another_thread_may_have_made_room_meanwhile() -> None:
    """Between two looks at the lengths that are kept, another search has put longer ones in their place."""

    class Overtaken(Carried):
        @property
        def _lengths(self) -> npt.NDArray[np.float32]:
            self.kept = np.concatenate([self.kept, np.zeros(50, np.float32)])
            return self.kept

        @_lengths.setter
        def _lengths(self, lengths: npt.NDArray[np.float32]) -> None:
            self.kept = lengths

    rows = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)
    bridge, version = Bridge.fit(rows, rows), version_of(numbered(400), normalized(rows.astype(np.float64)))
    query = rows[0]
    carried = Overtaken(bridge)
    for last in (20, 150, 399):
        keys = np.array([0, last], np.uint64)
        expected = Carried(bridge).scores(version, keys, query)
        assert carried.scores(version, keys, query).tolist() == expected.tolist()


def test_a_row_that_is_carried_to_zero_scores_zero() -> None:
    """It has no direction; a search is not ended by it."""
    pairs = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    learned = Bridge.fit(pairs, pairs)
    bridge = Bridge(learned.matrix, np.zeros(4, np.float32), np.zeros(4, np.float32), learned.quality)
    version = version_of(numbered(2), np.array([[0, 0, 0, 0], [0, 1, 0, 0]], np.float16))
    scores = Carried(bridge).scores(version, numbered(2), np.array([0, 1, 0, 0], np.float32))
    assert scores[0] == 0.0
    assert scores[1] > 0.9

"""Scores of carried rows: what a search asks all the time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from crossfade import _core, kernels
from crossfade.bridge import Bridge
from crossfade.search.carried import Carried
from segments import normalized, numbered, version_of

Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


@pytest.fixture(params=_core.instruction_sets())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = kernels.instruction_set()
    assert _core.force_instruction_set(request.param)
    yield request.param
    _core.force_instruction_set(before)


@pytest.mark.parametrize("dims", [(8, 8), (33, 20), (20, 65)])
def test_carried_scores_are_those_of_carried_rows(level: str, dims: tuple[int, int]) -> None:
    """Without carrying a row, its score is what `Bridge.apply` of it gives, whatever was asked before, to the bit."""
    rng = np.random.default_rng(0)
    old = normalized(rng.standard_normal((300, dims[0])) + 0.5)
    new = normalized(old @ rng.standard_normal(dims) + 0.3 * rng.standard_normal((300, dims[1])))
    bridge = Bridge.fit(old.astype(np.float32), new.astype(np.float32))
    version, keys = version_of(numbered(300, 5), old), rng.permutation(numbered(300, 5))
    carried, fresh = Carried(bridge), Carried(bridge)
    for query in new[:3].astype(np.float32):
        first = carried.scores(version, keys[:7], query)
        scores = carried.scores(version, keys, query)
        np.testing.assert_allclose(scores, bridge.apply(version.gather(keys)) @ query, atol=2e-6)
        assert first.tolist() == scores[:7].tolist()
        assert scores.tolist() == fresh.scores(version, keys, query).tolist()
    assert carried.scores(version, keys[:0], query).shape == (0,)


def test_both_scores_are_those_of_either() -> None:
    """Read together they are the same bits; a key without a row has neither."""
    rng = np.random.default_rng(1)
    old = normalized(rng.standard_normal((200, 24)) + 0.5)
    new = normalized(old @ rng.standard_normal((24, 16)))
    bridge = Bridge.fit(old.astype(np.float32), new.astype(np.float32))
    version, keys = version_of(numbered(200), old), rng.permutation(np.arange(250, dtype=np.uint64))
    there = version.has(keys)
    assert there.sum() == 200
    query, carried = old[7].astype(np.float32), new[7].astype(np.float32)
    scores, bridged = Carried(bridge).both(version, keys, query, carried)
    assert np.isnan(scores[~there]).all()
    assert np.isnan(bridged[~there]).all()
    assert scores[there].tolist() == version.scores(keys[there], query).tolist()
    assert bridged[there].tolist() == Carried(bridge).scores(version, keys[there], carried).tolist()


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

"""Tables looked up by key, and scores of carried rows: what a search asks all the time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade import _core, kernels
from crossfade.bridge import Bridge
from crossfade.errors import InvalidInput
from crossfade.index import NO_KEY, Locations
from crossfade.search.carried import Carried
from segments import normalized, numbered, version_of

Mask = npt.NDArray[np.bool_]


@pytest.fixture(params=_core.instruction_sets())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = kernels.instruction_set()
    assert _core.force_instruction_set(request.param)
    yield request.param
    _core.force_instruction_set(before)


def masks() -> st.SearchStrategy[Mask | None]:
    return st.none() | st.lists(st.booleans(), max_size=12).map(lambda marks: np.array(marks, np.bool_))


@settings(deadline=None)
@given(
    keys=st.lists(st.integers(0, 14) | st.sampled_from([2**63, int(NO_KEY) - 1, int(NO_KEY)]), max_size=20),
    dead=masks(),
    allowed=masks(),
)
def test_admitted_are_those_that_may_be_found(keys: list[int], dead: Mask | None, allowed: Mask | None) -> None:
    """A key that is none, dead or not allowed is out; beyond the end of a mask all are alive, and none allowed."""
    admitted, count = kernels.admit(np.array(keys, np.uint64).reshape(1, -1), dead, allowed)
    expected = [
        key != int(NO_KEY)
        and not (dead is not None and key < len(dead) and dead[key])
        and (allowed is None or (key < len(allowed) and bool(allowed[key])))
        for key in keys
    ]
    assert admitted.tolist() == [expected]
    assert count == sum(expected)


@settings(deadline=None, max_examples=50)
@given(
    adds=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30) | st.integers(4_000, 9_000)), max_size=6),
    rows=st.integers(0, 9_000),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_in_a_file_are_those_that_find_tells(adds: list[tuple[int, int]], rows: int, seed: int) -> None:
    """For each file: the row where `find` names that file and the row is among the first; -1 elsewhere."""
    rng = np.random.default_rng(seed)
    locations, lengths = Locations(), [0] * 4
    for file, count in adds:
        locations.add(file, rng.permutation(numbered(count, sum(lengths))), lengths[file])
        lengths[file] += count
    keys = np.append(rng.integers(0, sum(lengths) + 9, 200).astype(np.uint64), np.array([2**40, NO_KEY], np.uint64))
    files, at = locations.find(keys)
    for file in range(4):
        expected = np.where((files == file) & (at < rows), at, -1)
        found, count = locations.rows_in(file, rows, keys)
        assert found.tolist() == expected.tolist()
        assert count == (expected >= 0).sum()


def test_tables_of_another_kind_are_refused() -> None:
    """Keys and tables of another dtype or shape are named, and nothing is read."""
    runs = np.zeros(1, np.int64), np.zeros(1, np.int64)
    places, keys = np.zeros(3, np.uint32), numbered(3)
    with pytest.raises(InvalidInput, match="uint64"):
        kernels.admit(np.zeros(3, np.int64))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="bool"):
        kernels.admit(keys, np.zeros(3, np.uint8))  # type: ignore[arg-type]
    for wrong in (places.astype(np.int32), places.reshape(3, 1), places.astype(np.uint64)):
        with pytest.raises(InvalidInput, match="uint32"):
            kernels.locate(wrong, runs, 12, keys, 0, 3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="vectors"):
        kernels.locate(places, runs, 12, keys.reshape(3, 1), 0, 3)


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


def test_a_row_that_is_carried_to_zero_scores_zero() -> None:
    """It has no direction; a search is not ended by it."""
    pairs = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    learned = Bridge.fit(pairs, pairs)
    bridge = Bridge(learned.matrix, np.zeros(4, np.float32), np.zeros(4, np.float32), learned.quality)
    version = version_of(numbered(2), np.array([[0, 0, 0, 0], [0, 1, 0, 0]], np.float16))
    scores = Carried(bridge).scores(version, numbered(2), np.array([0, 1, 0, 0], np.float32))
    assert scores[0] == 0.0
    assert scores[1] > 0.9

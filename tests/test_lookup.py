"""Tables looked up by key, and scores of carried rows: what a search asks all the time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade import _core, kernels
from crossfade.bridge import Bridge
from crossfade.errors import InvalidInput
from crossfade.index import NO_KEY, Locations, RowRange
from crossfade.search.carried import Carried
from segments import DIM, normalized, numbered, unit_rows, version_of

Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


@pytest.fixture(params=_core.instruction_sets())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = kernels.instruction_set()
    assert _core.force_instruction_set(request.param)
    yield request.param
    _core.force_instruction_set(before)


@dataclasses.dataclass
class World:
    """Rows of several files, some of which were mapped before the last ones were written."""

    locations: Locations
    files: list[tuple[int, npt.NDArray[np.float16]]]
    keys: Keys  # of rows that are there, those that are not, and none
    rows: dict[int, npt.NDArray[np.float32]]
    rng: np.random.Generator

    @classmethod
    def draw(cls, sizes: list[int], dim: int, seed: int) -> World:
        rng, locations, files, standing, start = np.random.default_rng(seed), Locations(), [], {}, 0
        for number, size in enumerate(sizes):
            keys, rows = rng.permutation(numbered(size, start)), unit_rows(size, dim, seed + number)
            locations.add(number, keys, 0)
            mapped = int(rng.integers(0, size + 1))
            files.append((number, rows[:mapped]))
            standing |= dict(zip(keys[:mapped].tolist(), rows[:mapped].astype(np.float32), strict=True))
            start += size
        strangers = np.array([start, start + 7, 2**40, NO_KEY], np.uint64)
        keys = rng.permutation(np.append(numbered(start), strangers))
        return cls(locations, files, keys, standing, rng)

    def mask(self) -> Mask | None:
        length = int(self.rng.choice([0, len(self.keys) // 2, 2 * len(self.keys)]))
        return None if self.rng.random() < 0.3 else self.rng.random(length) < 0.5


WORLDS = st.builds(
    World.draw,
    st.lists(st.integers(0, 40) | st.sampled_from([4_095, 4_100]), min_size=1, max_size=3),
    st.sampled_from([1, 8, 33]),
    st.integers(0, 2**32 - 1),
)


@settings(deadline=None, max_examples=40)
@given(world=WORLDS)
def test_rows_are_those_that_find_tells(world: World) -> None:
    """There is a row where `find` names a file and the row is among those mapped; it is gathered, and scored."""
    files, at = world.locations.find(world.keys)
    mapped = dict(world.files)
    expected = [
        file in mapped and row < len(mapped[file]) for file, row in zip(files.tolist(), at.tolist(), strict=True)
    ]
    there = kernels.has(world.locations.tables(), world.files, world.keys)
    assert there.tolist() == expected
    assert there.tolist() == [key in world.rows for key in world.keys.tolist()]

    dim = world.files[0][1].shape[1]
    out = np.zeros((int(there.sum()), dim), np.float16)
    assert kernels.gather(world.locations.tables(), world.files, world.keys[there], out) == -1
    rows = np.array([world.rows[key] for key in world.keys[there].tolist()], np.float32).reshape(-1, dim)
    assert out.tolist() == rows.tolist()
    queries = unit_rows(2, dim, 5).astype(np.float32)
    scores = kernels.score(world.locations.tables(), world.files, world.keys, queries)
    assert np.isnan(scores).tolist() == [(~there).tolist()] * 2
    np.testing.assert_allclose(scores[:, there], queries.astype(np.float64) @ rows.T, atol=1e-5)


def test_the_first_key_without_a_row_is_named() -> None:
    """Gathering stops there."""
    version = version_of(numbered(3), unit_rows(3))
    with pytest.raises(InvalidInput, match="key 9 of 3"):
        version.gather(np.array([1, 9, 8], np.uint64))


@settings(deadline=None, max_examples=60)
@given(world=WORLDS, count=st.integers(1, 30), parts=st.integers(0, 3))
def test_ranked_are_the_best_that_may_be_found(world: World, count: int, parts: int) -> None:
    """Proposed, scored before or scanned: the best by score, once each, of those alive, allowed and with a row."""
    dim = world.files[0][1].shape[1]
    query, dead, allowed = unit_rows(1, dim, 3)[0].astype(np.float32), world.mask(), world.mask()
    lists = [world.rng.choice(world.keys, int(world.rng.integers(0, 60))) for _ in range(parts)]
    number, rows = world.files[0]
    start, stop = sorted(world.rng.integers(0, len(rows) + 1, 2).tolist())
    tail_keys = world.locations.keys(RowRange(number, start, stop))
    before = np.array([5_000_000, 5_000_001], np.uint64), np.array([0.25, -0.5], np.float32)

    found = kernels.rank(
        world.locations.tables(),
        world.files,
        query,
        count,
        lists=lists,
        scored=before,
        tail=[(rows[start:stop], tail_keys)],
        dead=dead,
        allowed=allowed,
    )

    def may(key: int) -> bool:
        alive = dead is None or key >= len(dead) or not dead[key]
        return key in world.rows and alive and (allowed is None or (key < len(allowed) and bool(allowed[key])))

    kept = [[key for key in keys.tolist() if may(key)] for keys in lists]
    product = {key: float(world.rows[key].astype(np.float64) @ query) for key in world.rows}
    product |= dict(zip(before[0].tolist(), before[1].tolist(), strict=True))
    every = {*before[0].tolist(), *(key for keys in kept for key in keys), *filter(may, tail_keys.tolist())}
    best = sorted((product[key] for key in every), reverse=True)[:count]
    assert found.kept == [len(keys) for keys in kept]
    least = [min((product[key] for key in keys), default=np.inf) for keys in kept]
    np.testing.assert_allclose(found.least, least, atol=1e-5)
    keys = found.keys[: len(best)].tolist()
    assert len(set(keys) & every) == len(best)
    np.testing.assert_allclose(found.scores[: len(best)], best, atol=1e-5)
    np.testing.assert_allclose([product[key] for key in keys], best, atol=1e-5)
    assert (found.keys[len(best) :] == NO_KEY).all()
    assert np.isneginf(found.scores[len(best) :]).all()


def test_tables_of_another_kind_are_refused() -> None:
    """Keys, tables and rows of another dtype or shape are named, and nothing is read."""
    files, keys, query = [(0, unit_rows(3))], numbered(3), np.zeros(DIM, np.float32)
    places, runs = np.zeros(3, np.uint32), np.zeros(1, np.int64)
    tables = kernels.Tables(places, runs, runs, 12)
    with pytest.raises(InvalidInput, match="dtype"):
        kernels.has(tables, files, np.zeros(3, np.int64))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="bool"):
        kernels.rank(tables, files, query, 1, lists=[keys], dead=np.zeros(3, np.uint8))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="vector"):
        kernels.rank(tables, files, query[np.newaxis], 1, lists=[keys])
    with pytest.raises(InvalidInput, match="columns"):
        kernels.rank(tables, files, query[1:], 1, lists=[keys])
    with pytest.raises(InvalidInput, match="a key"):
        kernels.rank(tables, files, query, 1, lists=[], tail=[(unit_rows(3), keys[1:])])
    with pytest.raises(InvalidInput, match="range"):
        kernels.rank(tables, files, query, 0, lists=[keys])
    with pytest.raises(InvalidInput, match="row for each"):
        kernels.gather(tables, files, keys, np.zeros((2, DIM), np.float16))
    for wrong in (places.astype(np.int32), places.reshape(3, 1), places.astype(np.uint64)):
        with pytest.raises(InvalidInput, match="uint32"):
            kernels.has(tables._replace(places=wrong), files, keys)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="vector"):
        kernels.has(tables, files, keys.reshape(3, 1))


def test_a_score_that_is_not_finite_is_refused() -> None:
    """Rows are checked before they are stored; what overflows with a query is an error, wherever the row stands."""
    huge = np.full((3, DIM), 60_000, np.float16)
    version = version_of(numbered(3), huge, sealed=1)
    query = np.full(DIM, 3e38, np.float32)
    with pytest.raises(InvalidInput, match="finite"):
        version.scores(numbered(3), query)
    with pytest.raises(InvalidInput, match="finite"):
        version.candidates(query[np.newaxis], 2)


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

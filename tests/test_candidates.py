"""Candidates: rows looked up by key, scored where they lie, and ranked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade import kernels
from crossfade.errors import InvalidInput
from crossfade.kernels import PADDING_KEY, Tables
from kernel_rows import SEEDS, unit_rows

Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.float16]

DIM = 8


pytestmark = pytest.mark.usefixtures("level")


def half_rows(count: int, dim: int = DIM, seed: int = 0) -> Rows:
    return unit_rows(seed, count, dim).astype(np.float16)


@dataclasses.dataclass
class World:
    """Rows of several files, numbered together in runs; of some files only the beginning is mapped."""

    tables: Tables
    files: list[tuple[int, Rows]]
    keys: Keys  # of rows that are mapped and of those that are not, keys that nobody knows, and none
    rows: dict[int, npt.NDArray[np.float32]]
    rng: np.random.Generator

    @classmethod
    def draw(cls, sizes: list[int], dim: int, bits: int, seed: int) -> World:
        rng, run = np.random.default_rng(seed), 1 << bits
        keys = rng.permutation(sum(sizes)).astype(np.uint64)
        places = np.zeros(len(keys), np.uint32)
        starts = [(number, first) for number, size in enumerate(sizes) for first in range(0, size, run)]
        rng.shuffle(starts)
        files, standing, at = [], {}, 0
        for number, size in enumerate(sizes):
            rows, mapped = half_rows(size, dim, seed + number), int(rng.integers(0, size + 1))
            files.append((number, rows[:mapped]))
            for row, key in enumerate(keys[at : at + size].tolist()):
                places[key] = 1 + starts.index((number, row // run * run)) * run + row % run
                if row < mapped:
                    standing[key] = rows[row].astype(np.float32)
            at += size
        strangers = np.array([at, at + 7, 2**40, PADDING_KEY], np.uint64)
        columns = np.array(starts, np.int64).reshape(-1, 2).T
        tables = Tables(places, np.ascontiguousarray(columns[0]), np.ascontiguousarray(columns[1]), bits)
        return cls(tables, files, rng.permutation(np.append(keys, strangers)), standing, rng)

    def mask(self) -> Mask | None:
        length = int(self.rng.choice([0, len(self.keys) // 2, 2 * len(self.keys)]))
        return None if self.rng.random() < 0.3 else self.rng.random(length) < 0.5

    @property
    def dim(self) -> int:
        return self.files[0][1].shape[1]


WORLDS = st.builds(
    World.draw,
    st.lists(st.integers(0, 40), min_size=1, max_size=3),
    st.sampled_from([1, 8, 33]),
    st.sampled_from([0, 2, 12]),
    st.integers(0, 2**32 - 1),
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=WORLDS)
def test_rows_are_found_where_they_stand(world: World) -> None:
    """There is a row where the tables name a file and it is among those mapped; it is gathered, and scored."""
    there = kernels.has(world.tables, world.files, world.keys)
    assert there.tolist() == [key in world.rows for key in world.keys.tolist()]
    out = np.zeros((int(there.sum()), world.dim), np.float16)
    assert kernels.gather(world.tables, world.files, world.keys[there], out) == -1
    rows = np.array([world.rows[key] for key in world.keys[there].tolist()], np.float32).reshape(-1, world.dim)
    assert out.tolist() == rows.tolist()
    queries = half_rows(2, world.dim, 5).astype(np.float32)
    scores = kernels.score(world.tables, world.files, world.keys, queries)
    assert np.isnan(scores).tolist() == [(~there).tolist()] * 2
    np.testing.assert_allclose(scores[:, there], queries.astype(np.float64) @ rows.T, atol=1e-5)
    if not there.all():
        all_rows = np.ones((len(there), world.dim), np.float16)
        assert kernels.gather(world.tables, world.files, world.keys, all_rows) == there.tolist().index(False)
        assert all_rows[there].tolist() == rows.tolist()
        assert not all_rows[~there].any()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=WORLDS, count=st.integers(1, 30), parts=st.integers(0, 3))
def test_ranked_are_the_best_that_may_be_found(world: World, count: int, parts: int) -> None:
    """Proposed, scored before or scanned: the best by score, once each, of those alive, allowed and with a row."""
    query, dead, allowed = half_rows(1, world.dim, 3)[0].astype(np.float32), world.mask(), world.mask()
    lists = [world.rng.choice(world.keys, int(world.rng.integers(0, 60))) for _ in range(parts)]
    tail_keys = world.keys[[key in world.rows for key in world.keys.tolist()]][: int(world.rng.integers(0, 40))]
    tail = np.zeros((len(tail_keys), world.dim), np.float16)
    assert kernels.gather(world.tables, world.files, tail_keys, tail) == -1
    before = np.array([5_000_000, 5_000_001], np.uint64), np.array([0.25, -0.5], np.float32)

    found = kernels.rank(
        world.tables,
        world.files,
        query,
        count,
        lists=lists,
        scored=before,
        tail=[(tail, tail_keys)],
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
    assert (found.keys[len(best) :] == PADDING_KEY).all()
    assert np.isneginf(found.scores[len(best) :]).all()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=WORLDS, new=WORLDS, seed=SEEDS)
def test_compared_are_the_keys_of_both_lists(old: World, new: World, seed: int) -> None:
    """Each once, the first list before; scores as `score` gives them, carried ones by what is known of lengths.

    Where every key has a new row, nothing is asked of carried ones.
    """
    rng = np.random.default_rng(seed)
    strangers = old.keys[old.keys >= 2**40]
    both = np.setdiff1d(np.union1d(old.keys, new.keys), strangers)
    first, second = (rng.permutation(both)[: rng.integers(0, len(both) + 1)] for _ in range(2))
    queries, query = half_rows(2, old.dim, 5).astype(np.float32), half_rows(1, new.dim, 6)[0].astype(np.float32)
    lengths = rng.choice([0.0, 0.5, 2.0], len(both) // 2).astype(np.float32)
    versions = (old.tables, old.files), (new.tables, new.files)
    found = kernels.compare(versions, (first, second), (queries, query), lengths, 0.25)
    assert found.keys.tolist() == [*first.tolist(), *(key for key in second.tolist() if key not in set(first.tolist()))]
    scores, (newer,) = (
        kernels.score(*version, found.keys, asked)
        for version, asked in zip(versions, (queries, query[np.newaxis]), strict=True)
    )
    np.testing.assert_array_equal(found.old, scores[0])
    np.testing.assert_array_equal(found.new, newer)
    if not np.isnan(newer).any():
        assert np.isnan(found.bridged).all()
        assert found.unmeasured == []
        return
    known = np.array([lengths[key] if key < len(lengths) else 0.0 for key in found.keys.tolist()], np.float32)
    expected = (scores[1] + np.float32(0.25)) / np.where(known > 0.0, known, np.float32(1.0))
    np.testing.assert_array_equal(found.bridged, expected)
    assert found.unmeasured == np.flatnonzero((known == 0.0) & ~np.isnan(scores[1])).tolist()


KEYS, QUERY, FILES = np.arange(3, dtype=np.uint64), np.zeros(DIM, np.float32), [(0, half_rows(3))]
TABLES = Tables(np.array([1, 2, 3], np.uint32), np.zeros(1, np.int64), np.zeros(1, np.int64), 12)


def ranked(**other: Any) -> object:
    usual: dict[str, Any] = {"tables": TABLES, "files": FILES, "query": QUERY, "count": 1, "lists": [KEYS]}
    return kernels.rank(**usual | other)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"lists": [np.zeros(3, np.int64)]}, "dtype"),
        ({"lists": [KEYS.reshape(3, 1)]}, "vector"),
        ({"lists": None}, "keys are uint64"),
        ({"dead": np.zeros(3, np.uint8)}, "bool"),
        ({"allowed": np.zeros((1, 3), np.bool_)}, "bool"),
        ({"query": QUERY[np.newaxis]}, "vector"),
        ({"query": QUERY[1:]}, "columns"),
        ({"query": QUERY.astype(np.float64)}, "dtype"),
        ({"tail": [(half_rows(3), KEYS[1:])]}, "a key"),
        ({"tail": [(half_rows(3),)]}, "two"),
        ({"scored": (KEYS,)}, "two"),
        ({"scored": (KEYS, np.zeros(2, np.float32))}, "size"),
        ({"count": 0}, "range"),
        ({"files": [(0, half_rows(3)[0])]}, "dimensions"),
        ({"files": [("0", half_rows(3))]}, "number"),
        ({"files": [half_rows(3)]}, "two"),
        ({"tables": TABLES[:3]}, "four"),
        ({"tables": TABLES._replace(bits=32)}, "tables"),
        ({"tables": TABLES._replace(bits=None)}, "number"),
        *(
            ({"tables": TABLES._replace(places=wrong)}, "uint32")
            for wrong in (KEYS, KEYS.astype(np.int32), np.zeros((3, 1), np.uint32))
        ),
    ],
)
def test_what_cannot_be_ranked_is_refused(other: dict[str, Any], said: str) -> None:
    """Arguments of another dtype or shape are named, and nothing is read."""
    with pytest.raises(InvalidInput, match=said):
        ranked(**other)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"lists": (KEYS, KEYS.astype(np.int64))}, "dtype"),
        ({"lists": (KEYS, KEYS[np.newaxis])}, "vector"),
        ({"queries": (QUERY[np.newaxis], QUERY)}, "two old queries and a new one"),
        ({"queries": (np.zeros((2, DIM), np.float32), QUERY[np.newaxis])}, "two old queries and a new one"),
        ({"queries": (np.zeros((2, DIM + 1), np.float32), QUERY)}, "columns"),
        ({"queries": (np.zeros((2, DIM), np.float32), QUERY[1:])}, "columns"),
        ({"queries": (np.full((2, DIM), np.nan, np.float32), QUERY)}, "finite"),
        ({"lengths": np.zeros(3)}, "dtype"),
        ({"lengths": np.zeros((1, 3), np.float32)}, "vector"),
        ({"versions": ((TABLES, FILES), (TABLES,))}, "two"),
        ({"versions": ((TABLES, FILES), (TABLES[:3], FILES))}, "four"),
        ({"shift": None}, "keys are uint64"),
    ],
)
def test_what_cannot_be_compared_is_refused(other: dict[str, Any], said: str) -> None:
    """Arguments of another dtype or shape are named, and nothing is read; so is a score that isn't finite."""
    usual: dict[str, Any] = {
        "versions": ((TABLES, FILES), (TABLES, FILES)),
        "lists": (KEYS, KEYS),
        "queries": (np.zeros((2, DIM), np.float32), QUERY),
        "lengths": np.zeros(3, np.float32),
        "shift": 0.0,
    }
    kernels.compare(**usual)
    with pytest.raises(InvalidInput, match=said):
        kernels.compare(**usual | other)


def test_what_cannot_be_gathered_is_refused() -> None:
    """An output of another shape or dtype than the rows, and one that overlaps itself."""
    for out in (np.zeros((2, DIM), np.float16), np.zeros((3, DIM), np.float32), np.zeros((3, DIM + 1), np.float16)):
        with pytest.raises(InvalidInput, match="out"):
            kernels.gather(TABLES, FILES, KEYS, out)


def test_a_score_that_is_not_finite_is_refused() -> None:
    """What overflows with a query is an error, wherever the row stands."""
    huge = np.full((3, DIM), 60_000, np.float16)
    query = np.full(DIM, 3e38, np.float32)
    for told in ({"lists": [KEYS]}, {"lists": [], "tail": [(huge, KEYS)]}):
        with pytest.raises(InvalidInput, match="finite"):
            ranked(files=[(0, huge)], query=query, **told)
    with pytest.raises(InvalidInput, match="finite"):
        kernels.score(TABLES, [(0, huge)], KEYS, query[np.newaxis])

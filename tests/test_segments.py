"""Segments and versions: views that can be trusted, and answers that don't depend on where a row stands."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import CollectionClosed, DamagedFile, InvalidInput, StorageFailed
from crossfade.index import (
    NO_KEY,
    Locations,
    RowRange,
    SegmentInfo,
    SegmentPool,
    VersionIndex,
    build_segment,
    new_id,
    segment_path,
)

DIM = 8


class Remembered(set[str]):
    """Verifications kept in memory, as a catalog would keep them."""

    def is_verified(self, identity: str) -> bool:
        return identity in self

    def remember(self, identity: str) -> None:
        assert identity not in self
        self.add(identity)


def normalized(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float16]:
    unit: npt.NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float16)


def unit_rows(count: int, dim: int = DIM, seed: int = 0) -> npt.NDArray[np.float16]:
    return normalized(np.random.default_rng(seed).standard_normal((count, dim)))


def clusters(count: int, dim: int, seed: int) -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((50, dim))[rng.integers(0, 50, count)]
    return normalized(centers + 0.5 * rng.standard_normal((count, dim)))


def numbered(count: int, first: int = 0) -> npt.NDArray[np.uint64]:
    return np.arange(first, first + count, dtype=np.uint64)


def built(folder: Path | str, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.float16]) -> SegmentInfo:
    info = build_segment(folder, new_id(), keys, rows)
    assert info is not None
    return info


def pool_of(folder: Path | str, info: SegmentInfo, dim: int = DIM, handles: int = 1) -> SegmentPool:
    return SegmentPool(folder, info, dim, handles=handles, verified=Remembered())


def exact(
    keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.float16], query: npt.NDArray[np.float32], count: int
) -> list[int]:
    """The oracle: the best keys by float64 dot product, ties by key."""
    order = np.lexsort((keys, -(rows.astype(np.float64) @ query.astype(np.float64))))
    return [int(key) for key in keys[order][:count]]


def overwrite(path: Path, content: bytes | bytearray) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can be written beyond `size`, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_published_segment_is_whole_and_alone(tmp_path: Path) -> None:
    """Size and checksum describe the file, nobody may write to it, and no temporary file is left."""
    info = built(tmp_path, numbered(600), unit_rows(600))
    path = segment_path(tmp_path, info.name)

    assert list(tmp_path.iterdir()) == [path]
    assert (info.rows, info.size) == (600, path.stat().st_size)
    assert info.checksum == blake3(path.read_bytes()).hexdigest()
    assert path.stat().st_mode & 0o777 == 0o400


def test_the_same_rows_give_the_same_file(tmp_path: Path) -> None:
    """Nothing random goes into a segment, so that a rebuilt one can be compared."""
    one, two = (built(tmp_path, numbered(700, 5), unit_rows(700)) for _ in range(2))

    assert one.checksum == two.checksum
    assert one.name != two.name


def test_a_name_is_never_used_twice(tmp_path: Path) -> None:
    """A segment is never overwritten: others may have it mapped."""
    info = built(tmp_path, numbered(3), unit_rows(3))

    with pytest.raises(InvalidInput, match="never used twice"):
        build_segment(tmp_path, info.name, numbered(3), unit_rows(3))
    pool_of(tmp_path, info).search(np.ones((1, DIM), np.float32), 1)


def test_a_cancelled_build_leaves_nothing(tmp_path: Path) -> None:
    """Building stops between batches, gives None, and no file."""
    asked = itertools.count()

    info = build_segment(tmp_path, new_id(), numbered(5000), unit_rows(5000), cancelled=lambda: next(asked) == 2)

    assert info is None
    assert next(asked) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A segment that can't be written is an error and no file."""
    with largest_file(5000), pytest.raises(StorageFailed, match="write"):
        build_segment(tmp_path, new_id(), numbered(600), unit_rows(600))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        (numbered(0), unit_rows(0)),
        (numbered(3), unit_rows(2)),
        (numbered(2).astype(np.int64), unit_rows(2)),
        (numbered(2), unit_rows(2).astype(np.float32)),
        (np.array([1, 1], np.uint64), unit_rows(2)),
        (np.array([1, NO_KEY], np.uint64), unit_rows(2)),
        (numbered(2), np.full((2, DIM), np.nan, np.float16)),
    ],
)
def test_rows_that_would_spoil_a_segment_are_refused(
    tmp_path: Path, keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.float16]
) -> None:
    """NaN, keys that occur twice or stand for none, and shapes that don't fit never reach the graph."""
    with pytest.raises(InvalidInput):
        build_segment(tmp_path, new_id(), keys, rows)
    assert list(tmp_path.iterdir()) == []


def test_equal_rows_make_a_segment(tmp_path: Path) -> None:
    """A thousand equal rows are no damage: each finds one that is as good."""
    info = built(tmp_path, numbered(1000), np.repeat(unit_rows(1), 1000, axis=0))

    _, scores = pool_of(tmp_path, info).search(unit_rows(1).astype(np.float32), 10)
    np.testing.assert_allclose(scores, 1, atol=2e-3)


@settings(deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_refused_before_it_is_opened(data: st.DataObject) -> None:
    """Whatever bit changes, the checksum says so; usearch, which could crash, never sees the file."""
    with tempfile.TemporaryDirectory() as folder:
        info = built(folder, numbered(40), unit_rows(40))
        path = segment_path(folder, info.name)
        content = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << (bit % 8)
        overwrite(path, content)

        with pytest.raises(DamagedFile, match="blake3"):
            pool_of(folder, info)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """Cut off, extended or absent: an error that names the file."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    path = segment_path(tmp_path, info.name)
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"x", b""):
        overwrite(path, wrong)
        with pytest.raises(DamagedFile, match=f"expected {info.size} bytes"):
            pool_of(tmp_path, info)
    path.unlink()
    with pytest.raises(DamagedFile, match=info.name):
        pool_of(tmp_path, info)


@pytest.mark.parametrize("place", ["rows", "columns", "magic", "scalar", "dims"])
def test_a_head_that_says_otherwise_is_refused(tmp_path: Path, place: str) -> None:
    """With a checksum that fits, a file of other rows, dims or kinds is still refused: usearch would adopt them."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    path = segment_path(tmp_path, info.name)
    content = bytearray(path.read_bytes())
    head = 8 + 40 * DIM * 2
    content[{"rows": 0, "columns": 4, "magic": head, "scalar": head + 14, "dims": head + 33}[place]] ^= 1
    overwrite(path, content)

    with pytest.raises(DamagedFile, match="expected"):
        pool_of(tmp_path, info._replace(checksum=blake3(content).hexdigest()))


def test_a_segment_of_another_dim_is_refused(tmp_path: Path) -> None:
    """Vectors of two widths never meet."""
    info = built(tmp_path, numbered(40), unit_rows(40))

    with pytest.raises(DamagedFile, match="matrix"):
        pool_of(tmp_path, info, DIM * 2)


def test_a_file_is_verified_once(tmp_path: Path) -> None:
    """The checksum is compared when a file is first opened, and again when it was touched."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    verified = Remembered()
    for _ in range(3):
        SegmentPool(tmp_path, info, DIM, handles=1, verified=verified).close()
        assert len(verified) == 1
    path = segment_path(tmp_path, info.name)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    overwrite(path, content)

    with pytest.raises(DamagedFile, match="blake3"):
        SegmentPool(tmp_path, info, DIM, handles=1, verified=verified)


def test_a_search_finds_nearly_what_exact_search_finds(tmp_path: Path) -> None:
    """Recall at 10 is at least .95 on 5,000 clustered rows of 64 values."""
    keys, rows = numbered(5000, 100), clusters(5000, 64, 0)
    queries = clusters(5200, 64, 0)[5000:].astype(np.float32)

    found, scores = pool_of(tmp_path, built(tmp_path, keys, rows), 64).search(queries, 10)

    hits = [len({*near.tolist()} & {*exact(keys, rows, query, 10)}) for near, query in zip(found, queries, strict=True)]
    assert np.mean(hits) / 10 >= 0.95
    assert (np.diff(scores, axis=1) <= 0).all()
    products = np.einsum("qkd,qd->qk", rows[found.astype(np.int64) - 100].astype(np.float32), queries)
    np.testing.assert_allclose(scores, products, atol=2e-3)


@pytest.mark.parametrize("queries", [0, 1, 3])
def test_missing_places_are_padded(tmp_path: Path, queries: int) -> None:
    """More asked for than there is: the rest is the key that stands for none, and minus infinity."""
    pool = pool_of(tmp_path, built(tmp_path, numbered(4), unit_rows(4)))

    keys, scores = pool.search(unit_rows(queries, seed=1).astype(np.float32), 6)

    assert (keys.shape, scores.shape) == ((queries, 6), (queries, 6))
    assert keys.dtype == np.uint64
    assert scores.dtype == np.float32
    assert (keys[:, 4:] == NO_KEY).all()
    assert np.isneginf(scores[:, 4:]).all()
    assert (np.sort(keys[:, :4], axis=1) == np.arange(4)).all()


def test_more_readers_than_handles_wait(tmp_path: Path) -> None:
    """Four threads share two handles, get what one thread gets, and the file is mapped twice at most."""
    rows = clusters(3000, 32, 1)
    info = built(tmp_path, numbered(3000), rows)
    pool = pool_of(tmp_path, info, 32, handles=2)
    queries = rows[::7].astype(np.float32)
    alone = pool.search(queries, 10)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(lambda at: pool.search(queries[at : at + 1], 10), list(range(len(queries))) * 3))

    for place, (keys, scores) in enumerate(parts):
        np.testing.assert_array_equal(keys[0], alone[0][place % len(queries)])
        np.testing.assert_array_equal(scores[0], alone[1][place % len(queries)])
    maps = Path("/proc/self/maps").read_text()
    assert 1 <= maps.count(str(segment_path(tmp_path, info.name))) <= 2


def test_a_closed_pool_lets_go(tmp_path: Path) -> None:
    """After close the file is no longer mapped, and a search says that it is closed."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    pool = pool_of(tmp_path, info)
    pool.close()

    assert str(segment_path(tmp_path, info.name)) not in Path("/proc/self/maps").read_text()
    with pytest.raises(CollectionClosed):
        pool.search(unit_rows(1).astype(np.float32), 1)


@pytest.mark.parametrize(
    ("queries", "count"),
    [(np.ones((1, DIM)), 3), (np.ones(DIM, np.float32), 3), (np.ones((1, 3), np.float32), 3)]
    + [(np.ones((1, DIM), np.float32), count) for count in (0, -1)],
)
def test_bad_queries_are_refused(tmp_path: Path, queries: npt.NDArray[np.float32], count: int) -> None:
    """Segment and version refuse the same shapes, types and counts."""
    pool = pool_of(tmp_path, built(tmp_path, numbered(4), unit_rows(4)))
    version = version_of(numbered(4), unit_rows(4))
    for search in (pool.search, version.candidates):
        with pytest.raises(InvalidInput):
            search(queries, count)


def version_of(
    keys: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.float16],
    segments: tuple[SegmentPool, ...] = (),
    sealed: int = 0,
) -> VersionIndex:
    """A version of one file, number 3, of which the first rows are sealed."""
    locations = Locations()
    locations.add(3, keys, 0)
    tail = [RowRange(3, sealed, len(rows))] if sealed < len(rows) else []
    return VersionIndex(rows.shape[1], locations, {3: rows}, segments, tail)


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
                segments.append(pool_of(folder, built(folder, keys[:sealed], rows[number][:sealed])))
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
    return version_of(numbered(25_000), rows, (pool_of(folder, info, 16),), 24_800), rows


def test_equal_scores_are_ordered_by_key(tmp_path: Path) -> None:
    """Where rows are equal the lower key comes first, whether the rows are sealed or not."""
    keys = np.array([9, 2, 7, 4, 1, 8], np.uint64)
    rows = np.repeat(unit_rows(1), 6, axis=0)
    pool = pool_of(tmp_path, built(tmp_path, keys[:3], rows[:3]))

    found, scores = version_of(keys, rows, (pool,), 3).candidates(unit_rows(1).astype(np.float32), 6)

    assert found[0].tolist() == [1, 2, 4, 7, 8, 9]
    assert len(set(scores[0].tolist())) == 1


def test_a_row_in_segment_and_tail_counts_once(tmp_path: Path) -> None:
    """A tail that overlaps a segment, as just after sealing, gives no key twice."""
    rows = unit_rows(20)
    pool = pool_of(tmp_path, built(tmp_path, numbered(20), rows))

    found, _ = version_of(numbered(20), rows, (pool, pool), 10).candidates(rows[:2].astype(np.float32), 20)

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
    """Rows come back as float32 in the order asked for; a key without one is an error."""
    rows = unit_rows(30)
    version = version_of(numbered(30, 5), rows)

    np.testing.assert_array_equal(version.gather(np.array([9, 5], np.uint64)), rows[[4, 0]].astype(np.float32))
    assert version.gather(numbered(0)).shape == (0, DIM)
    with pytest.raises(InvalidInput, match="1 of 2 keys have no row in this version, the first is 1000"):
        version.gather(np.array([9, 1000], np.uint64))


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

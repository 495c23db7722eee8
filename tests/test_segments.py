"""Segments: views of rows that can be trusted."""

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
    Base,
    OpenSegment,
    build_segment,
    new_id,
    segment_path,
)
from segments import DIM, Remembered, built, clusters, exact, numbered, opened, unit_rows, version_of


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


def test_rows_are_added_to_a_copy_of_a_graph(tmp_path: Path) -> None:
    """What it gives is found like in a graph built at once; what it was copied from stays as it is."""
    keys, rows = numbered(3_000, 5), clusters(3_000, 16, 0)
    first = built(tmp_path, keys[::2].copy(), rows[::2].copy())
    before = segment_path(tmp_path, first.name).read_bytes()

    info = build_segment(tmp_path, new_id(), keys, rows, base=Base(first, keys[::2]))

    assert info is not None
    assert info.rows == 3_000
    assert segment_path(tmp_path, first.name).read_bytes() == before
    queries = clusters(3_100, 16, 0)[3_000:].astype(np.float32)
    whole = opened(tmp_path, built(tmp_path, keys, rows), 16)
    wanted = [{*exact(keys, rows, query, 10)} for query in queries]
    for segment in (whole, opened(tmp_path, info, 16)):
        found = segment.search(queries, 26)
        assert np.mean([len({*near.tolist()} & best) for near, best in zip(found, wanted, strict=True)]) >= 9.8


def test_nothing_is_added_to_a_damaged_graph(tmp_path: Path) -> None:
    """One flipped bit, or a file that is gone, is an error before usearch sees it; so are keys that don't belong."""
    keys, rows = numbered(600), unit_rows(600)
    first = built(tmp_path, keys[:300], rows[:300])
    path = segment_path(tmp_path, first.name)
    for wrong in (keys[:299], keys[400:]):
        with pytest.raises(InvalidInput, match="a base must hold 300"):
            build_segment(tmp_path, new_id(), keys[:350], rows[:350], base=Base(first, wrong))
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    overwrite(path, content)
    with pytest.raises(DamagedFile, match="expected blake3"):
        build_segment(tmp_path, new_id(), keys, rows, base=Base(first, keys[:300]))
    path.unlink()
    with pytest.raises(DamagedFile, match=first.name):
        build_segment(tmp_path, new_id(), keys, rows, base=Base(first, keys[:300]))
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_never_used_twice(tmp_path: Path) -> None:
    """A segment is never overwritten: others may have it mapped."""
    info = built(tmp_path, numbered(3), unit_rows(3))

    with pytest.raises(InvalidInput, match="never used twice"):
        build_segment(tmp_path, info.name, numbered(3), unit_rows(3))
    opened(tmp_path, info).search(np.ones((1, DIM), np.float32), 1)


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

    found = opened(tmp_path, info).search(unit_rows(1).astype(np.float32), 10)
    assert len({*found[0].tolist()} - {NO_KEY}) == 10


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
            opened(folder, info)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """Cut off, extended or absent: an error that names the file."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    path = segment_path(tmp_path, info.name)
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"x", b""):
        overwrite(path, wrong)
        with pytest.raises(DamagedFile, match=f"expected {info.size} bytes"):
            opened(tmp_path, info)
    path.unlink()
    with pytest.raises(DamagedFile, match=info.name):
        opened(tmp_path, info)


@pytest.mark.parametrize("place", ["rows", "columns", "magic", "scalar", "dims"])
def test_a_head_that_says_otherwise_is_refused(tmp_path: Path, place: str) -> None:
    """With a checksum that fits, a file of other rows, dims or kinds is still refused: usearch would adopt them."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    path = segment_path(tmp_path, info.name)
    content = bytearray(path.read_bytes())
    head = 8 + 40 * DIM
    content[{"rows": 0, "columns": 4, "magic": head, "scalar": head + 14, "dims": head + 33}[place]] ^= 1
    overwrite(path, content)

    with pytest.raises(DamagedFile, match="expected"):
        opened(tmp_path, info._replace(checksum=blake3(content).hexdigest()))


def test_a_segment_of_another_dim_is_refused(tmp_path: Path) -> None:
    """Vectors of two widths never meet."""
    info = built(tmp_path, numbered(40), unit_rows(40))

    with pytest.raises(DamagedFile, match="matrix"):
        opened(tmp_path, info, DIM * 2)


def test_a_file_is_verified_once(tmp_path: Path) -> None:
    """The checksum is compared when a file is first opened, and again when it was touched."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    verified = Remembered()
    for _ in range(3):
        OpenSegment(tmp_path, info, DIM, verified=verified).close()
        assert len(verified) == 1
    path = segment_path(tmp_path, info.name)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    overwrite(path, content)

    with pytest.raises(DamagedFile, match="blake3"):
        OpenSegment(tmp_path, info, DIM, verified=verified)


def test_a_search_finds_nearly_what_exact_search_finds(tmp_path: Path) -> None:
    """Recall at 10 is at least .95 on 5,000 clustered rows of 64 values, with a few more asked for."""
    keys, rows = numbered(5000, 100), clusters(5000, 64, 0)
    queries = clusters(5200, 64, 0)[5000:].astype(np.float32)

    found = opened(tmp_path, built(tmp_path, keys, rows), 64).search(queries, 26)

    hits = [len({*near.tolist()} & {*exact(keys, rows, query, 10)}) for near, query in zip(found, queries, strict=True)]
    assert np.mean(hits) / 10 >= 0.95


@pytest.mark.parametrize("queries", [0, 1, 3])
def test_missing_places_are_padded(tmp_path: Path, queries: int) -> None:
    """More asked for than there is: the rest is the key that stands for none."""
    segment = opened(tmp_path, built(tmp_path, numbered(4), unit_rows(4)))

    keys = segment.search(unit_rows(queries, seed=1).astype(np.float32), 6)

    assert keys.shape == (queries, 6)
    assert keys.dtype == np.uint64
    assert (keys[:, 4:] == NO_KEY).all()
    assert (np.sort(keys[:, :4], axis=1) == np.arange(4)).all()


def test_threads_search_at_once(tmp_path: Path) -> None:
    """Four threads get what one thread gets, and the file is mapped once."""
    rows = clusters(3000, 32, 1)
    info = built(tmp_path, numbered(3000), rows)
    segment = opened(tmp_path, info, 32)
    queries = rows[::7].astype(np.float32)
    alone = segment.search(queries, 10)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(lambda at: segment.search(queries[at : at + 1], 10), list(range(len(queries))) * 3))

    for place, keys in enumerate(parts):
        np.testing.assert_array_equal(keys[0], alone[place % len(queries)])
    assert Path("/proc/self/maps").read_text().count(str(segment_path(tmp_path, info.name))) == 1


def test_a_closed_segment_lets_go(tmp_path: Path) -> None:
    """After close the file is no longer mapped, and a search says that it is closed."""
    info = built(tmp_path, numbered(40), unit_rows(40))
    segment = opened(tmp_path, info)
    segment.close()

    assert str(segment_path(tmp_path, info.name)) not in Path("/proc/self/maps").read_text()
    with pytest.raises(CollectionClosed):
        segment.search(unit_rows(1).astype(np.float32), 1)


@pytest.mark.parametrize(
    ("queries", "count"),
    [(np.ones((1, DIM)), 3), (np.ones(DIM, np.float32), 3), (np.ones((1, 3), np.float32), 3)]
    + [(np.ones((1, DIM), np.float32), count) for count in (0, -1)],
)
def test_bad_queries_are_refused(tmp_path: Path, queries: npt.NDArray[np.float32], count: int) -> None:
    """Segment and version refuse the same shapes, types and counts."""
    segment = opened(tmp_path, built(tmp_path, numbered(4), unit_rows(4)))
    version = version_of(numbered(4), unit_rows(4))
    for search in (segment.search, version.candidates):
        with pytest.raises(InvalidInput):
            search(queries, count)

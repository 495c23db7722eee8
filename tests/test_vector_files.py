"""Vector files: what was committed comes back, and nothing else does."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import CollectionClosed, DamagedFile, InvalidInput, StorageFailed
from crossfade.index import FileExtent, VectorFile, VectorWriter, is_owned, new_id

SPACE = "0123456789abcdef" * 2
DIM = 5

OWNER = """
import sys, time
from crossfade.index import FileExtent, VectorWriter
writer = VectorWriter.try_open(sys.argv[1], sys.argv[2], 5, sys.argv[3], lambda: FileExtent(0, 0))
sys.stdout.write("owned\\n" if writer else "refused\\n")
sys.stdout.flush()
sys.stdin.readline()
"""

FORKED = """
import os, sys
from crossfade.errors import CollectionClosed
from crossfade.index import VectorWriter, is_owned
writer = VectorWriter.create(sys.argv[1], 5, sys.argv[2])
to_child, from_parent = os.pipe()
to_parent, from_child = os.pipe()
if os.fork() == 0:
    try:
        writer.rewind(writer.extent)
        os.write(from_child, b"usable")
    except CollectionClosed:
        os.write(from_child, b"closed")
    os.read(to_child, 1)
    os._exit(0)
said = os.read(to_parent, 6).decode()
owned = is_owned(sys.argv[1], writer.file_id)
writer.close()
sys.stdout.write(f"{said} {owned} {is_owned(sys.argv[1], writer.file_id)}")
os.write(from_parent, b"x")
os.wait()
"""


def some_rows(count: int, dim: int = DIM, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)


def some_keys(count: int, first: int = 0) -> npt.NDArray[np.uint64]:
    return np.arange(first, first + count, dtype=np.uint64)


def some_hashes(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)


def filled(folder: Path, blocks: tuple[int, ...] = (3, 1, 4), dim: int = DIM) -> tuple[str, FileExtent]:
    """A closed vector file of some blocks: its id and its extent."""
    with VectorWriter.create(folder, dim, SPACE) as writer:
        first = 0
        for count in blocks:
            writer.append(some_keys(count, first), some_hashes(count), some_rows(count, dim, first), 1.5)
            first += count
        return writer.file_id, writer.extent


def reader(folder: Path, file_id: str, dim: int = DIM, space: str = SPACE) -> VectorFile:
    return VectorFile.map(folder, file_id, dim, space)


def opened(folder: Path, file_id: str, committed: FileExtent) -> VectorWriter:
    writer = VectorWriter.try_open(folder, file_id, DIM, SPACE, lambda: committed)
    assert writer is not None
    return writer


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(content)


def one_bit_a_byte(path: Path) -> list[int]:
    return [8 * byte + byte % 8 for byte in range(path.stat().st_size)]


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can be written beyond `size`, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@settings(deadline=None, max_examples=50)
@given(dim=st.integers(1, 40), sizes=st.lists(st.integers(1, 20), max_size=6), seed=st.integers(0, 2**32 - 1))
def test_what_was_appended_comes_back(dim: int, sizes: list[int], seed: int) -> None:
    """Keys, hashes, times and rows (as float16) of all blocks are read back in order, whatever the sizes."""
    rng = np.random.default_rng(seed)
    total = sum(sizes)
    keys = rng.permutation(some_keys(total, 7))
    hashes = rng.integers(0, 256, (total, 16), dtype=np.uint8)
    rows = rng.standard_normal((total, dim), dtype=np.float32)
    with tempfile.TemporaryDirectory() as name, VectorWriter.create(name, dim, SPACE) as writer:
        file = reader(Path(name), writer.file_id, dim)
        at = 0
        for number, size in enumerate(sizes):
            part = slice(at, at + size)
            at += size
            new = file.refresh(writer.append(keys[part], hashes[part], rows[part], float(number)))
            assert new.first_row == part.start
            np.testing.assert_array_equal(new.keys, keys[part])

        again = reader(Path(name), writer.file_id, dim)
        every = again.refresh(writer.extent)
        np.testing.assert_array_equal(every.keys, keys)
        np.testing.assert_array_equal(np.concatenate([hashes[:0], *(it.text_hashes for it in again.blocks())]), hashes)
        assert every.keys.dtype == np.uint64
        assert every.first_row == 0
        for known in (file, again):
            assert known.rows().dtype == np.float16
            np.testing.assert_array_equal(known.rows(), rows.astype(np.float16))
        assert again.verify() == total
        assert [block.embedded_at for block in again.blocks()] == [float(n) for n in range(len(sizes))]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    """Before anything is committed every answer is empty, of the right shape and type."""
    file_id, _ = filled(tmp_path, ())
    file = reader(tmp_path, file_id)

    new = file.refresh(FileExtent())

    assert (new.keys.shape, new.first_row) == ((0,), 0)
    assert file.rows().shape == (0, DIM)
    assert file.rows().dtype == np.float16
    assert file.verify() == 0


def test_rows_are_read_only_and_old_maps_stay_valid(tmp_path: Path) -> None:
    """A search goes on with the rows it took while the file grows."""
    with VectorWriter.create(tmp_path, DIM, SPACE) as writer:
        file = reader(tmp_path, writer.file_id)
        file.refresh(writer.append(some_keys(2), some_hashes(2), some_rows(2), 0.0))
        before = file.rows()
        file.refresh(writer.append(some_keys(900, 2), some_hashes(900), some_rows(900), 0.0))

    assert (len(before), len(file.rows())) == (2, 902)
    np.testing.assert_array_equal(before, some_rows(2).astype(np.float16))
    assert not before.flags.writeable


def test_what_is_not_published_is_not_seen(tmp_path: Path) -> None:
    """A reader sees the extent it was given, though the files are longer."""
    file_id, committed = filled(tmp_path, (3,))
    with opened(tmp_path, file_id, committed) as writer:
        writer.append(some_keys(2, 50), some_hashes(2), some_rows(2), 0.0)

    file = reader(tmp_path, file_id)
    assert file.refresh(committed).keys.tolist() == [0, 1, 2]
    assert len(file.rows()) == 3


@pytest.mark.parametrize("suffix", ["rows", "blocks"])
def test_a_torn_tail_is_cut_off(tmp_path: Path, suffix: str) -> None:
    """Junk behind the committed extent, from a crash, is ignored by readers and cut by the next writer."""
    file_id, extent = filled(tmp_path)
    path = tmp_path / f"{file_id}.{suffix}"
    whole = path.read_bytes()
    path.write_bytes(whole + b"junk" * 100)

    assert reader(tmp_path, file_id).refresh(extent).keys.tolist() == list(range(8))
    with opened(tmp_path, file_id, extent) as writer:
        assert path.read_bytes() == whole
        after = writer.append(some_keys(1, 8), some_hashes(1), some_rows(1, seed=9), 0.0)

    file = reader(tmp_path, file_id)
    assert file.refresh(after).keys.tolist() == list(range(9))
    assert file.verify() == 9


def test_rewinding_drops_what_was_not_published(tmp_path: Path) -> None:
    """After a transaction that failed, the next block stands where the dropped one stood."""
    with VectorWriter.create(tmp_path, DIM, SPACE) as writer:
        kept = writer.append(some_keys(3), some_hashes(3), some_rows(3), 0.0)
        writer.append(some_keys(5, 100), some_hashes(5), some_rows(5), 0.0)
        writer.rewind(kept)
        extent = writer.append(some_keys(2, 200), some_hashes(2), some_rows(2, seed=1), 0.0)
        with pytest.raises(InvalidInput, match="rewind"):
            writer.rewind(FileExtent(extent.rows + 1, extent.block_bytes))

    file = reader(tmp_path, writer.file_id)
    assert file.refresh(extent).keys.tolist() == [0, 1, 2, 200, 201]
    assert file.verify() == 5


def test_damage_anywhere_in_the_journal_is_noticed(tmp_path: Path) -> None:
    """No byte of a record can change without refresh saying so, and then nothing becomes visible."""
    file_id, extent = filled(tmp_path, (2, 1))
    path = tmp_path / f"{file_id}.blocks"
    for bit in one_bit_a_byte(path):
        flip(path, bit)
        file = reader(tmp_path, file_id)
        with pytest.raises(DamagedFile, match="blocks"):
            file.refresh(extent)
        assert (len(file.rows()), file.extent) == (0, FileExtent())
        flip(path, bit)
    assert reader(tmp_path, file_id).refresh(extent).keys.tolist() == [0, 1, 2]


def test_damage_anywhere_in_the_rows_is_noticed(tmp_path: Path) -> None:
    """verify finds any changed byte of the rows, unless the block was to be skipped."""
    file_id, extent = filled(tmp_path, (2, 3))
    path = tmp_path / f"{file_id}.rows"
    file = reader(tmp_path, file_id)
    file.refresh(extent)
    for bit in one_bit_a_byte(path):
        flip(path, bit)
        with pytest.raises(DamagedFile, match="rows"):
            file.verify()
        flip(path, bit)
    flip(path, 0)
    assert file.verify(from_row=2) == 3
    with pytest.raises(DamagedFile):
        file.verify(from_row=1)


@pytest.mark.parametrize("suffix", ["rows", "blocks"])
@pytest.mark.parametrize("damage", ["short", "absent"])
def test_a_short_or_absent_file_is_damage(tmp_path: Path, suffix: str, damage: str) -> None:
    """A file shorter than what is committed is an error for reader and writer, no signal; it isn't filled up."""
    file_id, extent = filled(tmp_path)
    path = tmp_path / f"{file_id}.{suffix}"
    if damage == "short":
        os.truncate(path, path.stat().st_size - 1)
    else:
        path.unlink()

    with pytest.raises(DamagedFile, match=suffix):
        reader(tmp_path, file_id).refresh(extent)
    with pytest.raises(DamagedFile, match=suffix):
        VectorWriter.try_open(tmp_path, file_id, DIM, SPACE, lambda: extent)


def test_a_file_cut_off_while_mapped_is_damage(tmp_path: Path) -> None:
    """verify compares the sizes again before it reads."""
    file_id, extent = filled(tmp_path)
    file = reader(tmp_path, file_id)
    file.refresh(extent)
    os.truncate(tmp_path / f"{file_id}.rows", 4)

    with pytest.raises(DamagedFile, match="committed"):
        file.verify()


def test_records_of_elsewhere_are_refused(tmp_path: Path) -> None:
    """A journal names its file, its dim and its Space; whole and sound, it is damage in another's place."""
    one, extent = filled(tmp_path, (2,))
    two, _ = filled(tmp_path, (2,))
    with pytest.raises(DamagedFile, match="Space"):
        reader(tmp_path, one, space="f" * 32).refresh(extent)
    with pytest.raises(DamagedFile, match="Space"):
        reader(tmp_path, one, dim=DIM - 1).refresh(extent)
    for suffix in ("rows", "blocks"):
        (tmp_path / f"{one}.{suffix}").replace(tmp_path / f"{two}.{suffix}")
    with pytest.raises(DamagedFile, match=f"expected .*{two}.* found .*{one}"):
        reader(tmp_path, two).refresh(extent)


def test_an_extent_does_not_shrink(tmp_path: Path) -> None:
    """Committed rows never go away, so a smaller extent is the caller's mistake."""
    file_id, extent = filled(tmp_path)
    file = reader(tmp_path, file_id)
    file.refresh(extent)

    with pytest.raises(InvalidInput, match="shrink"):
        file.refresh(FileExtent())


@pytest.mark.parametrize("rows", [7, 9])
def test_the_journal_must_account_for_every_row(tmp_path: Path, rows: int) -> None:
    """An extent whose rows and records disagree is damage."""
    file_id, extent = filled(tmp_path)
    with (tmp_path / f"{file_id}.rows").open("ab") as file:
        file.write(b"\0" * 2 * DIM)

    with pytest.raises(DamagedFile, match=f"8 rows where {rows}"):
        reader(tmp_path, file_id).refresh(extent._replace(rows=rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": some_keys(2).astype(np.int64)}, "keys must be uint64"),
        ({"keys": some_keys(3)}, "keys must be uint64"),
        ({"keys": np.array([4, 4], np.uint64)}, "differ"),
        ({"keys": np.array([4, 2**64 - 1], np.uint64)}, "stands for none"),
        ({"text_hashes": some_hashes(1)}, "text_hashes"),
        ({"text_hashes": some_hashes(2).astype(np.int8)}, "text_hashes"),
        ({"rows": some_rows(2).astype(np.float64)}, "float32"),
        ({"rows": some_rows(2, DIM + 1)}, "float32"),
        ({"rows": some_rows(0), "keys": some_keys(0), "text_hashes": some_hashes(0)}, "at least 1"),
        ({"rows": np.full((2, DIM), np.nan, np.float32)}, "2 are not, first row 0"),
        ({"rows": np.array([[0] * DIM, [0] * 4 + [-np.inf]], np.float32)}, "1 are not, first row 1"),
        ({"rows": np.full((2, DIM), 65505, np.float32)}, "65504"),
        ({"embedded_at": float("nan")}, "embedded_at"),
    ],
)
def test_bad_blocks_are_refused_whole(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """What can't be used is refused before anything is written, and the writer goes on."""
    good = {"keys": some_keys(2), "text_hashes": some_hashes(2), "rows": some_rows(2), "embedded_at": 0.0}
    with VectorWriter.create(tmp_path, DIM, SPACE) as writer:
        with pytest.raises(InvalidInput, match=message):
            writer.append(**{**good, **change})  # type: ignore[arg-type]
        assert [path.stat().st_size for path in tmp_path.iterdir()] == [0, 0]
        assert writer.append(**good).rows == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("file_id", ["", "../../ab", "0123456G", "0123456", "0123456\n", "012345678"])
def test_only_our_own_names_become_paths(tmp_path: Path, file_id: str) -> None:
    """An id that is not eight hexadecimal digits never reaches the file system."""
    with pytest.raises(InvalidInput, match="eight hexadecimal"):
        VectorWriter.try_open(tmp_path, file_id, DIM, SPACE, FileExtent)
    with pytest.raises(InvalidInput, match="eight hexadecimal"):
        reader(tmp_path, file_id)
    with pytest.raises(InvalidInput, match="eight hexadecimal"):
        is_owned(tmp_path, file_id)


@pytest.mark.parametrize(("dim", "space"), [(0, SPACE), (70_000, SPACE), (DIM, "ab"), (DIM, "x" * 32)])
def test_bad_dims_and_fingerprints_are_refused(tmp_path: Path, dim: int, space: str) -> None:
    """A file without a Space can't be made."""
    with pytest.raises(InvalidInput):
        VectorWriter.create(tmp_path, dim, space)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in the place of a file is refused and its target left alone."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    name = new_id()
    (tmp_path / f"{name}.rows").symlink_to(target)

    with pytest.raises(StorageFailed):
        VectorWriter.try_open(tmp_path, name, DIM, SPACE, FileExtent)
    assert target.read_bytes() == b"precious"


def test_a_full_disk_acknowledges_nothing(tmp_path: Path) -> None:
    """A write that fails is an error; the writer stays unusable, and a new one starts at what was committed."""
    file_id, extent = filled(tmp_path)
    with opened(tmp_path, file_id, extent) as writer:
        with largest_file(1000), pytest.raises(StorageFailed, match="rows"):
            writer.append(some_keys(200, 50), some_hashes(200), some_rows(200), 0.0)
        with pytest.raises(StorageFailed, match="earlier"):
            writer.append(some_keys(1, 50), some_hashes(1), some_rows(1), 0.0)
        with pytest.raises(StorageFailed, match="earlier"):
            writer.rewind(extent)

    with opened(tmp_path, file_id, extent) as writer:
        after = writer.append(some_keys(1, 50), some_hashes(1), some_rows(1), 0.0)
    file = reader(tmp_path, file_id)
    assert file.refresh(after).keys.tolist() == [*range(8), 50]
    assert file.verify() == 9


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    """Nothing can be appended after close, and closing twice is harmless."""
    writer = VectorWriter.create(tmp_path, DIM, SPACE)
    writer.close()
    writer.close()

    with pytest.raises(CollectionClosed):
        writer.append(some_keys(1), some_hashes(1), some_rows(1), 0.0)


def test_a_file_has_one_owner(tmp_path: Path) -> None:
    """Another process gets None while the first has the file, and the file once the first was killed."""
    name = new_id()
    command = [sys.executable, "-c", OWNER, str(tmp_path), name, SPACE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:  # type: ignore[call-overload]
        assert first.stdout.readline() == "owned\n"
        assert is_owned(tmp_path, name)
        # The catalog is asked for the extent only by the one who has the lock.
        assert VectorWriter.try_open(tmp_path, name, DIM, SPACE, lambda: pytest.fail("asked")) is None
        first.kill()
        first.wait()
    assert not is_owned(tmp_path, name)
    with opened(tmp_path, name, FileExtent()):
        done = subprocess.run(command, input="\n", capture_output=True, text=True, check=True)
        assert done.stdout == "refused\n"
    assert not is_owned(tmp_path, new_id())


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    """A writer is closed in a forked child, so that the child neither writes nor outlives the ownership."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path), SPACE]

    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout == "closed True False"

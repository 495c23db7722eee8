"""Sealing: rows become segments by themselves, merged and built again, and no answer changes by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossfade as cf
from crossfade.catalog import files, versions
from crossfade.index import graph
from crossfade.store import sealing
from support import documents, filled, is_first, settle, text_of, wait_until


def segments_of(folder: Path, version: int = 1) -> list[Path]:
    return sorted((folder / f"versions/{version:04d}").glob("*.segment"))


def sealed(folder: Path, encoder: cf.Encoder, count: int, monkeypatch: pytest.MonkeyPatch) -> cf.Collection:
    """A collection whose tail is sealed from 100 rows on, written in batches of 50."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    docs = cf.Collection.create(folder, encoder)
    for start in range(0, count, 50):
        docs.upsert(documents(50, start=start))
    return docs


def test_sealing_changes_no_result(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows move from the tail into segments by themselves, and searches find what an exact search finds."""
    with sealed(folder, old, 1_000, monkeypatch) as docs:
        settle(docs)
        assert segments_of(folder)
        rows = old.encode([item.content for item in documents(1_000)])
        queries = [text_of(number, words=5) for number in range(2_000, 2_030)]
        exact = np.argsort(-(old.encode(queries, kind="query") @ rows.T), axis=1, kind="stable")[:, :10]
        found = docs.search(queries, k=10)
        shared = [
            len({f"d{n}" for n in best} & set(hits.ids)) for best, hits in zip(exact.tolist(), found, strict=True)
        ]
        assert sum(shared) >= 0.99 * 10 * len(queries)
        is_first(docs, *range(0, 1_000, 97))


def test_a_segment_that_is_merged_is_added_to(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that stand in its graph are not put in again, edited and deleted ones neither; where many died, all are."""
    added: list[int] = []
    add = graph.add

    def counted(built: Any, form: Any, keys: Any, *arguments: Any) -> None:
        added.append(len(keys))
        add(built, form, keys, *arguments)

    monkeypatch.setattr(graph, "add", counted)
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(documents(400))
        settle(docs)
        docs.delete([f"d{number}" for number in range(10)])
        edited = [cf.Document(f"d{number}", text_of(5_000 + number)) for number in range(10, 20)]
        added.clear()
        docs.upsert([*edited, *documents(200, start=400)])
        settle(docs)
        assert sum(added) == 210
        (segment,) = docs._store.snapshot().live._segments
        assert segment.info.rows == 610
        is_first(docs, 20, 399, 400, 599)

        docs.delete([f"d{number}" for number in range(100, 200)])
        added.clear()
        docs.upsert(documents(400, start=600))
        settle(docs)
        assert sum(added) == len(docs) == 890
        is_first(docs, 20, 399, 400, 999)


def test_a_damaged_segment_is_not_added_to(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are built again from the vectors."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(documents(400))
        settle(docs)
        (path,) = segments_of(folder)
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(-100, 2)
            file.write(b"damaged")
        docs.upsert(documents(300, start=400))
        settle(docs)
        is_first(docs, 0, 399, 400, 699)
        (segment,) = docs._store.snapshot().live._segments
        assert segment.info.rows == 700


def test_a_builder_compares_checksums_for_the_readers(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new segment's checksum is compared before it is published, so that no search has to wait for it."""
    with sealed(folder, old, 300, monkeypatch) as docs:
        settle(docs)
        with docs._store.reading() as connection:
            compared = [identity for (identity,) in connection.execute("SELECT identity FROM verified")]
        current = docs._store.snapshot().live._segments
        assert current
        assert all(any(it.startswith(f"{segment.info.name}.segment:") for it in compared) for segment in current)


def test_what_is_written_while_a_segment_is_built_is_sealed_too(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to write once more for the rows of a commit that came while the builder was busy."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    build, busy, done = sealing.build_segment, threading.Event(), threading.Event()

    def slowly(*arguments: Any, **keywords: Any) -> Any:
        busy.set()
        assert done.wait(30)
        return build(*arguments, **keywords)

    monkeypatch.setattr(sealing, "build_segment", slowly)
    with cf.Collection.create(folder, old) as docs:
        docs.upsert(documents(150))
        assert busy.wait(30)
        docs.upsert(documents(150, start=150))
        done.set()
        docs._store._sealer.wait()
        with docs._store.reading() as connection:
            assert [file.sealed_rows for file in files.all_files(connection)] == [300]


def test_a_builder_that_fails_rests(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no segment can be built, rows are scanned, the history says why, and not every write tries again."""

    def failures() -> list[int]:
        with docs._store.reading() as connection:
            return [detail["times"] for _, event, detail in versions.history(connection) if event == "sealing failed"]

    monkeypatch.setattr(sealing, "LONGEST_REST_SECONDS", 1.0)
    with filled(folder, old, 50) as docs:
        lock = folder / "versions" / "0001" / "seal.lock"
        lock.mkdir()
        monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
        for start in range(50, 300, 50):
            docs.upsert(documents(50, start=start))
        wait_until(lambda: bool(failures()))
        assert failures() == [1]
        assert not segments_of(folder)
        is_first(docs, 3, 290)
        lock.rmdir()
        wait_until(lambda: time.monotonic() > docs._store._sealer._rest_until)
        docs.upsert(documents(1, start=300))
        wait_until(lambda: bool(segments_of(folder)))
        assert failures() == [1]


def test_rows_that_are_no_numbers_any_more_are_not_sealed(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a disk has lost some of a tail since it was opened, the history says so, and the builder goes on living."""

    def said() -> list[str]:
        with docs._store.reading() as connection:
            return [told["error"] for _, event, told in versions.history(connection) if event == "sealing failed"]

    with filled(folder, old, 50) as docs:
        docs.search(text_of(3))
        (rows,) = folder.glob("versions/0001/*.rows")
        with rows.open("r+b") as file:
            file.write(b"\xff" * 64)
        monkeypatch.setattr(sealing, "TAIL_ROWS", 60)
        docs.upsert(documents(50, start=50))
        wait_until(lambda: bool(said()))
        assert "not finite" in said()[0]
        assert not segments_of(folder)


def test_a_commit_stands_where_no_thread_can_be_started(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are scanned, and a later commit has them sealed."""

    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with filled(folder, old, 50) as docs:
        monkeypatch.setattr(sealing, "TAIL_ROWS", 60)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            docs.upsert(documents(50, start=50))
        is_first(docs, 3, 99)
        docs.upsert(documents(1, start=100))
        wait_until(lambda: bool(segments_of(folder)))


def test_segments_are_merged(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many times a tail is sealed, at most four segments are listed, and no row is in two."""
    with sealed(folder, old, 2_500, monkeypatch) as docs:
        settle(docs)
        with docs._store.reading() as connection:
            rows = [row for (row,) in connection.execute("SELECT rows FROM segment")]
        assert 1 <= len(rows) <= 4
        assert sum(rows) <= 2_500
        hits = docs.search(text_of(5), k=2_500)
        assert len(hits) == len(set(hits.ids)) == 2_500


def test_deleted_documents_stay_away_from_segments(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sealed and then deleted or edited is not found, before and after its segment is merged."""
    with sealed(folder, old, 600, monkeypatch) as docs:
        settle(docs)
        docs.delete([f"d{number}" for number in range(300)])
        docs.upsert([cf.Document(f"d{number}", f"edited text {number}") for number in range(300, 400)])
        for _ in range(2):
            hits = docs.search([text_of(number) for number in range(0, 400, 20)], k=50)
            assert not {f"d{number}" for number in range(300)} & {name for found in hits for name in found.ids}
            assert docs.search("edited text 333", k=1).ids == ["d333"]
            docs.upsert(documents(200, start=1_000))
            settle(docs)


def test_deleting_everything_leaves_an_empty_collection(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection whose every sealed row is dead answers with nothing, and takes documents again."""
    with sealed(folder, old, 300, monkeypatch) as docs:
        settle(docs)
        docs.delete([f"d{number}" for number in range(300)])
        assert docs.search(text_of(1), k=10).ids == []
        docs.upsert(documents(250, start=400))
        settle(docs)
        is_first(docs, 400, 649)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip, Path.unlink, lambda path: path.write_bytes(b"")], ids=["bit", "gone", "empty"]
)
def test_a_damaged_segment_is_survived(
    folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    """One flipped bit in a segment, a missing or an empty one: its rows are scanned, and nothing is lost."""
    with sealed(folder, old, 500, monkeypatch) as docs:
        settle(docs)
    for path in segments_of(folder):
        damage(path)
    with cf.Collection.open(folder, old) as docs:
        is_first(docs, *range(0, 500, 23))
        hits = docs.search(text_of(1), k=500)
        assert len(hits) == len(set(hits.ids)) == 500


def test_a_damaged_segment_is_built_again(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged segment leaves the catalog with the first search, and the next write seals its rows anew."""
    with sealed(folder, old, 500, monkeypatch) as docs:
        settle(docs)
    damaged = segments_of(folder)
    for path in damaged:
        flip(path)
    with cf.Collection.open(folder, old, read_only=True) as serving:
        is_first(serving, 3, 333)
    with cf.Collection.open(folder, old) as docs:
        is_first(docs, 3, 333)
        docs.upsert(documents(1, start=500))
        settle(docs)
        with docs._store.reading() as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM segment")}
            events = [event for (event,) in connection.execute("SELECT event FROM journal")]
        assert "segment lost" in events
        assert names
        assert not names & {path.stem for path in damaged}
        is_first(docs, *range(0, 501, 50))

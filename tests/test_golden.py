"""Golden collections: what an earlier crossfade wrote, every later one opens, searches and carries on."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import apsw
import pytest

import crossfade as cf
from crossfade.catalog.schema import FORMAT_VERSION
from crossfade.errors import NewerFormat
from crossfade.store import sealing
from support import documents, is_first, require_true_vectors, settle, text_of, wrapped

GOLDEN = Path(__file__).with_name("golden")
FORMATS = sorted(GOLDEN.glob("format-*"))
OLD, NEW = ("golden-old", 16, 11), ("golden-new", 24, 12)
COUNT = 20
UNJUDGED = [f"format-{number}" for number in range(1, 5)]


def copied(golden: Path, folder: Path) -> Path:
    shutil.copytree(golden, folder)
    return folder


def opened(folder: Path) -> cf.Collection:
    return cf.Collection.open(folder, wrapped(*OLD), wrapped(*NEW))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size and not path.name.endswith("-shm")
    }


def test_there_is_one_of_every_format() -> None:
    """Each format up to the present one has its golden collection."""
    assert [path.name for path in FORMATS] == [f"format-{number}" for number in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize("golden", FORMATS, ids=lambda path: path.name)
def test_golden_collection_opens(golden: Path, folder: Path) -> None:
    """Documents, versions and roles are as they were written."""
    with opened(copied(golden, folder)) as docs:
        assert len(docs) == COUNT + 1
        assert [docs.get(item.id) for item in documents(COUNT)] == documents(COUNT)
        titled = docs.get("titled")
        assert titled == cf.Document("titled", "text with a title", title="Title", updated_at=1.7e9, priority=2.0)
        assert [version["state"] for version in docs.status().versions] == ["retained", "live"]
        assert docs.space == wrapped(*NEW).space
        assert "d20" not in docs
        judged = [(judgement.query, judgement.id, judgement.grade) for judgement in docs.judgements()]
        assert judged == ([("a question", "d3", 2.0)] if golden.name not in UNJUDGED else [])


@pytest.mark.parametrize("golden", FORMATS, ids=lambda path: path.name)
def test_golden_segment_is_replaced_by_one_of_today(
    golden: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment of an earlier format is not added to: what takes it in is built as segments are built now."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 15)
    with opened(copied(golden, folder)) as docs:
        docs.upsert(documents(COUNT, start=100))
        settle(docs)
        (segment,) = docs._store.snapshot().live._segments
        assert segment.info.rows == 2 * COUNT + 1
        assert segment.info.scale > 0.0
        is_first(docs, 0, COUNT - 1, 100, 100 + COUNT - 1)


@pytest.mark.parametrize("golden", FORMATS, ids=lambda path: path.name)
def test_golden_collection_is_searched(golden: Path, folder: Path) -> None:
    """Its segment is used as it lies there, its vectors are those of its texts."""
    with opened(copied(golden, folder)) as docs:
        is_first(docs, *range(COUNT))
        assert docs.search("Title text with a title", k=1).ids == ["titled"]
        assert sorted(docs.search(text_of(1), k=100).ids) == sorted([f"d{n}" for n in range(COUNT)] + ["titled"])
        assert docs.search("text", k=5, filter={"parity": 1})[0].meta["parity"] == 1
        assert len(docs._store.snapshot().live._segments) == 1
    assert require_true_vectors(folder, 1, wrapped(*OLD)) == COUNT + 1
    assert require_true_vectors(folder, 2, wrapped(*NEW)) == COUNT + 1


@pytest.mark.parametrize("golden", FORMATS, ids=lambda path: path.name)
def test_golden_collection_goes_on(golden: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back, forward, written to, sealed, pruned, migrated once more: as if it had been made today."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 15)
    third = wrapped("third", 8, 3)
    with opened(copied(golden, folder)) as docs:
        docs.rollback()
        is_first(docs, 3)
        docs.upsert(documents(30, start=100))
        settle(docs)
        assert docs.migration is not None
        docs.migration.cutover()
        is_first(docs, 3, 110)
        docs.prune(force=True)
        fade = docs.migrate(third)
        fade.run()
        fade.cutover()
    assert require_true_vectors(folder, 3, third) == COUNT + 31


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_format_is_refused_and_not_touched(folder: Path, read_only: bool) -> None:
    """A collection of the next format gives NewerFormat, and not one byte of it is written."""
    copied(FORMATS[-1], folder)
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    connection.close()
    before = digests(folder)
    with pytest.raises(NewerFormat, match=f"format {FORMAT_VERSION + 1}.*install a newer crossfade"):
        cf.Collection.open(folder, wrapped(*OLD), wrapped(*NEW), read_only=read_only)
    assert digests(folder) == before

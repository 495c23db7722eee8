"""Backups: a copy made while others write is a collection, whole and of one moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import crash_child
import crossfade as cf
from crossfade import backup, doctor
from crossfade.errors import CollectionExists, DamagedFile, InvalidInput, StorageFailed
from crossfade.store import Store, sealing
from support import (
    COUNT,
    Child,
    content_of,
    documents,
    everything,
    filled,
    is_first,
    require_true_vectors,
    settle,
    stop_after_one_batch,
    text_of,
)


def require_sound(folder: Path) -> None:
    """The doctor finds nothing wrong, and nothing to note but what a migration has still to do."""
    noted = [finding for finding in doctor.examine(folder) if finding.severity != "ok" and finding.kind != "fill"]
    assert noted == [], "\n".join(map(str, noted))


@pytest.fixture
def sealed(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed collection of 400 documents with a segment."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    with filled(folder, old, COUNT) as docs:
        settle(docs)
    return folder


def test_a_backup_is_a_collection(sealed: Path, old: cf.Encoder, new: cf.Encoder, tmp_path: Path) -> None:
    """Documents, versions, segments and the migration are in it; it is searched, written to and carried on."""
    copied = tmp_path / "copies" / "copy.cf"
    with cf.Collection.open(sealed, old) as docs:
        fade = docs.migrate(new)
        fade.fit()
        fade.run(stop=stop_after_one_batch())
        settle(docs)
        before = content_of(sealed)
        told: list[tuple[int, int]] = []
        made = docs.backup(copied, progress=lambda done, total: told.append((done, total)))
        assert content_of(sealed) == before
        expected = docs.search([text_of(number) for number in range(20)], k=10)
    assert (made.path, made.documents, made.left_out) == (str(copied), COUNT, ())
    assert told == sorted(told)
    assert sorted(path.name for path in copied.parent.iterdir()) == ["copy.cf"], "no draft is left"
    require_sound(copied)
    assert everything(copied) == everything(sealed)
    with cf.Collection.open(copied, old, new) as docs:
        found = docs.search([text_of(number) for number in range(20)], k=10)
        assert [(hits.ids, list(hits)) for hits in found] == [(hits.ids, list(hits)) for hits in expected]
        assert docs._store.snapshot().live._segments
        docs.upsert(documents(5, start=900))
        assert docs.migration is not None
        docs.migration.run()
        docs.migration.cutover()
        is_first(docs, 3, 902)
    assert require_true_vectors(copied, 2, new) == COUNT + 5
    require_sound(copied)
    assert len(everything(sealed)) == COUNT


@pytest.mark.parametrize("first", range(3))
def test_a_copy_while_another_process_writes(folder: Path, old: cf.Encoder, tmp_path: Path, first: int) -> None:
    """The copy is what was there after some operation, none acknowledged before it began is missing."""
    cf.Collection.create(folder, old).close()
    writer = Child("operate", folder, 0)
    assert writer.line() == "ready"
    for _ in range(5 + first):
        acknowledged = int(writer.line().split()[1])
    with cf.Collection.open(folder, old, read_only=True) as docs:
        docs.backup(tmp_path / "copy.cf")
    lines = writer.kill()
    last = int(lines[-1].split()[1]) if lines else acknowledged
    require_sound(tmp_path / "copy.cf")
    texts = everything(tmp_path / "copy.cf")
    possible = [number for number in range(acknowledged + 1, last + 3) if crash_child.after(number) == texts]
    assert possible, f"not a state between operations {acknowledged} and {last}"
    assert require_true_vectors(tmp_path / "copy.cf", 1, old) == len(texts)
    with cf.Collection.open(tmp_path / "copy.cf", old) as docs:
        for identifier, text in list(texts.items())[:20]:
            assert docs.search(text, k=1).ids == [identifier]


def test_a_copy_during_a_fill(folder: Path, old: cf.Encoder, new: cf.Encoder, tmp_path: Path) -> None:
    """What a worker has taken is nobody's in the copy, where the migration can go on at once."""
    with filled(folder, old, COUNT) as docs:
        docs.migrate(new).fit()
        worker = Child("fill", folder, 60)
        assert worker.line() == "ready"
        worker.tell("go")
        assert worker.line().startswith("embedding")
        docs.backup(tmp_path / "copy.cf")
        worker.kill()
    require_sound(tmp_path / "copy.cf")
    with cf.Collection.open(tmp_path / "copy.cf", old, new) as docs:
        docs.migrate(new).run()
    assert require_true_vectors(tmp_path / "copy.cf", 2, new) == COUNT


def test_what_is_not_committed_is_not_copied(folder: Path, old: cf.Encoder, tmp_path: Path) -> None:
    """Bytes behind the committed length stay behind."""
    with filled(folder, old, 50) as docs:
        for path in folder.glob("versions/0001/*.rows"):
            with path.open("ab") as file:
                file.write(b"never published")
        docs.backup(tmp_path / "copy.cf")
    for path in (tmp_path / "copy.cf").glob("versions/0001/*.rows"):
        assert path.stat().st_size == 50 * old.space.dim * 2
    require_sound(tmp_path / "copy.cf")


def test_a_damaged_segment_is_left_out(sealed: Path, old: cf.Encoder, tmp_path: Path) -> None:
    """A view that is damaged or gone is no reason to be without a backup: the copy builds it again."""
    [path] = sealed.glob("versions/0001/*.segment")
    path.unlink()
    with cf.Collection.open(sealed, old, read_only=True) as docs:
        assert docs.backup(tmp_path / "copy.cf").left_out == (path.stem,)
    require_sound(tmp_path / "copy.cf")
    with cf.Collection.open(tmp_path / "copy.cf", old) as docs:
        is_first(docs, *range(0, COUNT, 37))


@pytest.mark.parametrize("kind", ["rows", "blocks"])
def test_damaged_vectors_are_not_copied(sealed: Path, old: cf.Encoder, tmp_path: Path, kind: str) -> None:
    """A backup that would be damaged is refused, and nothing stands at its name."""
    path = max(sealed.glob(f"versions/0001/*.{kind}"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with cf.Collection.open(sealed, old, read_only=True) as docs, pytest.raises(DamagedFile):
        docs.backup(tmp_path / "copy.cf")
    assert sorted(path.name for path in tmp_path.iterdir()) == [sealed.name]


def test_a_destination_that_is_taken(sealed: Path, old: cf.Encoder, tmp_path: Path) -> None:
    """What is there is never written over; not even an empty folder, not the collection itself."""
    (tmp_path / "taken").mkdir()
    with cf.Collection.open(sealed, old, read_only=True) as docs:
        for taken in (tmp_path / "taken", sealed):
            with pytest.raises(CollectionExists):
                docs.backup(taken)
        with pytest.raises(InvalidInput, match="lies inside"):
            docs.backup(sealed / "copy.cf")
        with pytest.raises(InvalidInput):
            docs.backup("nul\0byte")
    require_sound(sealed)


def test_a_destination_without_room(
    sealed: Path, old: cf.Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little space, or a place that can't be written, is said, and nothing is left there."""
    with cf.Collection.open(sealed, old, read_only=True) as docs:
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(StorageFailed):
            docs.backup(tmp_path / "file" / "copy.cf")
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(backup.shutil, "disk_usage", lambda path: usage._replace(free=10))
        with pytest.raises(StorageFailed, match="10 are free"):
            docs.backup(tmp_path / "copy.cf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", sealed.name]


def test_a_version_pruned_meanwhile(
    sealed: Path, old: cf.Encoder, new: cf.Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the versions change under a copy, it is made again, of what is there then."""
    with cf.Collection.open(sealed, old) as docs:
        fade = docs.migrate(new)
        fade.run()
        fade.cutover()
        copy_vectors = backup.copy_vectors

        def after_a_prune(*arguments: object) -> None:
            docs.prune(force=True)
            copy_vectors(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(backup, "copy_vectors", after_a_prune)
        docs.backup(tmp_path / "copy.cf")
    require_sound(tmp_path / "copy.cf")
    store = Store(tmp_path / "copy.cf")
    assert list(store.snapshot().indices) == [2]
    store.close()


def test_it_is_durable_before_it_has_its_name(
    sealed: Path, old: cf.Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and folder of the copy is synced before the rename."""
    synced: set[int] = set()
    named: list[set[int]] = []
    fsync, rename = os.fsync, Path.rename

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def at_rename(path: Path, target: Path) -> Path:
        if path.is_dir():
            named.append({found.stat().st_ino for found in (path, *path.rglob("*"))} - synced)
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", at_rename)
    with cf.Collection.open(sealed, old, read_only=True) as docs:
        docs.backup(tmp_path / "copy.cf")
    assert named == [set()]

"""The doctor: real damage of every kind is found and named, and repaired or said to be beyond repair."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

import crossfade as cf
from crossfade import doctor
from crossfade.doctor import environment, vectors
from crossfade.doctor.finding import Finding
from crossfade.errors import DamagedFile, NotACollection
from crossfade.index import FileExtent, VectorWriter
from crossfade.store import sealing
from support import (
    COUNT,
    OLD,
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
    wrapped,
)

AGED = 3_600.0


@pytest.fixture
def kb(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed collection of 400 documents with segments, tombstones, and several blocks in its vector file."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 100)
    with cf.Collection.create(folder, old) as docs:
        for start in range(0, COUNT + 40, 40):
            docs.upsert(documents(40, start=start))
        docs.delete([f"d{number}" for number in range(COUNT, COUNT + 40)])
        settle(docs)
    return folder


@pytest.fixture
def fading(kb: Path, old: cf.Encoder, new: cf.Encoder) -> Path:
    """The same in the middle of a migration: a Bridge, and a second version with tasks."""
    with cf.Collection.open(kb, old) as docs:
        fade = docs.migrate(new)
        fade.fit()
        fade.run(stop=stop_after_one_batch())
    return kb


def wrong(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.is_wrong]


def only(found: list[Finding], kind: str) -> Finding:
    """The one wrong finding of a kind, which is all that is wrong."""
    assert {finding.kind for finding in wrong(found)} == {kind}, "\n".join(map(str, wrong(found)))
    return next(finding for finding in wrong(found) if finding.kind == kind)


def notes(found: list[Finding], kind: str) -> list[Finding]:
    return [finding for finding in found if (finding.severity, finding.kind) == ("note", kind)]


def one(folder: Path, pattern: str) -> Path:
    """The largest file of a kind."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def flip(path: Path, at: float = 0.5) -> None:
    """Flips one bit, at a share of the file's length."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 4
    path.chmod(0o600)
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def sql(folder: Path, *statements: str) -> None:
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def age(path: Path) -> Path:
    """Makes a file or folder look old enough to be nobody's work in progress."""
    then = path.stat().st_mtime - AGED
    os.utime(path, (then, then))
    return path


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": flip,
    "cut off": cut,
    "empty": lambda path: os.truncate(path, 0),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("moving", [False, True])
def test_a_sound_collection(kb: Path, old: cf.Encoder, new: cf.Encoder, moving: bool) -> None:
    """Nothing is wrong with a collection as it is made, used and migrated; and looking changes nothing."""
    if moving:
        with cf.Collection.open(kb, old) as docs:
            docs.migrate(new).run()
            docs.upsert(documents(5, start=700))
    before = content_of(kb)
    found = doctor.examine(kb)
    assert wrong(found) == []
    assert {finding.kind for finding in found} >= {"sqlite", "file system", "disk", "catalog", "vectors", "segments"}
    assert content_of(kb) == before


def test_it_works_beside_a_service(kb: Path) -> None:
    """While other processes write without end, nothing is taken for damage."""
    writer = Child("operate", kb, 400)
    assert writer.line() == "ready"
    writer.line()
    for _ in range(5):
        assert wrong(doctor.examine(kb)) == []
        writer.line()
    writer.kill()
    assert wrong(doctor.examine(kb)) == []


def test_progress_is_told(kb: Path) -> None:
    """Progress goes up to all there is to read."""
    told: list[tuple[int, int]] = []
    doctor.examine(kb, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert {total for _, total in told} == {1}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["rows", "blocks"])
def test_a_damaged_vector_file(kb: Path, old: cf.Encoder, kind: str, damage: str) -> None:
    """Its sound vectors are kept, the documents of the others are embedded again, no document is lost."""
    path = one(kb, f"versions/0001/*.{kind}")
    texts = everything(kb)
    DAMAGES[damage](path)
    with cf.Collection.open(kb, old) as docs, pytest.raises(DamagedFile):
        docs.search(text_of(3))

    found = next(finding for finding in wrong(doctor.examine(kb)) if finding.severity == "damage")
    assert (found.kind, found.version, found.name) == ("vectors", 1, path.name[:8])
    assert "--repair" in found.remedy

    repaired = doctor.repair(kb, old)
    assert wrong(repaired) == []
    assert any("sound vectors kept" in finding.repaired for finding in repaired)
    assert not path.exists()
    assert everything(kb) == texts
    assert require_true_vectors(kb, 1, old) == COUNT
    with cf.Collection.open(kb, old) as docs:
        is_first(docs, *range(0, COUNT, 37))


def test_only_what_is_damaged_is_embedded_again(kb: Path) -> None:
    """One flipped bit costs the one block of 40 documents it lies in, and when the others were made stays known."""
    with cf.Collection.open(kb, wrapped(*OLD)) as docs:
        before = {number: docs.vectors(f"d{number}")[0].embedded_at for number in (3, 203, 399)}
    flip(one(kb, "versions/0001/*.rows"), 3 / 440)
    embedded: list[str] = []
    assert wrong(doctor.repair(kb, wrapped(*OLD, before=embedded.extend))) == []
    assert sorted(embedded) == sorted(text_of(number) for number in range(40))
    with cf.Collection.open(kb, wrapped(*OLD)) as docs:
        after = {number: docs.vectors(f"d{number}")[0].embedded_at for number in (3, 203, 399)}
    assert after[3] > before[3]
    assert (after[203], after[399]) == (before[203], before[399])


def test_repair_without_the_encoder(kb: Path, old: cf.Encoder) -> None:
    """What can't be embedded at once stays queued, is said, and is found by a later repair with the encoder."""
    flip(one(kb, "versions/0001/*.rows"))
    left = only(doctor.repair(kb), "missing")
    assert "40 documents have no vector" in left.what
    assert "cf.doctor.repair(folder, encoder)" in left.remedy
    with cf.Collection.open(kb, old) as docs:
        assert len(docs.search(text_of(3), k=1_000)) == COUNT - 40
    assert wrong(doctor.repair(kb, old)) == []
    assert require_true_vectors(kb, 1, old) == COUNT


def test_damage_of_a_version_that_is_filled(fading: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Vectors of a migration's target become tasks again, and the migration goes on with them."""
    flip(one(fading, "versions/0002/*.rows"))
    assert only(doctor.examine(fading), "vectors").version == 2
    assert wrong(doctor.repair(fading)) == []
    with cf.Collection.open(fading, old, new) as docs:
        fade = docs.migration
        assert fade is not None
        assert fade.status().done < 264
        fade.run()
        fade.cutover()
    assert require_true_vectors(fading, 2, new) == COUNT
    assert wrong(doctor.examine(fading)) == []


def test_a_vector_file_of_another_space(kb: Path, old: cf.Encoder, new: cf.Encoder, tmp_path: Path) -> None:
    """Vectors of a foreign Space are never served: their file is emptied and embedded again."""
    path = one(kb, "versions/0001/*.blocks")
    writer = VectorWriter.try_open(tmp_path, path.name[:8], old.space.dim, new.space.fingerprint, FileExtent)
    assert writer is not None
    with writer:
        keys = np.arange(1, 441, dtype=np.uint64)
        writer.append(keys, np.zeros((440, 16), np.uint8), np.ones((440, old.space.dim), np.float32), 1.0)
    content = (tmp_path / path.name).read_bytes()
    path.write_bytes(content.ljust(path.stat().st_size, b"\0"))
    assert any("Space" in finding.what for finding in wrong(doctor.examine(kb)))
    assert wrong(doctor.repair(kb, old)) == []
    assert require_true_vectors(kb, 1, old) == COUNT


def test_a_service_goes_on_through_a_repair(kb: Path, old: cf.Encoder) -> None:
    """A process that serves answers rightly after a repair by another one, without opening the collection again."""
    child = Child("serve", kb)
    assert child.line() == "ready"
    child.tell(text_of(3))
    assert '"d3"' in child.line()
    flip(one(kb, "versions/0001/*.rows"))
    assert wrong(doctor.repair(kb, old)) == []
    child.tell(text_of(203))
    assert '"d203"' in child.line()
    child.kill()


def test_a_writer_goes_on_through_a_repair(kb: Path, old: cf.Encoder) -> None:
    """A process whose vector file is repaired by another one writes to a new file, and loses nothing."""
    with cf.Collection.open(kb, old) as docs:
        docs.upsert(documents(10, start=600))
        writer = docs._store._writers._open[1].file_id
        path = kb / f"versions/0001/{writer}.rows"
        flip(path, 0.1)
        assert wrong(doctor.repair(kb, old)) == []
        assert path.exists(), "it is held by a living process"
        docs.upsert(documents(10, start=610))
        is_first(docs, 3, 605, 615)
    assert wrong(doctor.repair(kb)) == []
    assert not path.exists()
    assert require_true_vectors(kb, 1, old) == COUNT + 20


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment(kb: Path, old: cf.Encoder, damage: str) -> None:
    """It is named, dropped and built again; nothing is embedded for it."""
    path = one(kb, "versions/0001/*.segment")
    DAMAGES[damage](path)
    found = only(doctor.examine(kb), "segment")
    assert (found.severity, found.where) == ("damage", str(path))
    repaired = doctor.repair(kb)
    assert wrong(repaired) == []
    assert [finding.kind for finding in repaired if finding.repaired] == ["segment"]
    with cf.Collection.open(kb, old) as docs:
        assert docs._store.snapshot().live._segments
        is_first(docs, *range(0, COUNT, 37))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["bridge.json", "bridge-*.safetensors", "blend.json", "blend-*.safetensors"])
def test_a_damaged_bridge(fading: Path, old: cf.Encoder, new: cf.Encoder, name: str, damage: str) -> None:
    """It is forgotten, and the next run of the migration learns it again."""
    DAMAGES[damage](one(fading, f"bridges/0001-0002/*/{name}"))
    assert only(doctor.examine(fading), "bridge").severity == "damage"
    assert wrong(doctor.repair(fading)) == []
    with cf.Collection.open(fading, old, new) as docs:
        fade = docs.migration
        assert fade is not None
        assert not fade.status().fitted
        assert fade.run().fitted
    assert wrong(doctor.examine(fading)) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_description(kb: Path, damage: str) -> None:
    """A version's space.toml is written again from the catalog."""
    DAMAGES[damage](kb / "versions/0001/space.toml")
    assert only(doctor.examine(kb), "space").severity == "problem"
    assert wrong(doctor.repair(kb)) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE collection SET documents = 7", "documents says 7, there are 400"),
        ("UPDATE version SET pending = 3 WHERE id = 1", "pending of version 1 says 3, there are 0"),
        ("UPDATE version SET failed = 2 WHERE id = 1", "failed of version 1 says 2, there are 0"),
        ("UPDATE version SET cut = 5 WHERE id = 1", "cut of version 1 says 5, there are 0"),
    ],
)
def test_wrong_counts(kb: Path, statement: str, named: str) -> None:
    """A count that differs from what it counts is named, and counted again."""
    sql(kb, statement)
    assert only(doctor.examine(kb), "counts").what == named
    assert wrong(doctor.repair(kb)) == []


def test_documents_without_vector_and_task(fading: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Documents that a version would forget are queued again."""
    sql(fading, "DELETE FROM task WHERE version = 2")
    assert "neither a vector nor a task" in only(doctor.examine(fading), "vectors").what
    assert wrong(doctor.repair(fading)) == []
    with cf.Collection.open(fading, old, new) as docs:
        docs.migrate(new).run()
    assert require_true_vectors(fading, 2, new) == COUNT


def test_documents_with_vector_and_task(kb: Path) -> None:
    """A task for what is embedded already is taken away."""
    sql(kb, "INSERT INTO task (version, key, rank) SELECT 1, key, 0 FROM document LIMIT 3")
    assert "3 documents have a task though" in next(
        finding.what for finding in wrong(doctor.examine(kb)) if finding.kind == "vectors"
    )
    assert wrong(doctor.repair(kb)) == []


def test_a_vector_of_another_text(kb: Path, old: cf.Encoder) -> None:
    """A vector that was not made from the text its document has is replaced by one that is."""
    document = cf.Document("d3", "swapped behind the back")
    digest = document.text_hash.hex()
    sql(kb, f"UPDATE document SET text = '{document.text}', text_hash = x'{digest}' WHERE id = 'd3'")
    assert any("of another text" in finding.what for finding in wrong(doctor.examine(kb)))
    assert wrong(doctor.repair(kb, old)) == []
    assert require_true_vectors(kb, 1, old) == COUNT


def test_rows_that_no_search_reaches(kb: Path, old: cf.Encoder) -> None:
    """Vectors that count as sealed but stand in no segment are scanned and sealed again."""
    sql(kb, "DELETE FROM segment_range", "DELETE FROM segment")
    with cf.Collection.open(kb, old) as docs:
        assert len(docs.search(text_of(3), k=COUNT)) < COUNT
    assert "found" in only(doctor.examine(kb), "reach").what
    assert wrong(doctor.repair(kb)) == []
    with cf.Collection.open(kb, old) as docs:
        assert len(docs.search(text_of(3), k=COUNT)) == COUNT
        assert docs._store.snapshot().live._segments


def test_a_document_that_was_altered(kb: Path, old: cf.Encoder) -> None:
    """A text that differs from its hash is named by its document's id, and nothing pretends to repair it."""
    sql(kb, "UPDATE document SET text = 'altered' WHERE id = 'd3'", "UPDATE document SET meta = '{' WHERE id = 'd5'")
    found = only(doctor.examine(kb), "documents")
    assert found.severity == "damage"
    assert "2 documents are not as they were written: 'd3', 'd5'" in found.what
    assert "write these documents again" in found.remedy
    assert only(doctor.repair(kb), "documents").repaired == ""
    with cf.Collection.open(kb, old) as docs:
        docs.delete(["d3", "d5"])
        docs.upsert(documents(6))
    assert wrong(doctor.examine(kb)) == []


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: overwrite(path, 0, b"\xff" * 100),
        lambda path: overwrite(path, 4096 * 3, b"\xff" * 4096 * 8),
        cut,
        lambda path: os.truncate(path, 0),
        Path.unlink,
        lambda path: sql(path.parent, "UPDATE version SET space = 'nothing'"),
        lambda path: sql(path.parent, "UPDATE version SET state = 'dropped'"),
        lambda path: sql(path.parent, "DELETE FROM collection"),
        lambda path: sql(path.parent, "UPDATE file SET version = 77"),
    ],
    ids=["head", "pages", "cut off", "empty", "missing", "no space", "no version", "no row", "no parent"],
)
def test_a_damaged_catalog(kb: Path, damage: Callable[[Path], Any]) -> None:
    """The catalog is the only truth: damage of it is named, a backup is asked for, nothing is touched."""
    damage(kb / "catalog.sqlite")
    found = only(doctor.examine(kb), "catalog")
    assert (found.severity, found.where) == ("damage", str(kb / "catalog.sqlite"))
    assert "restore a backup" in found.remedy
    before = {path: path.read_bytes() for path in kb.rglob("*.rows")}
    assert only(doctor.repair(kb), "catalog").repaired == ""
    assert {path: path.read_bytes() for path in kb.rglob("*.rows")} == before


def test_two_live_versions(kb: Path) -> None:
    """A live pointer that the versions contradict is damage, not something to guess at."""
    sql(kb, "UPDATE version SET state = 'retained'")
    assert only(doctor.examine(kb), "live").severity == "damage"


def test_a_newer_format(kb: Path) -> None:
    """A collection of a newer crossfade is no damage."""
    sql(kb, "PRAGMA user_version = 99")
    found = only(doctor.examine(kb), "catalog")
    assert (found.severity, "install a newer crossfade" in found.what) == ("problem", True)


def test_no_collection(tmp_path: Path) -> None:
    """Where there is nothing to look at, that is an error and no finding."""
    with pytest.raises(NotACollection):
        doctor.examine(tmp_path)


@pytest.fixture
def orphans(kb: Path) -> list[Path]:
    """What killed processes can leave behind, an hour ago."""
    folder = kb / "versions/0001"
    names = ("0a0b0c0d.rows", "0a0b0c0d.blocks", "1a1b1c1d.segment", "2a2b2c2d.segment.tmp")
    made = [folder / name for name in names]
    for path in made:
        path.write_bytes(b"left behind")
    for path in (kb / "versions/0009", kb.with_name(f".{kb.name}.0123abcd"), kb / "bridges/0001-0001/89abcdef"):
        path.mkdir(parents=True)
        (path / "file").write_bytes(b"left behind")
        made.append(path)
    return [age(path) for path in made]


def test_leftovers(kb: Path, orphans: list[Path]) -> None:
    """Files and folders that nothing names are listed, and removed by a repair; none of it is wrong."""
    found = doctor.examine(kb)
    assert wrong(found) == []
    assert sorted(finding.where for finding in notes(found, "leftover")) == sorted(map(str, orphans))
    repaired = doctor.repair(kb)
    assert sum(finding.repaired == "removed" for finding in repaired) == len(orphans)
    assert not any(path.exists() for path in orphans)
    assert notes(doctor.examine(kb), "leftover") == []


def test_what_is_not_left_over(kb: Path, old: cf.Encoder) -> None:
    """What a living process writes, what was made a moment ago, and files of other people are left alone."""
    folder = kb / "versions/0001"
    with VectorWriter.create(folder, old.space.dim, old.space.fingerprint) as writer:
        age(folder / f"{writer.file_id}.rows")
        young = folder / "1a1b1c1d.segment"
        young.write_bytes(b"about to be named")
        foreign = [kb / "notes.txt", folder / "README", folder / "0a0b0c0d.rows.bak"]
        for path in foreign:
            path.write_bytes(b"mine")
            age(path)
        assert notes(doctor.examine(kb), "leftover") == []
        doctor.repair(kb)
        assert all(path.exists() for path in (*foreign, young, folder / f"{writer.file_id}.rows"))


def test_files_with_names_of_folders(kb: Path, old: cf.Encoder) -> None:
    """A file that is named as a version's folder would be is the user's: nothing looks into it, nothing removes it."""
    junk = [kb / "versions" / "0009", kb / "bridges" / "0001-0002"]
    for path in junk:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert wrong(doctor.repair(kb, old)) == []
    with cf.Collection.open(kb, old) as docs:
        docs.prune(force=True)
        is_first(docs, 3)
    assert [path.read_text() for path in junk] == ["mine", "mine"]


def test_leases_of_the_dead(fading: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Batches that a killed worker had taken are named, and given back."""
    worker = Child("fill", fading, 60)
    assert worker.line() == "ready"
    worker.tell("go")
    assert worker.line().startswith("embedding")
    assert notes(doctor.examine(fading), "lease") == [], "its holder is alive"
    worker.kill()
    found = doctor.examine(fading)
    assert wrong(found) == []
    assert "1 batches are leased to workers that died" in notes(found, "lease")[0].what
    doctor.repair(fading)
    assert notes(doctor.examine(fading), "lease") == []


def test_several_things_at_once(fading: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """All that is wrong is found and repaired in one go."""
    flip(one(fading, "versions/0001/*.rows"))
    cut(one(fading, "versions/0002/*.blocks"))
    flip(one(fading, "versions/0001/*.segment"))
    shutil.rmtree(fading / "bridges/0001-0002", ignore_errors=True)
    sql(fading, "UPDATE collection SET documents = 1")
    kinds = {finding.kind for finding in wrong(doctor.examine(fading))}
    assert kinds == {"vectors", "segment", "bridge", "counts"}
    assert wrong(doctor.repair(fading, old)) == []
    with cf.Collection.open(fading, old, new) as docs:
        docs.migrate(new).run()
    assert require_true_vectors(fading, 1, old) == require_true_vectors(fading, 2, new) == COUNT


def test_a_whole_version_folder_is_missing(kb: Path, old: cf.Encoder) -> None:
    """With all its vectors gone, a version is embedded again from the documents."""
    shutil.rmtree(kb / "versions/0001")
    assert {finding.kind for finding in wrong(doctor.examine(kb))} == {"space", "vectors", "segment"}
    assert wrong(doctor.repair(kb, old)) == []
    assert require_true_vectors(kb, 1, old) == COUNT


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/kb.cf", "ext4"), ("/mnt/far off/kb.cf", "nfs4"), ("/mnt/kb.cf", "ext4"), ("/mnt/win/kb.cf", "cifs")],
)
def test_the_file_system_is_told(tmp_path: Path, path: str, kind: str) -> None:
    """The mount that a folder lies on decides, also where its name has spaces."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/x /mnt/far\\040off nfs4 rw 0 0\n//server/y /mnt/win cifs rw 0 0\n"
    )
    assert environment.file_system(Path(path), mounts) == kind


def test_a_network_file_system_is_a_problem(kb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS and SMB are named, with what to do."""
    (tmp_path / "mounts").write_text("server:/x / nfs4 rw 0 0\n")
    monkeypatch.setattr(environment, "MOUNTS", tmp_path / "mounts")
    assert "move the folder to a local disk" in only(doctor.examine(kb), "file system").remedy


def test_a_full_disk_is_a_problem(kb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hardly anything is free, that is said before a write fails."""
    monkeypatch.setattr(environment, "LEAST_FREE", 1 << 62)
    assert "free space" in only(doctor.examine(kb), "disk").remedy


def test_golden_collections_are_sound(folder: Path) -> None:
    """What earlier releases wrote is sound, once it is brought up to the present format."""
    for golden in sorted(Path(__file__).with_name("golden").glob("format-*")):
        shutil.copytree(golden, folder)
        cf.Collection.open(folder, wrapped("golden-old", 16, 11), wrapped("golden-new", 24, 12)).close()
        assert wrong(doctor.examine(folder)) == []
        shutil.rmtree(folder)


def test_an_empty_collection_is_sound(folder: Path, old: cf.Encoder) -> None:
    """Nothing is wrong with having nothing."""
    cf.Collection.create(folder, old).close()
    assert wrong(doctor.examine(folder)) == []
    assert wrong(doctor.repair(folder)) == []


def test_a_segment_replaced_meanwhile_is_not_missing(
    kb: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is merged away while it is looked at is left out of the findings."""

    def then_replaced(case: Any) -> Iterator[Finding]:
        yield from vectors.check(case)
        sql(kb, "DELETE FROM segment_range", "DELETE FROM segment", "UPDATE file SET sealed_rows = 0")
        for path in kb.glob("versions/*/*.segment"):
            path.unlink()

    module = sys.modules["crossfade.doctor.examine"]
    checks = [then_replaced if check is vectors.check else check for check in module._CHECKS]
    monkeypatch.setattr(module, "_CHECKS", checks)
    assert wrong(doctor.examine(kb)) == []


def test_filled_helper_is_sound(folder: Path, old: cf.Encoder) -> None:
    """A collection written in one batch has one block, and is as sound."""
    filled(folder, old, 30).close()
    assert wrong(doctor.examine(folder)) == []

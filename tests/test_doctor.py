"""The doctor: real damage of every kind is found and named, and repaired or said to be beyond repair."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossfade as cf
from crossfade import doctor
from crossfade.doctor import vectors
from crossfade.doctor.finding import Finding
from crossfade.errors import DamagedFile
from crossfade.index import FileExtent, VectorWriter
from examined import cut, flip, one, only, sql, wrong
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
    text_of,
    wrapped,
)

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

"""The doctor on what was left behind: files that nothing names, and leases of the dead."""

from __future__ import annotations

from pathlib import Path

import pytest

import crossfade as cf
from crossfade import doctor
from crossfade.index import VectorWriter
from examined import age, notes, wrong
from support import (
    Child,
    is_first,
)


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

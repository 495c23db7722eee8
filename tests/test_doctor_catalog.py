"""The doctor on catalogs: damage of the only truth is named, and never guessed at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crossfade as cf
from crossfade import doctor
from crossfade.errors import NotACollection
from examined import cut, only, sql, wrong
from support import (
    COUNT,
    documents,
    require_true_vectors,
)


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

"""Collections to be damaged, how they are, and what the doctor finds of it."""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import pytest

import crossfade as cf
from crossfade.doctor.finding import Finding
from crossfade.store import sealing
from support import COUNT, documents, settle, stop_after_one_batch

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

"""Bad files: a collection or a model that is damaged, another's or not there is named, and left alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

import crossfade as cf
from crossfade.catalog.schema import FORMAT_VERSION
from crossfade.encoder.models import model_folder
from crossfade.errors import (
    CrossfadeError,
    DamagedFile,
    ModelDamaged,
    ModelUnavailable,
    NewerFormat,
    NotACollection,
)
from support import OLD, filled, text_of, wrapped


def test_a_corrupted_model_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, l3: cf.Encoder) -> None:
    """One flipped bit in a cached model is found before it is parsed, and the file is named."""
    cached = model_folder("minilm-l3")
    copy = tmp_path / "models" / "minilm-l3"
    shutil.copytree(cached, copy)
    monkeypatch.setenv("CROSSFADE_CACHE", str(tmp_path))
    monkeypatch.setattr("crossfade.encoder.loading.pull_manifest", _no_source)
    model = copy / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 4
    model.write_bytes(content)
    with pytest.raises(ModelDamaged, match=r"model\.onnx is not the file of the manifest; delete it"):
        cf.Encoder.load("minilm-l3")


def _no_source(*_: Any) -> None:
    """Stands in for the network: the sources give nothing, so that the damaged file itself must be refused."""


def _no_catalog(path: Path) -> None:
    path.unlink()


def _no_sqlite(path: Path) -> None:
    path.write_bytes(b"This is no database. " * 500)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other_sqlite(path: Path) -> None:
    path.unlink()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE t (x)")
    connection.close()


def _newer(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8_192])


@pytest.mark.parametrize(
    ("damage", "error", "fragment"),
    [
        (_no_catalog, NotACollection, r"catalog\.sqlite is missing"),
        (_no_sqlite, DamagedFile, "restore it from a backup"),
        (_empty, NotACollection, "no catalog of crossfade"),
        (_other_sqlite, NotACollection, "no catalog of crossfade"),
        (_newer, NewerFormat, "install a newer crossfade"),
        (_torn, DamagedFile, "restore it from a backup"),
    ],
    ids=["missing", "no SQLite", "empty", "another's", "newer", "torn"],
)
def test_catalogs_that_cannot_be_read(
    folder: Path, damage: Callable[[Path], None], error: type[CrossfadeError], fragment: str
) -> None:
    """A folder whose catalog is not ours, not whole or not of our time is named and left alone."""
    filled(folder, wrapped(*OLD), 50).close()
    damage(folder / "catalog.sqlite")
    before = _bytes_of(folder)
    with pytest.raises(error, match=fragment):
        cf.Collection.open(folder, wrapped(*OLD)).search(text_of(1))
    assert _bytes_of(folder) == before


def _bytes_of(folder: Path) -> dict[Path, bytes]:
    """All files but those SQLite makes beside a database it reads, which must be empty or gone."""
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: content for path, content in contents.items() if content and path.suffix != ".sqlite-shm"}


@pytest.mark.parametrize("value", ["CAST(x'7b22ff7d' AS TEXT)", "'{'"], ids=["no UTF-8", "no JSON"])
def test_a_value_that_cannot_be_read_is_named(folder: Path, value: str) -> None:
    """SQLite's pages have no checksums: what a flipped bit makes of a value is a DamagedFile, not another's error."""
    filled(folder, wrapped(*OLD), 50).close()
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    connection.execute(f"UPDATE document SET meta = {value}")
    connection.close()
    with (
        cf.Collection.open(folder, wrapped(*OLD)) as docs,
        pytest.raises(DamagedFile, match="restore it from a backup"),
    ):
        docs.search(text_of(1))


def test_a_file_is_no_collection(tmp_path: Path) -> None:
    """Neither is a file, nor an empty folder."""
    file = tmp_path / "file"
    file.write_text("text")
    for path in (file, tmp_path):
        with pytest.raises(NotACollection):
            cf.Collection.open(path)


@pytest.mark.parametrize("suffix", ["rows", "blocks"])
@pytest.mark.parametrize("how", ["bit", "cut", "gone"])
def test_a_damaged_vector_file_is_named(folder: Path, suffix: str, how: str) -> None:
    """Vectors are the truth: a damaged one is a DamagedFile that names it, and never a wrong answer."""
    filled(folder, wrapped(*OLD), 50).close()
    (path,) = folder.glob(f"versions/0001/*.{suffix}")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    damage = {"bit": content, "cut": content[:-1]}
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(damage[how])
    with cf.Collection.open(folder, wrapped(*OLD)) as docs, pytest.raises(DamagedFile, match=path.name):
        docs.search(text_of(1))


def test_a_cache_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models can't be fetched into it, and the error names the variable to set."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CROSSFADE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelUnavailable, match="set CROSSFADE_CACHE"):
        cf.Encoder.load("minilm-l3")

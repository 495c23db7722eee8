"""What tests build with: small real encoders, documents, and looks behind the scenes of a folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt

import crossfade as cf
from crossfade.catalog import documents as stored_documents
from crossfade.catalog import files as stored_files
from crossfade.catalog import versions
from crossfade.store import Store, sealing

Embed = Callable[[list[str]], npt.NDArray[np.float32]]
COUNT = 400  # documents of the `docs` fixture: enough for a Bridge and several batches
OLD, NEW, THIRD = ("old", 32, 1), ("new", 48, 2), ("third", 24, 3)


def bag_of_words(dim: int, seed: int) -> Embed:
    """A real, deterministic embedding of texts: random projection of their words' counts."""
    projection = np.random.default_rng(seed).standard_normal((512, dim), dtype=np.float32)

    def embed(texts: list[str]) -> npt.NDArray[np.float32]:
        counts = np.zeros((len(texts), 512), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                counts[row, int.from_bytes(hashlib.blake2b(word.encode()).digest()[:2]) % 512] += 1.0
        return counts @ projection

    return embed


def unit(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Rows at length one."""
    scaled: npt.NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def wrapped(name: str, dim: int, seed: int, before: Callable[[list[str]], Any] | None = None) -> cf.Encoder:
    """An encoder of the callable above; `before` is called with every list of texts first."""
    embed = bag_of_words(dim, seed)

    def function(texts: list[str]) -> npt.NDArray[np.float32]:
        if before:
            before(texts)
        return embed(texts)

    return cf.Encoder.wrap(function, cf.Space(model=name, dim=dim, version="1"))


def text_of(number: int, words: int = 12) -> str:
    """A text of random words that differs from every other number's."""
    generator = np.random.default_rng(number)
    return " ".join([f"n{number}", *(f"w{word}" for word in generator.integers(0, 400, words))])


def documents(count: int, start: int = 0) -> list[cf.Document]:
    """Documents d0, d1, … with texts of their own."""
    return [
        cf.Document(f"d{number}", text_of(number), meta={"parity": number % 2, "tags": [number % 3, "all"]})
        for number in range(start, start + count)
    ]


def filled(folder: Path, encoder: cf.Encoder, count: int) -> cf.Collection:
    """A new collection of `count` documents."""
    docs = cf.Collection.create(folder, encoder)
    docs.upsert(documents(count))
    return docs


def is_first(docs: cf.Collection, *numbers: int) -> None:
    """Searching for the text of d<number> finds it first."""
    found = docs.search([text_of(number) for number in numbers], k=1)
    assert [hits.ids for hits in found] == [[f"d{number}"] for number in numbers]


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Waits for something that another thread or process does."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.01)


def settle(docs: cf.Collection) -> None:
    """Waits until no tail is long enough to be sealed."""
    deadline = time.monotonic() + 30
    while True:
        with docs._store.reading() as connection:
            tails = Counter[int]()
            for file in stored_files.all_files(connection):
                tails[file.version] += file.rows - file.sealed_rows
        if max(tails.values(), default=0) <= sealing.TAIL_ROWS:
            return
        assert time.monotonic() < deadline, f"not sealed after 30 s: {tails}"
        docs._store.seal()
        time.sleep(0.01)  # the builder has the lowest priority: who waits for it must not be what it waits for


def require_true_vectors(folder: Path, version: int, encoder: cf.Encoder) -> int:
    """Every document has, in a version, the vector its present text gives; returns how many documents there are."""
    store = Store(folder)
    try:
        with store.reading() as connection:
            keys = stored_documents.all_keys(connection)
            found = stored_documents.fetch(connection, keys.tolist())
        rows = store.snapshot().indices[version].gather(keys.astype(np.uint64))
        expected = encoder.encode([found[key].content for key in keys.tolist()])
        cosines = np.einsum("nd,nd->n", rows, expected)
        assert (cosines > 0.999).all(), f"{(cosines <= 0.999).sum()} of {len(keys)} vectors are of another text"
        return len(keys)
    finally:
        store.close()


def require_intact(folder: Path) -> None:
    """SQLite finds nothing wrong, and the counters that triggers keep are right."""
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
    assert list(connection.execute("PRAGMA foreign_key_check")) == []
    assert list(connection.execute("SELECT documents - (SELECT count(*) FROM document) FROM collection")) == [(0,)]
    kept = "SELECT id, pending, failed FROM version"
    counted = "SELECT count(*), count(*) FILTER (WHERE state = 'failed') FROM task WHERE version = ?"
    for version, pending, failed in list(connection.execute(kept)):
        assert list(connection.execute(counted, (version,))) == [(pending, failed)]
    connection.close()


def leased(folder: Path) -> int:
    """How many tasks somebody holds."""
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    try:
        return int(next(connection.execute("SELECT count(*) FROM task WHERE state = 'leased'"))[0])
    finally:
        connection.close()


def everything(folder: Path) -> dict[str, str]:
    """Id → text of all documents."""
    store = Store(folder, read_only=True)
    try:
        with store.reading() as connection:
            found = stored_documents.fetch(connection, stored_documents.all_keys(connection).tolist())
        return {document.id: document.text for document in found.values()}
    finally:
        store.close()


class Child:
    """A program of crash_child.py in a process of its own."""

    def __init__(self, program: str, *arguments: object) -> None:
        script = Path(__file__).with_name("crash_child.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Its next line."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "it ended; what it wrote to standard error is in this report"
        return line.strip()

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def rest(self) -> list[str]:
        """Waits for its end; the lines not read yet."""
        assert self.process.stdout
        with self.process:
            return self.process.stdout.read().splitlines()

    def kill(self) -> list[str]:
        """Kills it as it stands, if it has not ended well before; the lines not read yet."""
        self.process.kill()
        lines = self.rest()
        assert self.process.returncode in (-9, 0)
        return lines


def history(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """The journal's events and their details, oldest first."""
    store = Store(folder)
    try:
        with store.reading() as connection:
            return [(event, detail) for _, event, detail in versions.history(connection)]
    finally:
        store.close()


def content_of(folder: Path) -> dict[str, str]:
    """Every file's digest, and every row of the catalog: equal twice exactly if nothing was written between.

    The shared memory of the catalog and an empty log of it come and go with readers.
    """
    contents = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    digests = {
        str(path.relative_to(folder)): hashlib.blake2b(content).hexdigest()
        for path, content in contents.items()
        if not path.name.endswith("-shm") and (content or not path.name.endswith("-wal"))
    }
    return digests | {"rows": _rows_of(folder / "catalog.sqlite")}


def _rows_of(catalog: Path) -> str:
    connection = apsw.Connection(str(catalog))
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return repr({name: list(connection.execute(f"SELECT * FROM {name}")) for name in sorted(tables)})
    finally:
        connection.close()


def states(docs: cf.Collection) -> dict[int, str]:
    """The role of every version, by its number."""
    return {version["number"]: version["state"] for version in docs.status().versions}


def failing_for(*bad: str) -> Callable[[list[str]], None]:
    """Raises for lists that hold one of these texts."""

    def check(texts: list[str]) -> None:
        for text in texts:
            if text in bad:
                raise ValueError(f"can't embed {text!r}")

    return check


def stop_after_one_batch() -> Callable[[], bool]:
    """A `stop=` that lets a run do one batch."""
    answers = iter([False])
    return lambda: next(answers, True)


def holds_in_a_child(check: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether `check` is true in a forked child of this process, which is killed after so long."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that forking with threads is risky is the point
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    return ended == (child, 0)

"""The checker: opens what is left of a collection and compares all of it with the model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np

import crossfade as cf
from crossfade.catalog import documents, files, versions
from crossfade.document import Document
from crossfade.errors import CrossfadeError
from crossfade.index import FileExtent, VectorFile
from faults.history import ENCODERS, FINGERPRINTS, Model, stages
from support import text_of

QUERIES = 20
K = 12
LEAST_COSINE = 0.999  # between a stored vector and its text's: rows are kept as float16
MOST_DIFFERENCE = 5e-3  # between a score and the cosine of the texts' vectors
MOST_SECONDS = 20.0  # on a machine that has other things to do
PROBE = "a probe that no history writes"

Answers = list[cf.Hits]


def inspect(folder: Path, seed: int, number: int, in_hand: bool, thorough: bool) -> tuple[list[str], int]:
    """What is wrong with a folder after `number` operations, and how many of them it really holds.

    Args:
        in_hand: Whether the next operation was under way, so that it may be done in part or in full.
        thorough: Whether to write to it, too, and to run a migration that is under way to its end.
    """
    problems = _of_the_catalog(folder)
    possible = stages(seed, number, in_hand)
    try:
        with cf.Collection.open(folder, *ENCODERS) as docs:
            found = [place for place, model in enumerate(possible) if _holds(docs, model)]
            if not found:
                return [*problems, *_differences(docs, possible)], number
            model = possible[found[0]]
            problems += _of_vectors(docs) + of_searches(docs, model) + _of_the_journal(docs)
            if thorough:
                problems += _of_going_on(docs, model)
        with cf.Collection.open(folder, *ENCODERS, read_only=True) as docs:
            problems += [] if _holds(docs, model) else ["it differs when it is opened again"]
    except Exception as error:
        problems.append(f"raised {type(error).__name__}: {error}")
        found = [0]
    return problems, number + (in_hand and found[0] == len(possible) - 1)


def answers(folder: Path) -> Answers:
    """What searches find."""
    with cf.Collection.open(folder, *ENCODERS) as docs:
        contents = sorted(_contents(docs).values())
        return docs.search([text for text, _ in contents[:: max(1, len(contents) // QUERIES)]], k=K)


def compare(model: Model, whole: Answers, found: Answers) -> list[str]:
    """How answers from a damaged folder differ from those of the whole one."""
    if len(whole) != len(found):
        return [f"{len(found)} answers for {len(whole)} queries"]
    contents = sorted(model.contents.values())
    queries = [text for text, _ in contents[:: max(1, len(contents) // QUERIES)]]
    problems = []
    for query, expected, hits in zip(queries, whole, found, strict=True):
        if hits.method == expected.method:
            if hits.ids != expected.ids or np.abs(hits.scores - expected.scores).max() > MOST_DIFFERENCE:
                problems.append(f"{query[:20]!r} found {hits.ids}, not {expected.ids}")
        else:
            problems += _of_hits(query, hits, model)
    return problems


def _contents(docs: cf.Collection) -> dict[str, tuple[str, int]]:
    with docs._store.reading() as connection:
        found = documents.fetch(connection, documents.all_keys(connection).tolist())
    return {document.id: (document.text, (document.meta or {}).get("parity")) for document in found.values()}


def _roles(docs: cf.Collection) -> tuple[int, str, int | None]:
    current = docs.migration
    live = FINGERPRINTS.index(docs.space.fingerprint)
    if current is None:
        return live, "none", None
    return live, current.status().state, FINGERPRINTS.index(current.space.fingerprint)


def _holds(docs: cf.Collection, model: Model) -> bool:
    return _contents(docs) == model.contents and _roles(docs) == (model.live, model.state, model.target)


def _differences(docs: cf.Collection, possible: Sequence[Model]) -> list[str]:
    found, roles = _contents(docs), _roles(docs)
    model = possible[0]
    kinds = {
        "lost": model.contents.keys() - found.keys(),
        "resurrected": found.keys() & model.deleted,
        "made up": found.keys() - model.contents.keys() - model.deleted,
        "altered": {name for name in found.keys() & model.contents.keys() if found[name] != model.contents[name]},
    }
    said = [f"{what}: {sorted(names)[:5]}" for what, names in kinds.items() if names]
    return [f"roles are {roles}, none of {[(one.live, one.state, one.target) for one in possible]}; {'; '.join(said)}"]


def _of_the_catalog(folder: Path) -> list[str]:
    """SQLite finds nothing wrong, and the counters that triggers keep are right."""
    problems = []
    counted = {
        "documents": "SELECT documents, (SELECT count(*) FROM document) FROM collection",
        "pending": "SELECT pending, (SELECT count(*) FROM task WHERE version = id) FROM version",
        "failed": "SELECT failed, (SELECT count(*) FROM task t WHERE version = id AND t.state = 'failed') FROM version",
        "cut": "SELECT cut, (SELECT count(*) FROM cut WHERE version = id) FROM version",
        "live": "SELECT count(*), 1 FROM version WHERE state = 'live'",
    }
    try:
        connection = apsw.Connection(str(folder / "catalog.sqlite"))
        if list(connection.execute("PRAGMA integrity_check")) != [("ok",)]:
            problems.append("integrity_check fails")
        if list(connection.execute("PRAGMA foreign_key_check")):
            problems.append("foreign_key_check fails")
        for what, query in counted.items():
            problems += [f"{what}: {kept}, not {true}" for kept, true in connection.execute(query) if kept != true]
        connection.close()
    except apsw.Error as error:
        problems.append(f"SQLite raised {type(error).__name__}: {error}")
    return problems


def _of_vectors(docs: cf.Collection) -> list[str]:
    """Every document has one vector of its present text in every version, or a task; and no key stands twice."""
    snapshot = docs._store.snapshot()
    with docs._store.reading() as connection:
        keys = documents.all_keys(connection).astype(np.uint64)
        found = documents.fetch(connection, keys.tolist())
        rows = files.all_files(connection)
        tasks = Counter(connection.execute("SELECT version, key FROM task"))
    return [
        f"version {number}: {problem}"
        for number, version in snapshot.state.versions.items()
        for problem in _of_version(docs, version, keys, found, [row for row in rows if row.version == number], tasks)
    ]


def _of_version(
    docs: cf.Collection, version: versions.Version, keys: Any, found: dict[int, Document], rows: Any, tasks: Any
) -> Iterator[str]:
    index = docs._store.snapshot().indices[version.id]
    waiting = np.array([(version.id, key) in tasks for key in keys.tolist()], np.bool_)
    has = index.has(keys)
    if (~has & ~waiting).any():
        yield f"{(~has & ~waiting).sum()} documents have neither a vector nor a task"
    if (has & waiting).any():
        yield f"{(has & waiting).sum()} documents have a vector and a task"
    if version.state != "filling" and waiting.any():
        yield f"{waiting.sum()} documents wait, though it is {version.state}"
    encoder = ENCODERS[FINGERPRINTS.index(version.space.fingerprint)]
    there = keys[has]
    if len(there):
        expected = encoder.encode([found[key].content for key in there.tolist()])
        cosines = np.einsum("nd,nd->n", index.gather(there), expected)
        if (cosines < LEAST_COSINE).any():
            yield f"{(cosines < LEAST_COSINE).sum()} vectors are of another text"
    seen: Counter[int] = Counter()
    for row in rows:
        file = VectorFile.map(
            docs._store.layout.version(version.id), row.id, version.space.dim, version.space.fingerprint
        )
        file.refresh(FileExtent(row.rows, row.block_bytes))
        file.verify()
        for block in file.blocks():
            seen.update(block.keys.tolist())
            for key, text_hash in zip(block.keys.tolist(), block.text_hashes, strict=True):
                if key in found and text_hash.tobytes() != found[key].text_hash:
                    yield f"the row of key {key} was made from another text"
    twice = [key for key, count in seen.items() if count > 1]
    if twice:
        yield f"{len(twice)} keys stand twice"


def of_searches(docs: cf.Collection, model: Model) -> list[str]:
    contents = sorted(model.contents.values())
    queries = [text for text, _ in contents[:: max(1, len(contents) // QUERIES)]]
    found = docs.search(queries, k=K) if queries else []
    return [problem for query, hits in zip(queries, found, strict=True) for problem in _of_hits(query, hits, model)]


def _of_hits(query: str, hits: cf.Hits, model: Model) -> Iterator[str]:
    """Ids come once and are there, texts are theirs, scores are cosines of vectors of one Space."""
    name = f"search {query[:20]!r}"
    if len(set(hits.ids)) < len(hits.ids):
        yield f"{name}: an id comes twice"
    strangers = set(hits.ids) - model.contents.keys()
    if strangers:
        yield f"{name}: found {sorted(strangers)[:5]}, deleted or never there"
        return
    if len(hits) != min(K, len(model.contents)):
        yield f"{name}: {len(hits)} hits"
        return
    if any(hit.text != model.contents[hit.id][0] for hit in hits) or not _finds(hits, query):
        yield f"{name}: not the present texts, or the text itself not first"
    if hits.method == "live":
        encoder = ENCODERS[model.live]
        true = encoder.encode([hit.text for hit in hits]) @ encoder.encode([query], kind="query")[0]
        if np.abs(true - hits.scores).max() > MOST_DIFFERENCE or len({hit.version for hit in hits}) != 1:
            yield f"{name}: scores are not those of the live version's Space"


def _finds(hits: cf.Hits, text: str) -> bool:
    """Whether a document of this text comes first; a blend of two models that differ much does not promise that."""
    return hits.method == "fade" or hits[0].text == text


def _of_the_journal(docs: cf.Collection) -> list[str]:
    """Nothing that was published was found damaged."""
    with docs._store.reading() as connection:
        return [f"{event} {detail}" for _, event, detail in versions.history(connection) if event == "segment lost"]


def _of_going_on(docs: cf.Collection, model: Model) -> list[str]:
    """The next user needs nobody's help: writes work at once, and a migration goes on where it was."""
    problems = []
    started = time.monotonic()
    docs.upsert(cf.Document("probe", PROBE))
    found = docs.search(PROBE, k=100)  # as many as either version proposes
    if PROBE not in [hit.text for hit in found] or not _finds(found, PROBE):
        problems.append("what was just written is not found")
    docs.delete("probe")
    docs.upsert(cf.Document("probe", text_of(7)))
    docs.delete("probe")
    try:
        if docs.migration and model.state == "filling":
            docs.migration.run()
            problems += _of_vectors(docs)
        docs._store.seal()
    except CrossfadeError as error:
        problems.append(f"it could not go on: {error}")
    if time.monotonic() - started > MOST_SECONDS:
        problems.append(f"going on took {time.monotonic() - started:.0f} s")
    return problems + of_searches(docs, model)

"""The guard: queries are answered by both models, judged ones where there are any, else titles of documents."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from crossfade.catalog import documents, versions
from crossfade.document import Document
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.errors import EncoderMissing, InvalidInput, ModelError, NotReady
from crossfade.judged import Judged
from crossfade.search.blend import Blend
from crossfade.search.judgement import LEAST_QUERIES, Candidates, Judgement, values_of
from crossfade.search.ranking import CANDIDATES, Mask, Rows, present
from crossfade.search.units import Float64, StandardUnits
from crossfade.store import Snapshot, Store

from .fill import LOOK_SECONDS
from .learning import Keys, current_fade, only_learner, publish
from .stopping import Stop

# So many titles are asked at most, and as many texts without their titles looked for: by each model once.
MOST_TITLES = 150
LEAST_WORDS = 3

_log = logging.getLogger("crossfade")


def judge_by_titles(
    store: Store,
    encoders: Encoders,
    migration: versions.MigrationRow,
    sample: Keys,
    cores: int | None,
    stop: Stop,
) -> None:
    """Asks titles of sampled documents, if nothing has judged yet; what comes out is kept with the Bridge.

    A document's text without its title is the right answer to the title, among all documents of the sample. Encoders
    that can't embed these texts are no failure: then there are no queries.
    """
    fade = current_fade(store, migration)
    if fade is None or fade.judgement.made_from != "none" or stop.over:
        return
    snapshot, pair = store.snapshot(), (migration.source, migration.target)
    old, new = (snapshot.indices[number] for number in pair)
    keys = np.sort(sample[old.has(sample) & new.has(sample)])
    with store.reading() as connection:
        titled = _titled(documents.fetch(connection, keys.tolist()))
    if len(titled) < LEAST_QUERIES:
        return
    try:
        with stop.droppable():
            models = [encoders.get(snapshot.state.versions[number]) for number in pair]
            asked = [_encoded(model, titled, cores) for model in models]
    except (ModelError, InvalidInput, EncoderMissing) as error:
        _log.info("titles can't be asked: %s", error)
        return
    places = np.searchsorted(keys, np.array([key for key, _, _ in titled], np.uint64))
    sides = zip((fade.blend.old, fade.blend.new), (old, new), asked, strict=True)
    z_old, z_new = (_among(units, index.gather(keys), *texts, places) for units, index, texts in sides)
    found = [_nearest(keys, *both) for both in zip(z_old, fade.blend.estimate.scale * z_new, strict=True)]
    grades = [{key: 1.0} for key, _, _ in titled]
    adopt(store, migration, Judgement.of(values_of(found, grades), "titles"), stop)


def judge(store: Store, encoders: Encoders, migration: versions.MigrationRow, judged: Judged, stop: Stop) -> Judgement:
    """Asks judged queries among the documents that have both vectors; what comes out is kept with the Bridge.

    Raises:
        NotReady: Nothing is learned yet.
        EncoderMissing: An encoder is not at hand.
        InvalidInput: No query has a relevant document with both vectors.
    """
    fade = current_fade(store, migration)
    if fade is None:
        raise NotReady("nothing is learned of the two models yet; fit() or run() first")
    snapshot = store.snapshot()
    with store.reading() as connection:
        named = documents.keys_of(connection, sorted({id_ for grades in judged.qrels.values() for id_ in grades}))
    pair = migration.source, migration.target
    every = np.arange(len(snapshot.dead), dtype=np.uint64)
    both = snapshot.indices[pair[0]].has(every) & snapshot.indices[pair[1]].has(every)
    graded = {
        query: {named[id_]: grade for id_, grade in grades.items() if id_ in named and both[named[id_]]}
        for query, grades in judged.qrels.items()
    }
    asked = [query for query, grades in graded.items() if any(grade > 0.0 for grade in grades.values())]
    if not asked:
        raise InvalidInput("no relevant document is in the collection and has a new vector; run() re-embeds them")
    texts = [judged.queries[query] for query in asked]
    queries = [encoders.get(snapshot.state.versions[number]).encode(texts, "query") for number in pair]
    found = _searched(snapshot, migration, fade.blend, queries, both)
    judgement = Judgement.of(values_of(found, [graded[query] for query in asked]), "judged")
    adopt(store, migration, judgement, stop)
    return judgement


def adopt(store: Store, migration: versions.MigrationRow, judgement: Judgement, stop: Stop) -> None:
    """Puts a judgement in use, with the weight it speaks for; what judged queries have said gives way to no titles."""
    while judgement.made_from != "none" and not stop.over:
        with only_learner(store, migration) as alone:
            fade = current_fade(store, migration) if alone else None
            if fade and (judgement.made_from == "judged" or fade.judgement.made_from != "judged"):
                publish(store, migration, fade.judged(judgement), "judged", judgement.to_dict())
            if alone:
                return
        stop.pause(LOOK_SECONDS / 10)


def _titled(found: Mapping[int, Document]) -> list[tuple[int, str, str]]:
    """Key, title and text without it, of documents whose title says something, and is no other document's."""
    often = Counter((document.title or "").casefold() for document in found.values())
    titled = []
    for key, document in sorted(found.items()):
        title, text = document.title or "", document.text
        body = text[len(title) :].strip() if text.casefold().startswith(title.casefold()) else text
        if len(title.split()) >= LEAST_WORDS and often[title.casefold()] == 1 and len(body) > len(title):
            titled.append((key, title, body))
    some = np.random.default_rng(0).permutation(len(titled))[:MOST_TITLES]  # keys tell which document came earlier
    return [titled[at] for at in some]


def _encoded(encoder: Encoder, titled: Sequence[tuple[int, str, str]], cores: int | None) -> tuple[Rows, Rows]:
    titles, bodies = [title for _, title, _ in titled], [body for _, _, body in titled]
    return encoder.encode(titles, "query", threads=cores), encoder.encode(bodies, threads=cores)


def _among(units: StandardUnits, rows: Rows, queries: Rows, bodies: Rows, places: NDArray[np.int64]) -> Float64:
    """Scores `(q, n)` in standard units, each query's own document by its text without the title."""
    scores = queries @ rows.T
    scores[np.arange(len(queries)), places] = np.einsum("qd,qd->q", queries, bodies)
    return np.stack([units.z(query, found) for query, found in zip(queries, scores, strict=True)])


def _nearest(keys: Keys, old: Float64, new: Float64) -> Candidates:
    """What a search would look at: the nearest documents of either side."""
    count = min(CANDIDATES, len(keys))
    union = np.union1d(*(np.argpartition(-side, count - 1)[:count] for side in (old, new)))
    return Candidates(keys[union], old[union], new[union])


def _searched(
    snapshot: Snapshot, migration: versions.MigrationRow, blend: Blend, queries: Sequence[Rows], both: Mask
) -> list[Candidates]:
    """The same for real queries `(q, d1)` and `(q, d2)`, through the indices, among documents with both vectors."""
    old, new = (snapshot.indices[number] for number in (migration.source, migration.target))
    heads = [
        index.candidates(rows, CANDIDATES, snapshot.dead, both)[0]
        for index, rows in zip((old, new), queries, strict=True)
    ]
    found = []
    for row, (old_query, new_query) in enumerate(zip(*queries, strict=True)):
        keys = present(np.union1d(heads[0][row], heads[1][row]))
        z_new = blend.new.z(new_query, new.scores(keys, new_query))
        z_old = blend.old.z(old_query, old.scores(keys, old_query))
        found.append(Candidates(keys, z_old, blend.estimate.scale * z_new))
    return found

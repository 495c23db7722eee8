"""Measuring: both models on the same queries, on a capped sample of the collection."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from crossfade import evaluate
from crossfade._values import count_of
from crossfade.catalog import documents, versions
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput
from crossfade.evaluate import Gain
from crossfade.store import Store

from .judgements import Judge, by_judge
from .pool import Keys, Lists, Question, Rankings, Sample
from .quality import Changed, Listed, Measure, Quality, Slice, bias_of
from .queries import Queries
from .sample import Sample as Drawn
from .sample import draw
from .slices import slices_of

Values = dict[str, float]
Progress = Callable[[int, int], None]
Compare = Callable[[Values, Values], evaluate.Comparison]

LEAST_SAMPLE, MOST_K = 400, 100
# Of the sample: one in so many is chosen by chance, the others for the queries; one query for so many documents; and at
# most half of it relevant ones.
UNIFORM, DOCUMENTS_PER_QUERY, RELEVANT = 4, 10, 2
SHOWN, SHOWN_CHARACTERS = 10, 200


def measure(
    store: Store,
    encoders: Encoders,
    new: Encoder,
    queries: Queries,
    *,
    k: int = 10,
    sample: int = 2_000,
    gain: Gain = "linear",
    judge: Judge | None = None,
    fields: Sequence[str] | None = None,
    confidence: float = 0.95,
    drawn: Drawn | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Quality:
    """Measures both models.

    Args:
        store: The collection's.
        encoders: Its encoders; the live version's must be there.
        new: The encoder to compare it with.
        queries: Queries with judgements; without, `judge` is needed.
        k: How many of the first documents count, 1 to 100.
        sample: How many documents are embedded with the new model at most, 400 or more; queries that were made cost one
            text more of both models each.
        gain: Of grades, as in `evaluate.ndcg`.
        judge: Asked for a grade of what either model has among its first k and nobody judged.
        fields: Metadata fields to slice by; None for those with two to twenty values.
        confidence: Of the intervals; 1 less this is the level at which differences count as detectable.
        drawn: Documents chosen by chance that are embedded already; None to embed a quarter of the sample here.
        seed: Of the sample, the draws and the resampling.
        progress: Called with the documents embedded so far, and how many there will be at most.

    Raises:
        InvalidInput: An argument is out of range, or no query can be measured.
        EncoderMissing: The live version's encoder is not at hand.
    """
    check(k, sample)
    questions = _questions(store, queries, judge is not None, sample, seed)
    if drawn is None:
        drawn = draw(store, new, most=uniform(sample), seed=seed, progress=progress)
    rankings = Sample(store, encoders, new, drawn, sample, seed, progress).rank(questions, k)
    if judge:
        questions = _judged(store, questions, rankings, judge, k)
    compare = functools.partial(evaluate.compare, confidence=confidence, seed=seed)
    return _quality(store, queries, questions, rankings, _Metrics(k, gain, judge is not None, compare), fields)


@dataclasses.dataclass(frozen=True)
class _Metrics:
    """How lists are valued: by their first k, grades by a gain, a program's or not; and how two are compared."""

    k: int
    gain: Gain
    by_program: bool
    compare: Compare


def _quality(
    store: Store,
    queries: Queries,
    questions: Sequence[Question],
    rankings: Rankings,
    by: _Metrics,
    fields: Sequence[str] | None,
) -> Quality:
    judged = [place for place, question in enumerate(questions) if question.relevant]
    qrels = {questions[place].id: _named(questions[place].grades) for place in judged}
    runs = _runs(rankings, questions, judged, by.by_program)
    old, missing, embedded = (_values(part, qrels, by.k, by.gain) for part in runs)
    measures = [_measure(name, old[name], missing[name], embedded[name], by.compare) for name in old]
    name = measures[0].name
    asked = [questions[place] for place in judged]
    lists = [[side[place] for place in judged] for side in (rankings.old, rankings.embedded)]
    better, worse = _changed(store, asked, old[name], missing[name], lists, by.k)
    return Quality(
        queries=len(judged),
        left_out=len(queries.texts) - len(judged),
        source=queries.source,
        provisional=queries.provisional,
        judged=by.by_program,
        pool=rankings.size,
        measures=tuple(measures),
        slices=_slices(store, asked, fields, old[name], missing[name], by.compare),
        better=better,
        worse=worse,
        bias=bias_of(rankings.size, by.by_program),
    )


def uniform(sample: int) -> int:
    """How many documents of a sample are chosen by chance."""
    return sample // UNIFORM


def check(k: int, sample: int) -> None:
    """Refuses what can't be measured by."""
    count_of(k, "k", MOST_K)
    if count_of(sample, "sample", 2**31) < LEAST_SAMPLE:
        raise InvalidInput(f"sample must be at least {LEAST_SAMPLE} documents, got {sample}")


def _questions(store: Store, queries: Queries, unjudged: bool, sample: int, seed: int) -> list[Question]:
    """Those that can be measured, in random order, as many as the sample has room for.

    Judged ones need no room where the whole collection is embedded; others cost a judge's time, or a text more.
    """
    with store.reading() as connection:
        everyone = versions.read(connection).documents
        keys = documents.keys_of(connection, sorted({key for grades in queries.qrels.values() for key in grades}))
    order = np.random.default_rng(seed).permutation(len(queries.texts))
    names, relevant, questions = list(queries.texts), set[int](), list[Question]()
    most, most_relevant = sample // DOCUMENTS_PER_QUERY, sample // RELEVANT
    if everyone <= sample and not unjudged and not queries.rests:
        most, most_relevant = len(names), everyone
    for query in (names[place] for place in order):
        grades = {keys[id_]: grade for id_, grade in queries.qrels.get(query, {}).items() if id_ in keys}
        question = Question(query, queries.texts[query], grades, queries.rests.get(query))
        more = relevant.union(question.relevant)
        usable = unjudged or bool(question.relevant)
        if usable and len(questions) < most and (len(more) <= most_relevant or not questions):
            questions.append(question)
            relevant = more
    if not questions:
        raise InvalidInput(
            f"none of {len(names)} queries has a relevant document in the collection; "
            "check the ids of the judgements, or give a judge"
        )
    return questions


def _judged(store: Store, questions: Sequence[Question], rankings: Rankings, judge: Judge, k: int) -> list[Question]:
    """The questions with grades of what stands among the first k of either model."""
    judged = []
    for place, question in enumerate(questions):
        keys = np.union1d(rankings.old[place][:k], rankings.embedded[place][:k]).tolist()
        with store.reading() as connection:
            found = documents.fetch(connection, keys)
        shown = [(str(key), document.content) for key, document in found.items()]
        grades = by_judge(judge, question.text, shown, _named(question.grades))
        judged.append(dataclasses.replace(question, grades={int(key): grade for key, grade in grades.items()}))
    if not any(question.relevant for question in judged):
        raise InvalidInput("the judge found no relevant document in any list; without one nothing can be measured")
    return judged


def _runs(
    rankings: Rankings, questions: Sequence[Question], judged: Sequence[int], by_program: bool
) -> tuple[list[evaluate.Run], list[evaluate.Run], list[evaluate.Run]]:
    """Runs of the old model, of the new one with what is missing, and of the new one among what was embedded."""

    def run(lists: Lists) -> evaluate.Run:
        return {questions[place].id: [str(key) for key in lists[place].tolist()] for place in judged}

    embedded = [run(rankings.embedded)]
    return [run(rankings.old)], embedded if by_program else [run(lists) for lists in rankings.drawn], embedded


def _values(runs: Sequence[evaluate.Run], qrels: evaluate.Qrels, k: int, gain: Gain) -> dict[str, Values]:
    """Each metric's value of each query, the mean over the runs."""
    each = [
        {
            f"ndcg@{k}": evaluate.ndcg(run, qrels, k=k, gain=gain),
            f"recall@{k}": evaluate.recall(run, qrels, k=k),
            f"precision@{k}": evaluate.precision(run, qrels, k=k),
            f"mrr@{k}": evaluate.mrr(run, qrels, k=k),
        }
        for run in runs
    ]
    return {name: {query: float(np.mean([of[name][query] for of in each])) for query in qrels} for name in each[0]}


def _measure(name: str, old: Values, new: Values, embedded: Values, compare: Compare) -> Measure:
    return Measure(name, evaluate.mean(old), evaluate.mean(new), evaluate.mean(embedded), compare(old, new))


def _slices(
    store: Store,
    questions: Sequence[Question],
    fields: Sequence[str] | None,
    old: Values,
    new: Values,
    compare: Compare,
) -> tuple[Slice, ...]:
    best = {question.id: max(question.relevant, key=question.grades.__getitem__) for question in questions}
    with store.reading() as connection:
        fetched = documents.fetch(connection, best.values())
    answers = {query: fetched[key] for query, key in best.items() if key in fetched}
    found = slices_of({question.id: question.text for question in questions}, answers, fields)
    sides = [[{query: side[query] for query in of} for side in (old, new)] for of in found.values()]
    compared = [compare(*pair) for pair in sides]
    adjusted = evaluate.holm([comparison.p_value for comparison in compared])
    means = [[evaluate.mean(side) for side in pair] for pair in sides]
    return tuple(
        Slice(field, value, old_mean, new_mean, comparison, p_value)
        for (field, value), (old_mean, new_mean), comparison, p_value in zip(
            found, means, compared, adjusted, strict=True
        )
    )


def _changed(
    store: Store, questions: Sequence[Question], old: Values, new: Values, lists: Sequence[Lists], k: int
) -> tuple[tuple[Changed, ...], tuple[Changed, ...]]:
    """The queries that gain most and those that lose most."""
    gains = {place: new[question.id] - old[question.id] for place, question in enumerate(questions)}
    order = sorted(gains, key=lambda place: (-gains[place], questions[place].id))
    better = [place for place in order[:SHOWN] if gains[place] > 0]
    worse = [place for place in order[::-1][:SHOWN] if gains[place] < 0]

    def listed(keys: Keys, grades: Mapping[int, float]) -> tuple[Listed, ...]:
        with store.reading() as connection:
            found = documents.shown(connection, keys[:k].tolist())
        return tuple(
            Listed(found[key].id, found[key].title, found[key].text[:SHOWN_CHARACTERS], grades.get(key))
            for key in keys[:k].tolist()
            if key in found
        )

    def changed(place: int) -> Changed:
        question = questions[place]
        both = [listed(side[place], question.grades) for side in lists]
        return Changed(question.id, question.text, old[question.id], new[question.id], both[0], both[1])

    return tuple(map(changed, better)), tuple(map(changed, worse))


def _named(grades: Mapping[int, float]) -> dict[str, float]:
    return {str(key): grade for key, grade in grades.items()}

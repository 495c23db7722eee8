"""Assessing: from a collection and a new encoder to a verdict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from crossfade import judged
from crossfade._values import count_of, shown
from crossfade.catalog import documents, judgements, searched, versions
from crossfade.encoder import Encoder, check_threads
from crossfade.encoders import Encoders
from crossfade.errors import InvalidInput
from crossfade.evaluate import Gain
from crossfade.known_items import known_items
from crossfade.store import Store

from . import curves, strategies
from .assessment import Assessment
from .facts import Facts, gather
from .highlights import highlights
from .judgements import Judge
from .measuring import check, measure, uniform
from .quality import Quality
from .queries import Queries, from_log, given, made
from .ruling import Ruling, by_facts, by_quality, reservations
from .sample import Sample
from .thresholds import Thresholds
from .verdict import Verdict

Progress = Callable[[int, int], None]

NO_QUERIES = "there are no judged queries, and none can be made from the documents"
NO_OLD = (
    "the live version's encoder is not at hand, so its answers can't be compared: hand it in again with "
    "Collection.open(path, encoder), if it can still be had"
)
CLICKS = "clicks"  # the judge's name of judgements that were made from clicks


class Options(TypedDict, total=False):
    """What `Collection.assess` takes beside queries; those of `Thresholds`, of `measure`, and of `price`.

    Args:
        min_lift, margin, significance, least_queries, window_seconds, max_seconds, max_money: As in `Thresholds`.
        k, gain, fields: As of `measure`.
        seed: Of the sample, the draws and the resampling.
        cores: As of a fill; None for all.
        per_million_tokens: What a service asks for a million tokens.
        table: A table of prices, as of `tariff_of`.
    """

    min_lift: float
    margin: float
    significance: float
    least_queries: int
    window_seconds: float
    max_seconds: float | None
    max_money: float | None
    k: int
    gain: Gain
    fields: Sequence[str] | None
    seed: int
    cores: int | None
    per_million_tokens: float | None
    table: str | Path | None


class Request(NamedTuple):
    """What is asked for.

    Args:
        queries: The user's; None for those of the log, or made ones.
        judge: A program that grades.
        sample: How many documents are embedded at most.
        thresholds: What decides.
        measuring: Options of `measure`.
        pricing: Options of `gather`.
    """

    queries: Queries | None
    judge: Judge | None
    sample: int
    thresholds: Thresholds
    measuring: dict[str, Any]
    pricing: dict[str, Any]


def request(
    queries: judged.Queries | None, qrels: judged.Qrels | None, judge: Judge | None, sample: int, options: Options
) -> Request:
    """What is asked for, checked before anything is embedded.

    Raises:
        InvalidInput: An argument can't be used.
    """
    left: dict[str, Any] = dict(options)
    limits, measuring, pricing = (
        {name: left.pop(name) for name in names if name in left}
        for names in (
            [field.name for field in dataclasses.fields(Thresholds)],
            ("k", "gain", "fields"),
            ("cores", "per_million_tokens", "table"),
        )
    )
    seed = left.pop("seed", 0)
    if left:
        raise InvalidInput(
            f"assess has no option {', '.join(sorted(left))}; known are {', '.join(Options.__annotations__)}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidInput(f"seed must be a whole number from 0 on, got {shown(seed)}")
    if pricing.get("cores") is not None:
        check_threads(pricing["cores"], "cores")
    if judge is not None and not callable(judge):
        raise InvalidInput(f"judge must be a callable of the texts of query and document, got {shown(judge)}")
    if queries is None and qrels is not None:
        raise InvalidInput("qrels= goes with queries=; judgements of logged queries are kept with docs.judge")
    check(measuring.get("k", 10), sample)
    count_of(sample, "sample", 2**31)
    thresholds = Thresholds(**limits)
    measuring |= {"seed": seed, "confidence": 1.0 - thresholds.significance}
    asked = None if queries is None else given(queries, qrels)
    return Request(asked, judge, sample, thresholds, measuring, pricing | {"seed": seed})


def assess(
    store: Store,
    encoders: Encoders,
    new: Encoder,
    asked: Request,
    drawn: Sample | None = None,
    progress: Progress | None = None,
) -> Assessment:
    """Finds out what speaks for a new model, and decides; nothing is written.

    Args:
        store: The collection's.
        encoders: Its encoders.
        new: The new model's.
        asked: What is asked for.
        drawn: A uniform sample that has its rows already; None to embed one.
        progress: Called with the documents embedded so far, and how many there will be at most.

    Raises:
        NotReady: The collection has no document with a vector, or the new model takes none.
        InvalidInput: None of the queries has a relevant document in the collection.
        EncodingFailed, SpendLimitReached: As from `encode`.
    """
    with store.reading() as connection:
        state = versions.read(connection)
    total = min(asked.sample, state.documents)
    expected = curves.expected(store, encoders)
    facts = gather(
        store,
        encoders,
        new,
        most=uniform(asked.sample),
        drawn=drawn,
        curves=expected,
        progress=(lambda done, _: progress(done, total)) if progress else None,
        **asked.pricing,
    )
    callable_old = encoders.find(state.live_version) is not None
    ruling, quality, notes = by_facts(facts.changes, facts.neighbourhoods), None, list(_conflicts(state, new))
    if ruling is None:
        ruling, quality, more = _asked(store, encoders, new, asked, facts, callable_old, progress)
        notes += more
    points = {order: curves.points(curve, facts.price, quality) for order, curve in expected.items()}
    choice = strategies.choose(ruling.decision, facts.price, asked.thresholds, callable_old=callable_old)
    if ruling.decision == "go" and choice.strategy == "stay":
        ruling = Ruling("stay", f"{choice.rule}, though it would be {ruling.rule}", ruling.would_change)
    plan = strategies.filled(choice, str(store.root), new.name, "hot" in expected)
    verdict = Verdict(
        decision=ruling.decision,
        strategy=choice.strategy,
        rule=ruling.rule,
        strategy_rule=choice.rule,
        reasons=tuple(_reasons(facts, quality)),
        reservations=tuple(notes),
        would_change=(*ruling.would_change, *strategies.would_change(choice, facts.price, asked.thresholds)),
        commands=plan.commands,
        code=plan.code,
        end_state=plan.end_state,
        order=plan.order,
        provisional=quality is not None and quality.provisional,
        thresholds=asked.thresholds,
        curve=points.get(plan.order, points["random"]) if choice.strategy != "stay" else (),
    )
    return Assessment(
        path=str(store.root),
        made_at=time.time(),
        old=state.live_version.space,
        new=new.space,
        encoder=new.name,
        facts=facts,
        quality=quality,
        evidence=highlights(facts, quality),
        verdict=verdict,
        curves=points,
    )


def _asked(
    store: Store,
    encoders: Encoders,
    new: Encoder,
    asked: Request,
    facts: Facts,
    callable_old: bool,
    progress: Progress | None,
) -> tuple[Ruling, Quality | None, list[str]]:
    """What queries decide, how well they are answered, and what to mind."""
    if not callable_old:
        return Ruling("not enough evidence", NO_OLD, ("the old encoder, or a go without a comparison",)), None, []
    queries, clicked, notes = asked.queries, False, list[str]()
    if queries is None:
        queries, clicked, notes = _of_the_collection(store, asked, facts.sample)
    if not queries.texts:
        return (
            Ruling("not enough evidence", NO_QUERIES, ("judged queries: queries= and qrels=, docs.judge",)),
            None,
            notes,
        )
    quality = measure(
        store,
        encoders,
        new,
        queries,
        sample=max(asked.sample, len(facts.sample) + asked.sample - uniform(asked.sample)),
        judge=asked.judge,
        drawn=facts.sample,
        progress=progress,
        **asked.measuring,
    )
    return by_quality(quality, asked.thresholds), quality, [*notes, *reservations(quality, asked.thresholds, clicked)]


def _of_the_collection(store: Store, asked: Request, sample: Sample) -> tuple[Queries, bool, list[str]]:
    """Queries of the log, where enough of them are judged or a program judges; else queries made from documents."""
    with store.reading() as connection:
        logged = searched.queries(connection, searched.MOST_QUERIES)
        said = judgements.all_judgements(connection)
        found = documents.fetch(connection, sample.keys.tolist())
    relevant, least = {judgement.query for judgement in said if judgement.grade > 0}, asked.thresholds.least_queries
    said = [judgement for judgement in said if judgement.query in relevant or asked.judge]
    queries = made(known_items(found[key] for key in sample.keys.tolist() if key in found))
    if (asked.judge and logged) or len(relevant) >= least or not queries.texts:
        logged = logged if asked.judge else []
        return from_log(logged, said), any(judgement.judge == CLICKS for judgement in said), []
    few = f"{len(relevant)} queries of the log are judged, fewer than {least}: they are not asked"
    return queries, False, [few] if relevant else []


def _reasons(facts: Facts, quality: Quality | None) -> list[str]:
    """What speaks for the decision, beside its rule."""
    near, told = facts.neighbourhoods, [facts.changes.unchanged.meaning]
    if near.overlap.value is not None:
        told.append(f"neighbours: {near.overlap.meaning}")
    if facts.changes.kinship == "truncation":
        told.append("docs.upsert(documents, vectors=rows, space=new.space) fills a migration with the cut rows")
    if quality:
        first = quality.measures[0].comparison
        told.append(f"{first.better} queries gain and {first.worse} lose")
    told.append(f"price: {facts.price.seconds.meaning}; money: {facts.price.money.meaning}")
    return told


def _conflicts(state: versions.State, new: Encoder) -> list[str]:
    """What is on disk already and stands in the way."""
    fade = state.migration
    target = state.versions.get(fade.target) if fade else None
    if fade is None or target is None or target.space.fingerprint == new.space.fingerprint:
        return []
    told = f"a migration to {target.space.model} is on disk ({fade.state})"
    return [f"{told}: end it first, with cutover and prune, or with abandon"]

"""Assessing: from a collection and a new encoder to a verdict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

from crossfade.catalog import versions
from crossfade.encoder import Encoder
from crossfade.encoders import Encoders
from crossfade.store import Store

from . import curves, strategies
from .asking import ask
from .assessment import Assessment
from .curves import Expected
from .facts import Facts, gather
from .highlights import highlights
from .measuring import uniform
from .quality import Quality
from .request import Request
from .ruling import Ruling, by_facts
from .sample import Sample
from .verdict import Verdict

NO_OLD = (
    "the live version's encoder is not at hand, so its answers can't be compared: hand it in again with "
    "Collection.open(path, encoder), if it can still be had"
)


def assess(
    store: Store,
    encoders: Encoders,
    new: Encoder,
    asked: Request,
    drawn: Sample | None = None,
    progress: Callable[[int, int], None] | None = None,
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
    total, expected = min(asked.sample, state.documents), curves.expected(store, encoders)
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
    found, callable_old = by_facts(facts.changes, facts.neighbourhoods), encoders.find(state.live_version) is not None
    quality, notes = None, list[str]()
    if found is None and not callable_old:
        found = Ruling("not enough evidence", NO_OLD, ("the old encoder, or a go without a comparison",))
    if found is None:
        found, quality, notes = ask(store, encoders, new, asked, facts.sample, progress)
    return Assessment(
        path=str(store.root),
        made_at=time.time(),
        old=state.live_version.space,
        new=new.space,
        encoder=new.name,
        facts=facts,
        quality=quality,
        evidence=highlights(facts, quality),
        verdict=_verdict(
            found,
            _Ground(asked, facts, quality, expected, callable_old, (*_conflicts(state, new), *notes)),
            str(store.root),
            new.name,
        ),
        curves={order: curves.points(curve, facts.price, quality) for order, curve in expected.items()},
    )


@dataclasses.dataclass(frozen=True)
class _Ground:
    """What a verdict stands on."""

    asked: Request
    facts: Facts
    quality: Quality | None
    expected: Mapping[str, Expected]
    callable_old: bool
    notes: tuple[str, ...]


def _verdict(found: Ruling, ground: _Ground, folder: str, model: str | None) -> Verdict:
    """A ruling with the strategy that carries it out; a "go" that can't be paid for is a "stay"."""
    price, thresholds, expected = ground.facts.price, ground.asked.thresholds, ground.expected
    choice = strategies.choose(found.decision, price, thresholds, callable_old=ground.callable_old)
    if found.decision == "go" and choice.strategy == "stay":
        found = Ruling("stay", f"{choice.rule}, though it would be {found.rule}", found.would_change)
    plan = strategies.filled(choice, folder, model, "hot" in expected)
    curve = expected.get(plan.order, expected["random"])
    return Verdict(
        decision=found.decision,
        strategy=choice.strategy,
        rule=found.rule,
        strategy_rule=choice.rule,
        reasons=tuple(_reasons(ground.facts, ground.quality)),
        reservations=ground.notes,
        would_change=(*found.would_change, *strategies.would_change(choice, price, thresholds)),
        commands=plan.commands,
        code=plan.code,
        end_state=plan.end_state,
        order=plan.order,
        provisional=ground.quality is not None and ground.quality.provisional,
        thresholds=thresholds,
        curve=() if choice.strategy == "stay" else curves.points(curve, price, ground.quality),
    )


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

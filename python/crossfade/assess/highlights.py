"""Highlights: the numbers that a verdict rests on, of everything that was found out."""

from __future__ import annotations

from collections.abc import Iterator

from .evidence import Evidence
from .facts import Facts
from .quality import Measure, Quality


def highlights(facts: Facts, quality: Quality | None) -> tuple[Evidence, ...]:
    """The evidence in the order in which it is read: quality, changes, neighbourhoods, texts, price."""
    return tuple(_all(facts, quality))


def _all(facts: Facts, quality: Quality | None) -> Iterator[Evidence]:
    if quality:
        yield from _of(quality)
    near, words, price = facts.neighbourhoods, facts.vocabulary, facts.price
    yield facts.changes.unchanged
    yield near.overlap
    yield near.words_old
    yield near.words_new
    yield near.retention
    yield facts.truncated_old
    yield facts.truncated_new
    yield words.new.continued
    yield words.new.drift
    yield price.documents
    yield price.tokens
    yield price.seconds
    yield price.money
    yield price.storage.disk_during
    yield price.storage.memory_during


def _of(quality: Quality) -> Iterator[Evidence]:
    name = quality.measures[0].name
    yield _mean(f"{name} of the live model", quality.measures[0].old, quality, "on the whole collection")
    corrected = "of the new one, on the sample, less what is missing in it"
    yield _mean(f"{name} of the new model", quality.measures[0].new, quality, corrected)
    for measure in quality.measures:
        yield _difference(measure, quality.provisional)
    first = quality.measures[0].comparison
    yield Evidence(
        name=f"detectable difference in {name}",
        value=first.detectable,
        meaning="so much these queries show in four of five cases; what is smaller is not refuted by them",
    )


def _mean(name: str, value: float, quality: Quality, meaning: str) -> Evidence:
    asked = f"{quality.queries:,} queries, {_SOURCES[quality.source]}"
    return Evidence(name=name, value=value, meaning=f"{meaning}; {asked}")


_SOURCES = {
    "given": "given",
    "log": "of the log",
    "made": "made from documents: provisional",
}


def _difference(measure: Measure, provisional: bool) -> Evidence:
    found = measure.comparison
    counts = f"{found.better} queries gain, {found.worse} lose, p = {found.p_value:.2g}"
    return Evidence(
        name=f"difference in {measure.name}",
        value=found.difference,
        interval=(found.low, found.high),
        meaning=f"{counts}, provisional" if provisional else counts,
    )

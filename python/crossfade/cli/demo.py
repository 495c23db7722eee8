"""The demo: real text, two real models, a migration under a running search load."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from crossfade import evaluate
from crossfade.cli import corpus, machine, models
from crossfade.cli.console import Report
from crossfade.cli.load import SearchLoad
from crossfade.cli.outcome import AFTER, BEFORE, DURING, Outcome, Point
from crossfade.collection import Collection
from crossfade.document import Document
from crossfade.encoder import Encoder
from crossfade.errors import InvalidInput, NotReady

OLD, NEW = "minilm-l3", "minilm-l6"
SHARES = tuple(step / 10 for step in range(11))
TOP = 10
QUIET_SECONDS = 5.0  # of search load alone, before and after, to compare latencies with
FEWEST_DOCUMENTS = 200

MEASURING = "measuring"  # the phase of searches sent while quality is measured


@dataclasses.dataclass
class Run:
    """What the phases of one demo share."""

    report: Report
    docs: Collection
    new: Encoder
    questions: dict[str, str]
    load: SearchLoad
    quiet_seconds: float
    points: list[Point] = dataclasses.field(default_factory=list)
    filling_seconds: float = 0.0


def library() -> list[corpus.Entry]:
    """What the demo is about: the documentation of the running interpreter's standard library.

    Raises:
        InvalidInput: This Python comes without the source files.
    """
    entries = corpus.entries()
    if len(entries) < FEWEST_DOCUMENTS:
        raise InvalidInput(
            f"the demo reads the standard library's documentation and found {len(entries)} texts, but needs "
            f"{FEWEST_DOCUMENTS}; run it with a Python that has its library's source files"
        )
    return entries


def run(
    report: Report,
    entries: Sequence[corpus.Entry],
    *,
    questions: int,
    seed: int = 0,
    keep: str | None = None,
    quiet_seconds: float = QUIET_SECONDS,
) -> Outcome:
    """Index with the old model, migrate under load, cut over, go back and forth; measure throughout.

    Args:
        report: Gets messages and progress.
        entries: What is indexed and searched for.
        questions: How many summaries are searched for, each with one right answer.
        seed: Of the choice of the questions and of the order of the load.
        keep: Folder that keeps the collection; a temporary one by default.
        quiet_seconds: How long the load runs alone, before and after.

    Raises:
        CrossfadeError: A step failed.
    """
    started = time.perf_counter()
    old, new = models.load(OLD, report), models.load(NEW, report)
    asked = {entry.id: entry.question for entry in entries if entry.unambiguous}
    chosen = random.Random(seed).sample(sorted(asked), min(questions, len(asked)))
    with _folder(keep) as folder, Collection.create(folder, old) as docs:
        index(report, docs, entries)
        texts = [asked[name] for name in sorted(asked)]
        load = SearchLoad(lambda text: docs.search(text, k=TOP), texts, least_hits=TOP, seed=seed)
        stage = Run(report, docs, new, {name: asked[name] for name in chosen}, load, quiet_seconds)
        docs.search(texts[0], k=TOP)  # a service's first search opens the model, and is no part of a migration
        with load:
            before = quiet(stage, BEFORE)
            fade(stage)
            ndcg_new, identical = switch(stage, before)
        return Outcome(
            documents=len(docs),
            questions=len(chosen),
            searches=load.answered,
            failures=tuple(load.failures),
            ndcg_old=quality(before),
            ndcg_new=ndcg_new,
            rollback_identical=identical,
            points=tuple(stage.points),
            phases={
                BEFORE: load.latency(BEFORE),
                DURING: load.latency(*(_phase(share) for share in SHARES)),
                AFTER: load.latency(AFTER),
            },
            docs_per_second=len(docs) / stage.filling_seconds,
            seconds=time.perf_counter() - started,
            seed=seed,
            machine=machine.describe(),
        )


def index(report: Report, docs: Collection, entries: Sequence[corpus.Entry]) -> None:
    """Embed and store all entries with the old model."""
    with report.bar(f"indexing with {OLD}", "documents", len(entries)) as bar:
        docs.upsert((Document(entry.id, entry.text) for entry in entries), progress=bar.update)


def rankings(stage: Run) -> dict[str, list[str]]:
    """The ids found for every question; the load is noted as `MEASURING` meanwhile."""
    phase, stage.load.phase = stage.load.phase, MEASURING
    found = stage.docs.search(list(stage.questions.values()), k=TOP)
    stage.load.phase = phase
    return {name: hits.ids for name, hits in zip(stage.questions, found, strict=True)}


def quality(found: dict[str, list[str]]) -> float:
    """Mean nDCG@10: the right answer to a summary is the text it belongs to."""
    return evaluate.mean(evaluate.ndcg(found, {name: {name: 1.0} for name in found}, k=TOP))


def quiet(stage: Run, phase: str) -> dict[str, list[str]]:
    """Measure latency with nothing but the load going on, then the rankings."""
    stage.report.say(f"searching, {phase} the migration")
    stage.load.phase = phase
    time.sleep(stage.quiet_seconds)
    found = rankings(stage)
    stage.report.say(f"nDCG@10 {quality(found):.4f}, p50 {stage.load.latency(phase).p50_ms:.1f} ms")
    return found


def fade(stage: Run) -> None:
    """Re-embed with the new model up to each share in turn, and measure quality there over all questions."""
    migration = stage.docs.migrate(stage.new)
    with stage.report.bar(f"migrating to {NEW}", "documents", len(stage.docs)) as bar:
        for share in SHARES:
            stage.load.phase = _phase(share)
            started = time.perf_counter()
            migration.run(until=share, progress=bar.update)
            stage.filling_seconds += time.perf_counter() - started
            latency = stage.load.latency(_phase(share))
            reached = migration.status().share
            point = Point(reached, quality(rankings(stage)), latency.p50_ms, latency.p99_ms)
            stage.points.append(point)
            bar.note(f"nDCG@10 {point.ndcg:.4f}  p50 {point.p50_ms:.1f} ms  p99 {point.p99_ms:.1f} ms")


def _phase(share: float) -> str:
    return f"{DURING}, up to {share:.0%}"


def switch(stage: Run, before: dict[str, list[str]]) -> tuple[float, bool]:
    """Cut over, go back, go forward again; every step under load.

    Returns:
        Mean nDCG@10 after the cutover, and whether the rollback gave exactly the rankings of `before`.
    """
    migration = stage.docs.migration
    if migration is None:
        raise NotReady("the migration must still be there to be cut over, but is gone")
    migration.cutover()
    new = quality(quiet(stage, AFTER))
    stage.docs.rollback()
    identical = rankings(stage) == before
    stage.report.say(f"rolled back: the old rankings are {'' if identical else 'NOT '}back")
    migration.cutover()
    stage.report.say("cut over again")
    return new, identical


@contextlib.contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is not None:
        yield Path(keep)
        return
    with tempfile.TemporaryDirectory(prefix="crossfade-demo-") as folder:
        yield Path(folder) / "demo.cf"

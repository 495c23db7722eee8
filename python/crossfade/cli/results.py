"""How results are said: hits, migrations and facts, for people and as plain values."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crossfade._values import parse_json, shown
from crossfade.errors import InvalidInput, NotReady

if TYPE_CHECKING:
    from rich.console import RenderableType

    from crossfade.cli.console import Report
    from crossfade.collection import Collection
    from crossfade.migration import Migration, MigrationStatus
    from crossfade.search import Hits
    from crossfade.search.calibration import Calibration
    from crossfade.status import Failure, Status

MARKS = (0.1, 0.5, 0.9)  # probabilities whose scores are shown


def filter_of(conditions: Iterable[str]) -> dict[str, list[Any]] | None:
    """The filter that `field=value` conditions mean; None where there is none.

    A value that reads as JSON matches the string and the JSON value: `year=2020` finds "2020" and 2020.

    Raises:
        InvalidInput: A condition has no `=` or no field.

    Example:
        >>> filter_of(["lang=en", "year=2020"])
        {'lang': ['en'], 'year': ['2020', 2020]}
    """
    found: dict[str, list[Any]] = {}
    for condition in conditions:
        field, equals, value = condition.partition("=")
        if not field or not equals:
            raise InvalidInput(f"--filter needs field=value, got {shown(condition)}")
        found.setdefault(field, []).extend(_meanings(value))
    return found or None


def _meanings(value: str) -> list[Any]:
    try:
        parsed = parse_json(value)
    except ValueError:
        return [value]
    is_value = isinstance(parsed, int) or (isinstance(parsed, float) and math.isfinite(parsed))
    return [value, parsed] if is_value else [value]


def hits_payload(query: str, hits: Hits, explain: bool = False) -> dict[str, Any]:
    """A search's result as plain values, with why it is so where that is asked for, and how relevant where known."""
    found = [
        {
            "id": hit.id,
            "score": round(float(hit.score), 6),
            **({} if hit.relevance is None else {"relevance": round(hit.relevance, 6)}),
            "version": hit.version,
            "text": hit.text,
            "title": hit.title,
            "meta": dict(hit.meta),
        }
        for hit in hits
    ]
    told = {"explanation": hits.explain().to_dict()} if explain else {}
    return {"query": query, "method": hits.method, "coverage": float(hits.coverage), "hits": found, **told}


def hit_lines(hits: Hits) -> Iterator[str]:
    """One line per hit, as wide as the terminal: rank, score, relevance where it is known, id, start of the text."""
    if not hits:
        yield "nothing found"
    width = shutil.get_terminal_size((120, 24)).columns
    for rank, hit in enumerate(hits, 1):
        text = " ".join(f"{hit.title or ''} {hit.text}".split())
        relevance = "" if hit.relevance is None else f"{hit.relevance:>4.0%}  "
        line = f"{rank:>3}  {hit.score:.4f}  {relevance}{hit.id}  {text}"
        yield line if len(line) <= width else f"{line[: width - 1]}…"


def carry_over(fade: Migration, report: Report, cores: int | None, until: float) -> None:
    """Learn the Bridge where that is still to do, then re-embed what is left up to a share, with progress."""
    if fade.status().state == "filling" and not fade.status().fitted:
        with report.bar("learning the bridge", "documents") as bar:
            quality = fade.fit(progress=bar.update, cores=cores)
        if quality is None:
            report.say("too little to learn from: the old version answers alone until the cutover")
        else:
            report.say(bridge_line(dataclasses.asdict(quality)))
    with report.bar("re-embedding", "documents") as bar:
        fade.run(until=until, progress=bar.update, cores=cores)


def bridge_line(figures: Mapping[str, Any]) -> str:
    """What a Bridge has reached on held-out documents, in a line."""
    shown = (("cosine", "cosine"), ("recall@10", "recall_at_10"), ("expected retention", "retention"))
    parts = [f"bridge: {figures['method']}, {figures['pairs']:,} pairs"]
    for name, field in shown:
        limits = figures.get(f"{field.removesuffix('_at_10')}_interval")
        if figures[field] is not None:
            between = f" ({limits[0]:.3f} to {limits[1]:.3f})" if limits else ""
            parts.append(f"{name} {figures[field]:.3f}{between}")
    return ", ".join(parts)


def migration_of(docs: Collection) -> Migration:
    """The migration on disk.

    Raises:
        NotReady: There is none.
    """
    if docs.migration is None:
        raise NotReady(f"there is no migration; start one: crossfade migrate {docs.path} --to MODEL")
    return docs.migration


def next_step(folder: str, to: str, status: MigrationStatus) -> str:
    """The command to run after a migration has stopped."""
    if status.state == "cut over":
        return f"crossfade rollback {folder}, or crossfade prune {folder} when nobody wants to go back"
    if status.failed and status.done + status.failed == status.documents:
        return f"crossfade status {folder} --failed"
    if status.done < status.documents:
        return f"crossfade migrate {folder} --to {to}"
    return f"crossfade cutover {folder}"


def together(status: Status) -> str:
    """Which versions answer together after a cutover; empty where one answers alone."""
    fade = status.migration
    if fade and (fade["state"], fade["serve"]) == ("cut over", "blend"):
        return f"versions {fade['source']} and {fade['target']} answer together"
    return ""


def pruned_line(folder: str, dropped: Sequence[int], status: Status) -> str:
    """What was dropped, or why nothing was."""
    if dropped:
        return f"dropped version {', '.join(map(str, dropped))}"
    until = f": {together(status)} until crossfade cutover {folder} --serve new" if together(status) else ""
    return f"nothing to drop{until}; --force ignores retention"


def cut_lines(status: Status) -> Iterator[str]:
    """A line for each version whose model sees the beginning of some documents only."""
    for version in status.versions:
        if version["cut"]:
            shown = f"{version['cut']:,} of {status.documents:,} documents were cut at {version['max_tokens']} tokens"
            yield f"version {version['number']}: {shown}"


def calibration_line(found: Calibration) -> str:
    """What a calibration says, in a line."""
    marks = [f"{mark:.0%} at {at:.3f}" for mark in MARKS if (at := found.score_at(mark)) is not None]
    error = "" if found.error is None else f"; error on queries it had not seen {found.error:.3f}"
    hits = f"{found.relevant:,} relevant and {found.irrelevant:,} other hits of {found.queries:,} queries"
    return f"relevance by {hits}: {', '.join(marks) or 'the same at every score'}{error}"


def failures_payload(failures: Sequence[Failure] | None) -> dict[str, Any]:
    """The documents that were given up as plain values; nothing where nobody asked."""
    return {} if failures is None else {"failures": [dataclasses.asdict(failure) for failure in failures]}


def failures_shown(folder: str, failures: Sequence[Failure] | None) -> Iterator[RenderableType]:
    """The documents that were given up, and how to try them again; nothing where nobody asked."""
    from rich.table import Table

    if failures is None:
        return
    if not failures:
        yield "no document was given up"
        return
    table = Table("version", "document", "attempts", "error")
    for failure in failures:
        table.add_row(str(failure.version), failure.id, str(failure.attempts), " ".join(failure.error.split()))
    yield table
    yield f"try them again: crossfade retry {folder}"


def status_shown(status: Status) -> Iterator[RenderableType]:
    """What a collection is: a line, its versions, its migration."""
    from rich.table import Table

    yield f"{status.path}: {status.documents:,} documents, {together(status) or f'version {status.live} answers'}"
    table = Table("version", "state", "model", "missing", "failed", "kept until")
    for version in status.versions:
        until = version["retained_until"]
        table.add_row(
            str(version["number"]),
            version["state"],
            version["encoder"] or version["model"],
            f"{version['missing']:,}",
            f"{version['failed']:,}",
            "" if until is None else f"{datetime.fromtimestamp(until):%Y-%m-%d %H:%M}",
        )
    yield table
    yield from cut_lines(status)
    if status.migration:
        fade = status.migration
        done = f"{fade['done']:,} of {fade['documents']:,} documents done ({fade['share']:.0%})"
        yield f"migration {fade['source']} → {fade['target']}: {fade['state']}, {done}, {fade['failed']:,} failed"
        if fade["bridge"]:
            yield bridge_line(fade["bridge"])
            yield f"guard: {fade['guard']['verdict']}"

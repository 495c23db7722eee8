"""How results are said: hits, migrations and facts, for people and as plain values."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crossfade.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

    from crossfade.cli.console import Report
    from crossfade.migration import Migration, MigrationStatus
    from crossfade.search import Hits


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
            raise InvalidInput(f"--filter needs field=value, got {condition!r}")
        found.setdefault(field, []).extend(_meanings(value))
    return found or None


def _meanings(value: str) -> list[Any]:
    try:
        parsed = json.loads(value)
    except ValueError:
        return [value]
    is_value = isinstance(parsed, (bool, int, float)) and math.isfinite(parsed)
    return [value, parsed] if is_value else [value]


def hits_payload(query: str, hits: Hits) -> dict[str, Any]:
    """A search's result as plain values."""
    found = [
        {
            "id": hit.id,
            "score": round(float(hit.score), 6),
            "version": hit.version,
            "text": hit.text,
            "title": hit.title,
            "meta": dict(hit.meta),
        }
        for hit in hits
    ]
    return {"query": query, "method": hits.method, "coverage": float(hits.coverage), "hits": found}


def hit_lines(hits: Hits) -> Iterator[str]:
    """One line per hit, as wide as the terminal: rank, score, id, start of the text."""
    if not hits:
        yield "nothing found"
    width = shutil.get_terminal_size((120, 24)).columns
    for rank, hit in enumerate(hits, 1):
        text = " ".join(f"{hit.title or ''} {hit.text}".split())
        line = f"{rank:>3}  {hit.score:.4f}  {hit.id}  {text}"
        yield line if len(line) <= width else f"{line[: width - 1]}…"


def carry_over(fade: Migration, report: Report) -> None:
    """Learn the Bridge where that is still to do, then re-embed what is left, with progress."""
    if fade.status().state == "filling" and not fade.status().fitted:
        report.say("learning the bridge from a sample of the documents")
        quality = fade.fit()
        if quality is None:
            report.say("too few documents to learn from: the old version answers alone until the cutover")
        else:
            report.say(f"bridge: {quality.method}, held-out cosine {quality.cosine:.3f}")
    with report.bar("re-embedding", "documents") as bar:
        fade.run(progress=bar.update)


def next_step(folder: str, to: str, status: MigrationStatus) -> str:
    """The command to run after a migration has stopped."""
    if status.state == "cut over":
        return f"crossfade rollback {folder}, or crossfade prune {folder} when nobody wants to go back"
    if status.done < status.documents:
        return f"crossfade migrate {folder} --to {to}"
    return f"crossfade cutover {folder}"


def facts(values: Mapping[str, Any]) -> Table:
    """Nested plain values as a table of two columns; nested names are joined with dots."""
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for name, value in _flat(values, ""):
        table.add_row(name, value)
    return table


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value, 1):
            yield from _flat(inner, f"{name}.{number}")
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or "–"
    else:
        yield name, _said(value)


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)

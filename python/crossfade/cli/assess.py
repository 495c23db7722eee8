"""The command that tells whether to migrate, and how its answer is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade._values import shown as shown_value
from crossfade.cli import models
from crossfade.cli.console import Report, reporting
from crossfade.errors import InvalidInput, StorageFailed

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from crossfade.assess import Assessment, Evidence

# 1 and 2 are crashes and usage.
EXIT_CODES = {"go": 0, "stay": 10, "nothing to do": 10, "not enough evidence": 11}
_COLOURS = {"go": "green", "stay": "red", "nothing to do": "cyan", "not enough evidence": "yellow"}

Folder = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection's folder.")]
New = Annotated[
    str, typer.Option(help="The new model: a name of `crossfade models list`, hf:org/name@commit, or a folder.")
]
Pilot = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Re-embed such a part for real, as 2%, and begin a migration.")
]
Html = Annotated[str | None, typer.Option(metavar="FILE", help="Write a report to send around: one HTML file.")]
Markdown = Annotated[str | None, typer.Option(metavar="FILE", help="Write the same as Markdown.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]


def assess(
    folder: Folder,
    to: New,
    queries: Annotated[
        str | None,
        typer.Option(help="A BEIR folder, or TREC topics, JSON lines or CSV; else those of the log, or made ones."),
    ] = None,
    qrels: Annotated[str | None, typer.Option(help="Judgements: TREC's four columns, or BEIR's three.")] = None,
    sample: Annotated[int, typer.Option(help="Documents to embed at most; a tenth as many queries.")] = 2_000,
    min_lift: Annotated[
        float, typer.Option(help="Least lift worth it, a share; 0 where the old model must go.")
    ] = 0.05,
    margin: Annotated[float, typer.Option(help="What may be lost in any metric, a share.")] = 0.02,
    significance: Annotated[float, typer.Option(help="Level of the tests.")] = 0.05,
    least_queries: Annotated[int, typer.Option(help="With fewer queries nothing is decided.")] = 30,
    window: Annotated[float, typer.Option(help="Seconds of a maintenance window.")] = 900.0,
    max_seconds: Annotated[float | None, typer.Option(help="What a fill may take.")] = None,
    max_money: Annotated[float | None, typer.Option(help="What it may cost.")] = None,
    price: Annotated[float | None, typer.Option(help="What a service asks for a million tokens.")] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores of the fill that is priced, all unless you say.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of the sample.")] = 0,
    pilot: Pilot = None,
    html: Html = None,
    markdown: Markdown = None,
    as_json: Json = False,
) -> None:
    """Tell whether to migrate to a model: exit code 0 go, 10 stay or nothing to do, 11 not enough evidence."""
    with reporting(as_json) as report:
        from crossfade import report as reports
        from crossfade.collection import Collection

        if html:
            reports.require_libraries()
        share = share_of(pilot)
        encoder = models.load(to, report)
        with Collection.open(folder, read_only=not share) as docs, report.bar("assessing", "documents") as bar:
            found = docs.assess(
                encoder,
                queries=queries,
                qrels=qrels,
                sample=sample,
                pilot=share,
                progress=bar.update,
                min_lift=min_lift,
                margin=margin,
                significance=significance,
                least_queries=least_queries,
                window_seconds=window,
                max_seconds=max_seconds,
                max_money=max_money,
                per_million_tokens=price,
                cores=cores,
                seed=seed,
            )
        write(html, found, reports.html)
        write(markdown, found, reports.markdown)
        answer(found, report)


def answer(found: Assessment, report: Report) -> None:
    """Prints what was found, and leaves with the decision's exit code."""
    code = EXIT_CODES[found.verdict.decision]
    report.result(found.to_dict() | {"exit_code": code}, *shown(found))
    if code:
        raise typer.Exit(code)


def write(path: str | None, found: Assessment, form: Callable[[Assessment], str]) -> None:
    """Writes a report, if a file was named for it.

    Raises:
        StorageFailed: It can't be written.
    """
    if path is None:
        return
    text = form(found)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageFailed(f"{path} can't be written: {error}; name another file") from error


def shown(found: Assessment) -> Iterator[RenderableType]:
    """What people read: the verdict, the evidence, what to mind, what would change it, what to type."""
    from rich.text import Text

    verdict = found.verdict
    banner = f" {verdict.decision.upper()}{' (PROVISIONAL)' if verdict.provisional else ''} "
    yield Text.assemble(
        (banner, f"bold reverse {_COLOURS[verdict.decision]}"), f" {found.old.model} → {found.new.model}"
    )
    yield verdict.rule
    yield ""
    yield _table(found.evidence)
    if found.facts.price.reached:
        yield _reached(found)
    if found.pilot:
        made = f"{found.pilot.documents:,} documents ({found.pilot.share:.1%}) in {found.pilot.seconds:,.1f} s"
        yield f"pilot: {made}, the beginning of a migration; crossfade abandon {found.path} drops it"
    yield from _listed("why", verdict.reasons)
    yield from _listed("mind", verdict.reservations)
    yield from _listed("what would change it", verdict.would_change)
    if verdict.strategy != "stay":
        how = "how" if verdict.decision == "go" else "what a go would be"
        yield f"{how}: {verdict.strategy}, since {verdict.strategy_rule}"
        yield from (f"  {line}" for line in verdict.commands or verdict.code)
        yield f"  ends: {verdict.end_state}"


def _table(evidence: tuple[Evidence, ...]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table("", "value", "95 %", box=SIMPLE)
    for item in evidence:
        between = "" if item.interval is None else " to ".join(map(figure, item.interval))
        table.add_row(Text.assemble(item.name, "\n", (item.meaning, "dim")), figure(item.value), between)
    return table


def _reached(found: Assessment) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("order", "seconds to 50 % of the benefit", "to 90 %", "95 %", box=SIMPLE)
    for order in found.facts.price.reached:
        between = "" if order.most.interval is None else " to ".join(map(figure, order.most.interval))
        table.add_row(order.order, figure(order.half.value), figure(order.most.value), between)
    table.caption = "expected, not measured; the intervals are those of the seconds"
    return table


def _listed(title: str, lines: tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)


def share_of(text: str | None) -> float:
    """The share that a text like "2%" or "0.02" means; 0 for none.

    Raises:
        InvalidInput: It means none.

    Example:
        >>> share_of("2%"), share_of("0.5")
        (0.02, 0.5)
    """
    try:
        share = 0.0 if text is None else float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise InvalidInput(f"--pilot needs a share like 2% or 0.02, got {shown_value(text)}")
    return share


def figure(value: float | None) -> str:
    """A number of any size in a few characters; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.3g}"

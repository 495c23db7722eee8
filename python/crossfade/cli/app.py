"""The commands. Heavy modules are imported inside them, so that `--help` and completion answer at once."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any, cast

import typer

from crossfade.cli import assess, calibrate, care, judge, models
from crossfade.cli.console import reporting

app = typer.Typer(
    name="crossfade",
    help="Change the embedding model under a live vector index.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models.app, name="models")

Folder = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection's folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]


@app.command()
def create(
    folder: Folder,
    model: Annotated[str, typer.Option(help="A name of `crossfade models list`, hf:org/name@commit, or a folder.")],
    as_json: Json = False,
) -> None:
    """Make an empty collection for one model."""
    with reporting(as_json) as report:
        from crossfade.collection import Collection

        encoder = models.load(model, report)
        Collection.create(folder, encoder).close()
        payload = {"collection": folder, "model": model, "space": encoder.space.to_dict()}
        report.result(payload, f"created {folder} for {model}, {encoder.space.dim} dimensions")


@app.command()
def add(
    folder: Folder,
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines or CSV; - reads stdin.")],
    form: Annotated[str | None, typer.Option("--format", help="jsonl or csv; by the file's ending.")] = None,
    as_json: Json = False,
) -> None:
    """Add or change documents: id (or _id), text, optional title; other fields become metadata."""
    with reporting(as_json) as report:
        from crossfade.cli import documents, results
        from crossfade.collection import Collection

        with Collection.open(folder) as docs:
            # A file is read twice, so that a bad line is refused before anything is embedded; a pipe can't be.
            total = sum(1 for _ in documents.read(source, form)) if documents.is_file(source) else None
            with report.bar("adding", "documents", total) as bar:
                done = docs.upsert(documents.read(source, form), progress=bar.update)
            payload = {
                "collection": folder,
                "new": done.new,
                "changed": done.changed,
                "metadata": done.metadata,
                "unchanged": done.unchanged,
                "cut": done.cut,
                "documents": len(docs),
            }
            cut = list(results.cut_lines(docs.status()))
        said = f"{done.new:,} new, {done.changed:,} changed, {done.metadata:,} of new metadata"
        report.result(payload, f"{said}, {done.unchanged:,} unchanged; {payload['documents']:,} documents", *cut)


@app.command()
def search(
    folder: Folder,
    text: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", help="How many documents to show.")] = 10,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="field=value; the same field twice means either.")
    ] = None,
    merge: Annotated[str, typer.Option(help="During a migration: fade, rrf, minmax, zscore or convex.")] = "fade",
    explain: Annotated[bool, typer.Option("--explain", help="Say why, and by which scores.")] = False,
    as_json: Json = False,
) -> None:
    """Show the documents most like a text."""
    with reporting(as_json) as report:
        from crossfade.cli import results
        from crossfade.collection import Collection

        with Collection.open(folder, read_only=True) as docs:
            hits = docs.search(text, k=k, filter=results.filter_of(filters or []), merge=cast(Any, merge))
        lines = hits.explain().lines() if explain else results.hit_lines(hits)
        report.result(results.hits_payload(text, hits, explain), *lines)


@app.command()
def migrate(
    folder: Folder,
    to: Annotated[
        str, typer.Option(help="The new model: a name of `crossfade models list`, hf:org/name@commit, or a folder.")
    ],
    order: Annotated[
        str | None,
        typer.Option(
            help="What goes first: default, hot, recent, failing, priority, uncertain, age, random, or a mix like "
            "'0.7*hot + 0.3*uncertain'; kept for later runs. What is searched for meanwhile always does."
        ),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores to re-embed on, all unless you say; queries go first.")
    ] = None,
    until: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Stop at this share of the documents; 0 only learns the Bridge.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Re-embed everything with another model while searches go on; starts or resumes."""
    with reporting(as_json) as report:
        from crossfade.cli import results
        from crossfade.collection import Collection

        encoder = models.load(to, report)
        with Collection.open(folder) as docs:
            fade = docs.migrate(encoder, order=order)
            try:
                results.carry_over(fade, report, cores, until)
            except (KeyboardInterrupt, SystemExit):  # the latter of SIGTERM
                report.say(f"stopped; what is done is kept. Resume: crossfade migrate {folder} --to {to}")
                raise
            status = fade.status()
            cut = list(results.cut_lines(docs.status()))
        step = results.next_step(folder, to, status)
        shown = f"{status.done:,} of {status.documents:,} documents are done, {status.failed:,} failed"
        report.result({"collection": folder, **status.to_dict(), "next": step}, shown, *cut, f"next: {step}")


@app.command()
def status(
    folder: Folder,
    failed: Annotated[bool, typer.Option("--failed", help="List the documents that were given up, and why.")] = False,
    as_json: Json = False,
) -> None:
    """Show versions, models and the migration under way."""
    with reporting(as_json) as report:
        from crossfade.cli import results
        from crossfade.collection import Collection

        with Collection.open(folder, read_only=True) as docs:
            found = docs.status()
            failures = docs.failures() if failed else None
        payload = found.to_dict() | results.failures_payload(failures)
        report.result(payload, *results.status_shown(found), *results.failures_shown(folder, failures))


@app.command()
def retry(folder: Folder, as_json: Json = False) -> None:
    """Queue again the documents that were given up; the next `migrate` embeds them."""
    with reporting(as_json) as report:
        from crossfade.cli import results
        from crossfade.collection import Collection

        with Collection.open(folder) as docs:
            queued = results.migration_of(docs).retry()
        step = f"crossfade migrate {folder} --to MODEL"
        report.result(
            {"collection": folder, "queued": queued, "next": step},
            f"{queued:,} documents queued again",
            f"next: {step}",
        )


@app.command()
def cutover(
    folder: Folder,
    force: Annotated[
        str | None, typer.Option(metavar="REASON", help="Go on though documents are missing; recorded.")
    ] = None,
    serve: Annotated[
        str, typer.Option(help="What answers: new, alone; or blend, both versions, as before. Either can follow.")
    ] = "new",
    as_json: Json = False,
) -> None:
    """Switch to the new model: one small transaction, which `rollback` undoes."""
    with reporting(as_json) as report:
        from crossfade.cli import results
        from crossfade.collection import Collection

        with Collection.open(folder) as docs:
            fade = results.migration_of(docs)
            fade.cutover(force, serve=cast(Any, serve))
            reached = fade.status().to_dict()
            both = results.together(docs.status())
        report.result(
            {"collection": folder, **reached},
            f"{folder}: {both}" if both else f"{folder} now answers with version {reached['target']}",
            f"back: crossfade rollback {folder}",
        )


@app.command()
def rollback(
    folder: Folder,
    force: Annotated[
        str | None, typer.Option(metavar="REASON", help="Even if newer documents would not be found; recorded.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Go back to the model before the last cutover; `cutover` goes forward again."""
    with reporting(as_json) as report:
        from crossfade.collection import Collection

        with Collection.open(folder) as docs:
            docs.rollback(force=force)
            found = docs.status().to_dict()
        report.result({"collection": folder, **found}, f"{folder} answers with its earlier version again")


@app.command()
def abandon(folder: Folder, as_json: Json = False) -> None:
    """Drop a migration that is not cut over, with the vectors it has made."""
    with reporting(as_json) as report:
        from crossfade.cli import results
        from crossfade.collection import Collection

        with Collection.open(folder) as docs:
            results.migration_of(docs).abandon()
        report.result({"collection": folder, "abandoned": True}, f"{folder} stays as it was")


@app.command()
def prune(
    folder: Folder,
    force: Annotated[bool, typer.Option("--force", help="Drop now what retention still protects.")] = False,
    as_json: Json = False,
) -> None:
    """Drop the versions that are not live and no longer protected; there is no way back to them."""
    with reporting(as_json) as report:
        from crossfade.cli import results
        from crossfade.collection import Collection

        with Collection.open(folder) as docs:
            dropped = docs.prune(force=force)
            said = results.pruned_line(folder, dropped, docs.status())
        report.result({"collection": folder, "dropped": list(dropped)}, said)


app.command()(assess.assess)
app.command()(judge.judge)
app.command()(calibrate.calibrate)
app.command()(care.doctor)
app.command()(care.backup)


@app.command()
def demo(
    questions: Annotated[int, typer.Option(min=50, help="How many questions measure quality.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the choice of the questions.")] = 0,
    keep: Annotated[str | None, typer.Option(metavar="FOLDER", help="Leave the collection there.")] = None,
    as_json: Json = False,
) -> None:
    """Migrate the standard library's documentation to a better model under a running search load."""
    with reporting(as_json) as report:
        from crossfade.cli import demo, outcome

        measured = demo.run(report, demo.library(), questions=questions, seed=seed, keep=keep)
        report.result(measured.to_dict(), *outcome.shown(measured))
        if not measured.held:
            raise typer.Exit(1)


def main() -> None:
    """Entry point of the `crossfade` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without some letters is no reason to fail
    app(prog_name="crossfade")

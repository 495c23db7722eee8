"""The command that learns from judged queries how relevant a hit of some score is."""

from __future__ import annotations

from typing import Annotated

import typer

from crossfade.cli.console import reporting

Folder = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection's folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]


def calibrate(
    folder: Folder,
    queries: Annotated[
        str | None, typer.Option(help="Judged queries: a BEIR folder, JSON lines or CSV; else what was judged here.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many of the first hits of each query are looked at.")] = 10,
    as_json: Json = False,
) -> None:
    """Learn the probability that a hit of some score is relevant; searches show it from then on."""
    with reporting(as_json) as report:
        from crossfade import assess
        from crossfade.cli import results
        from crossfade.collection import Collection

        given = assess.given(queries) if queries is not None else None
        with Collection.open(folder) as docs:
            found = docs.calibrate(given.texts, given.qrels, k=k) if given else docs.calibrate(k=k)
        report.result({"collection": folder, **found.to_dict()}, results.calibration_line(found))

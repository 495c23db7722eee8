"""The commands that look after a collection: doctor and backup."""

from __future__ import annotations

from typing import Annotated

import typer

from crossfade.cli.console import FAILED, reporting

Folder = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection's folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]


def doctor(
    folder: Folder,
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild what can be; no document is ever deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Check every checksum, every invariant and the environment; exit code 1 if something is wrong."""
    with reporting(as_json) as report:
        from crossfade import doctor as doctors

        with report.bar("checking", "MB") as bar:
            look = doctors.repair if repair else doctors.examine
            found = look(folder, progress=bar.update)
        wrong = sum(finding.is_wrong for finding in found)
        told = "nothing is wrong" if not wrong else f"{wrong} of {len(found)} findings are wrong"
        payload = {"collection": folder, "wrong": wrong, "findings": [finding.to_dict() for finding in found]}
        report.result(payload, *map(str, found), f"{folder}: {told}")
        if wrong:
            raise typer.Exit(FAILED)


def backup(
    folder: Folder,
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="A folder that does not exist yet.")],
    as_json: Json = False,
) -> None:
    """Make a consistent copy, while the collection is in use; the copy is a collection like any other."""
    with reporting(as_json) as report:
        from crossfade.collection import Collection

        with Collection.open(folder, read_only=True) as docs, report.bar("copying", "MB") as bar:
            made = docs.backup(destination, progress=bar.update)
        lost = [f"left out, to be built again: {name}" for name in made.left_out]
        report.result(made.to_dict(), f"{made.path} holds {made.documents:,} documents, {made.size:,} bytes", *lost)

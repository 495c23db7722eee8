"""The commands about models, and how every command loads one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.console import Report, reporting

if TYPE_CHECKING:
    from crossfade.encoder import Encoder

app = typer.Typer(help="The models that can be loaded by name.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `crossfade models list`, or hf:org/name@commit.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]


def load(name: str, report: Report) -> Encoder:
    """Load a model by name, from the hub or from a folder; its files are fetched first, saying so.

    Raises:
        UnknownModel: No manifest and no folder has that name.
        ModelUnavailable: Its files could not be fetched.
        ModelDamaged: A file differs from its manifest, or can't be parsed.
    """
    from crossfade.encoder import Encoder, is_cached, pull

    if not is_cached(name):
        pull(name, report.say)
    return Encoder.load(name)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show the models that can be loaded by name."""
    with reporting(as_json) as report:
        from rich.table import Table

        from crossfade.encoder import list_models

        infos = list_models()
        table = Table("name", "model", "dimensions", "tokens", "MB", "cached")
        for info in infos:
            megabytes, cached = f"{info.size / 1e6:.0f}", "yes" if info.cached else "no"
            table.add_row(info.name, info.model, str(info.dim), str(info.max_tokens), megabytes, cached)
        fields = ("name", "model", "dim", "max_tokens", "size", "cached")
        payload: list[dict[str, Any]] = [{field: getattr(info, field) for field in fields} for info in infos]
        report.result({"models": payload}, table)


@app.command("pull")
def pull_(name: Name, as_json: Json = False) -> None:
    """Fetch a model's files, and replace damaged ones."""
    with reporting(as_json) as report:
        from crossfade.encoder import pull

        folder = str(pull(name, report.say))
        report.result({"name": name, "folder": folder}, f"{name} is in {folder}")


@app.command("verify")
def verify_(name: Name, as_json: Json = False) -> None:
    """Compare a model's cached files with its manifest; exit code 1 if one differs."""
    with reporting(as_json) as report:
        from crossfade.encoder import verify

        files = verify(name)
        payload = {"name": name, "files": dict(files), "intact": all(ok for _, ok in files)}
        report.result(payload, *(f"{'ok      ' if ok else 'DAMAGED '}{file}" for file, ok in files))
        if not payload["intact"]:
            report.say(f"a file is missing or differs; fetch it with: crossfade models pull {name}")
            raise typer.Exit(1)

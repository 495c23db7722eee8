"""Report: where a command's result, messages, progress and errors go."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import typer

from crossfade.errors import CrossfadeError, NotReady

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

FAILED = 1
INTERRUPTED = 130

# Plain progress, as in a log file, is one line in so many seconds.
SECONDS_BETWEEN_LINES = 5.0


class Bar(Protocol):
    """Progress of one piece of work."""

    def update(self, done: int, total: int | None = None) -> None:
        """Show how much is done; `total` once it is known."""

    def note(self, text: str) -> None:
        """Show a short text beside the bar."""


class Report:
    """What a command says: its result on stdout, everything else on stderr.

    Args:
        as_json: Whether stdout gets one JSON object instead of text.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, payload: Mapping[str, Any], *shown: RenderableType) -> None:
        """Print the result: the payload as one line of JSON, or what is shown to people."""
        if self.as_json:
            typer.echo(json.dumps(payload, allow_nan=False))  # ASCII, which every stdout can take
            return
        _print(False, shown)

    def say(self, message: str) -> None:
        """Print a message to stderr."""
        typer.echo(message, err=True)

    def show(self, *shown: RenderableType) -> None:
        """Show something to people on stderr: what a conversation is about is no result."""
        _print(True, shown)

    def ask(self, question: str) -> None:
        """Put a question to people, on stderr; the answer is typed behind it."""
        typer.echo(question, err=True, nl=False)

    @contextlib.contextmanager
    def bar(self, label: str, unit: str, total: int | None = None) -> Iterator[Bar]:
        """Show progress on stderr: a live bar on a terminal, else a line every few seconds and a last one."""
        from rich.console import Console

        console = Console(stderr=True, markup=False, highlight=False)
        if console.is_terminal:
            with _live(console, unit) as progress:
                yield _LiveBar(progress, progress.add_task(label, total=total, note=""))
            return
        plain = _PlainBar(self, label, unit, total)
        yield plain
        plain.finish()

    def fail(self, error: Exception) -> NoReturn:
        """Print one line about an error and leave with its exit code."""
        name, message = type(error).__name__, str(error)
        if not isinstance(error, CrossfadeError):
            message = f"unexpected {name}: {message}; set CROSSFADE_DEBUG=1 to see where"
        self.say(f"error: {' '.join(message.split())}")
        if self.as_json:
            ids = {"ids": list(error.ids)} if isinstance(error, NotReady) else {}
            typer.echo(json.dumps({"error": {"type": name, "message": message, **ids}}))
        raise typer.Exit(FAILED) from error


@contextlib.contextmanager
def reporting(as_json: bool) -> Iterator[Report]:
    """A command's body: errors leave as one line and an exit code, Ctrl-C as 130, SIGTERM in a migration as 143.

    This is the outermost door, so it catches whatever comes: a user is owed a sentence. The
    traceback is for CROSSFADE_DEBUG=1.
    """
    report = Report(as_json)
    try:
        yield report
    except (typer.Exit, typer.BadParameter, BrokenPipeError):
        raise
    except KeyboardInterrupt as interrupt:
        report.say("interrupted")
        raise typer.Exit(INTERRUPTED) from interrupt
    except Exception as error:
        if os.environ.get("CROSSFADE_DEBUG") == "1":
            raise
        report.fail(error)


def _print(stderr: bool, shown: Iterable[RenderableType]) -> None:
    from rich.console import Console

    console = Console(stderr=stderr, markup=False, highlight=False, soft_wrap=True)
    for renderable in shown:
        console.print(renderable)


def _live(console: Any, unit: str) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


class _LiveBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: int, total: int | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


class _PlainBar:
    def __init__(self, report: Report, label: str, unit: str, total: int | None) -> None:
        self._report = report
        self._label = label
        self._unit = unit
        self._total = total
        self._done = 0
        self._said = -1
        self._last = time.monotonic()

    def update(self, done: int, total: int | None = None) -> None:
        self._done = done
        self._total = self._total if total is None else total
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self.note("")

    def note(self, text: str) -> None:
        self._last = time.monotonic()
        self._said = self._done
        total = "" if self._total is None else f" of {self._total:,}"
        self._report.say(f"{self._label}: {self._done:,}{total} {self._unit}  {text}".rstrip())

    def finish(self) -> None:
        if self._said != self._done:
            self.note("")

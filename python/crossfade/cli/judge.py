"""The command that shows lists of documents blind, and records what a person says of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from crossfade.cli.console import Report, reporting
from crossfade.errors import InvalidInput

if TYPE_CHECKING:
    from rich.table import Table

    from crossfade.assess import Sides
    from crossfade.collection import Collection
    from crossfade.document import Document

Folder = Annotated[str, typer.Argument(metavar="COLLECTION", help="The collection's folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else on stderr.")]

GRADES: Mapping[str, float] = {"0": 0.0, "1": 1.0, "2": 2.0, "3": 3.0}
SKIP, UNDO, QUIT = "s", "u", "q"
ASKED = "0 irrelevant, 1 somewhat, 2 relevant, 3 just what was asked; s skip, u undo, q quit: "
LISTED_CHARACTERS, SHOWN_CHARACTERS = 70, 1_500


def judge(
    folder: Folder,
    queries: Annotated[
        str | None, typer.Option(help="A BEIR folder, JSON lines, CSV or topics; else the queries that were logged.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="A model to show beside the live one; else that of a migration under way.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many documents a list has.")] = 10,
    most: Annotated[int, typer.Option(min=1, help="How many queries, the most frequent first.")] = 20,
    sample: Annotated[
        int, typer.Option(min=400, help="Documents to embed for --to at most, if it is not there.")
    ] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of what stands left and right.")] = 0,
    as_json: Json = False,
) -> None:
    """Judge how well documents answer queries, without knowing which model found them; recorded at once, resumable."""
    with reporting(as_json) as report:
        from crossfade.cli import models
        from crossfade.collection import Collection

        encoder = models.load(to, report) if to else None
        with Collection.open(folder) as docs:
            texts = _texts(docs, queries)[:most]
            with report.bar("embedding", "documents") if encoder else contextlib.nullcontext() as bar:
                told = bar.update if bar else None
                sides = docs.side_by_side(texts, encoder, k=k, sample=sample, seed=seed, progress=told)
            sitting = Sitting(docs, sides, report)
            sitting.run(_keys())
        recorded = [{"query": query, "id": id_, "grade": grade} for (query, id_), grade in sitting.recorded.items()]
        payload = {"collection": folder, "queries": len(sides), "recorded": recorded, "left": sitting.left}
        left = f"{sitting.left:,} documents left; the same command goes on with them" if sitting.left else "none left"
        report.result(payload, f"{len(recorded):,} judgements recorded, {left}")


class Question(NamedTuple):
    """A document that is to be judged for a query."""

    sides: Sides
    document: Document

    @property
    def named(self) -> tuple[str, str]:
        return self.sides.query, self.document.id


class Sitting:
    """One person's answers, from the first question that has none yet.

    Args:
        docs: The collection.
        sides: What is shown of each query.
        report: Where it is shown: on stderr.
    """

    def __init__(self, docs: Collection, sides: Sequence[Sides], report: Report) -> None:
        known = {(judgement.query, judgement.id) for judgement in docs.judgements()}
        every = [Question(of_query, document) for of_query in sides for document in of_query.documents]
        self._docs = docs
        self._report = report
        self._questions = [question for question in every if question.named not in known]
        self._trail: list[int] = []  # places of what was answered or skipped
        self._at = 0
        self.recorded: dict[tuple[str, str], float] = {}

    @property
    def left(self) -> int:
        """How many questions have no answer."""
        return len(self._questions) - len(self.recorded)

    def run(self, keys: Iterator[str]) -> None:
        """Asks until all is answered, or the keys say or come to an end."""
        shown_query = None
        while self._at < len(self._questions):
            question = self._questions[self._at]
            if question.sides.query != shown_query:
                shown_query = question.sides.query
                self._report.show(f"\nquery: {shown_query}", _table(question.sides))
            self._report.show(f"\n{self._at + 1} of {len(self._questions)}  {question.document.id}", _text(question))
            key = self._ask(keys)
            if key == QUIT:
                return
            if key == UNDO:
                self._undo()
            else:
                self._answer(question, GRADES.get(key))

    def _ask(self, keys: Iterator[str]) -> str:
        while True:
            self._report.ask(ASKED)
            key = next(keys, QUIT)
            self._report.show(key if key.isprintable() else "")
            if key in GRADES or key in (SKIP, UNDO, QUIT):
                return key

    def _answer(self, question: Question, grade: float | None) -> None:
        if grade is not None:
            try:
                self._docs.judge(*question.named, grade)
                self.recorded[question.named] = grade
            except InvalidInput as error:  # it was deleted meanwhile
                self._report.say(str(error))
        self._trail.append(self._at)
        self._at += 1

    def _undo(self) -> None:
        if not self._trail:
            self._report.say("there is nothing to undo")
            return
        self._at = self._trail.pop()
        named = self._questions[self._at].named
        if self.recorded.pop(named, None) is not None:
            self._docs.judge(*named, None)


def _texts(docs: Collection, source: str | None) -> list[str]:
    from crossfade import assess

    if source is not None:
        return list(assess.given(source).texts.values())
    texts = list(assess.from_log(docs.queries(), docs.judgements()).texts)
    if not texts:
        raise InvalidInput("no query was logged yet; search for something, or give --queries FILE")
    return texts


def _keys() -> Iterator[str]:
    """The keys that are pressed; of what is no terminal, the lines."""
    if not sys.stdin.isatty():
        yield from (line.strip().lower() for line in sys.stdin)
        return
    while True:
        try:
            typed = typer.getchar().lower()
        except EOFError:
            return
        yield from [typed] if typed.startswith("\x1b") else typed  # an arrow is one key, of several letters


def _table(sides: Sides) -> Table:
    from rich.table import Table

    table = Table("", *("AB" if len(sides.lists) > 1 else ["found"]))
    for rank in range(max(map(len, sides.lists), default=0)):
        cells = [_line(documents[rank]) if rank < len(documents) else "" for documents in sides.lists]
        table.add_row(str(rank + 1), *cells)
    return table


def _line(document: Document) -> str:
    return " ".join(document.content.split())[:LISTED_CHARACTERS]


def _text(question: Question) -> str:
    text = question.document.content
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"

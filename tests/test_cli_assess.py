"""`crossfade assess`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import crossfade as cf
from command_line import crossfade
from crossfade.cli.assess import EXIT_CODES, figure


@pytest.fixture
def titled(tmp_path: Path, l3: cf.Encoder) -> Path:
    """Forty short documents with titles, embedded with a real model."""
    places = [f"{town} {what}" for town in ("Lisbon", "Oslo", "Quito", "Delhi") for what in WHATS]
    folder = tmp_path / "kb.cf"
    with cf.Collection.create(folder, l3) as docs:
        docs.upsert(
            [
                cf.Document(str(n), f"In {place.split()[0]} you find it near the old harbour, number {n}.", title=place)
                for n, place in enumerate(places)
            ]
        )
    return folder


WHATS = (
    "opening hours of museums",
    "timetable of night buses",
    "list of public libraries",
    "prices of swimming pools",
    "map of drinking fountains",
    "rules for parking lots",
    "history of its bridges",
    "names of market squares",
    "schools with free places",
    "repair of broken street lamps",
)


def test_exit_codes_tell_the_decision(titled: Path, tmp_path: Path) -> None:
    """Two judged queries are not enough: 11, and the text says what would change that."""
    queries = tmp_path / "queries.jsonl"
    queries.write_text(
        "".join(
            json.dumps({"id": str(n), "text": text, "qrels": {str(n): 1}}) + "\n"
            for n, text in enumerate(("when do museums open in Lisbon", "night buses in Lisbon"))
        )
    )
    done = crossfade("assess", titled, "--to", "minilm-l6", "--queries", queries)
    assert done.exit_code == EXIT_CODES["not enough evidence"] == 11, done.output
    for part in ("NOT ENOUGH EVIDENCE", "too few to tell", "28 more judged queries", f"crossfade migrate {titled}"):
        assert part in done.stdout
    told = crossfade("assess", titled, "--to", "minilm-l6", "--queries", queries, "--json")
    payload = json.loads(told.stdout)
    assert (told.exit_code, payload["exit_code"]) == (11, 11)
    assert payload["verdict"]["commands"][0] == f"crossfade migrate {titled} --to minilm-l6"


def test_made_queries_are_marked(titled: Path) -> None:
    """Without any queries they are made of titles, and every output says so."""
    done = crossfade("assess", titled, "--to", "minilm-l6", "--least-queries", "20")
    assert done.exit_code in (0, 10, 11), done.output
    assert "(PROVISIONAL)" in done.stdout
    assert "made from documents" in done.stdout


def test_the_same_model_is_nothing_to_do(titled: Path) -> None:
    """Exit code 10, as for a stay."""
    done = crossfade("assess", titled, "--to", "minilm-l3")
    assert done.exit_code == EXIT_CODES["nothing to do"] == EXIT_CODES["stay"] == 10, done.output
    assert "NOTHING TO DO" in done.stdout


def test_reports_are_written(titled: Path, tmp_path: Path) -> None:
    """As HTML and as Markdown, whatever the decision; where one can't be, that is an error and no decision."""
    page, notes = tmp_path / "report.html", tmp_path / "report.md"
    done = crossfade("assess", titled, "--to", "minilm-l3", "--html", page, "--markdown", notes)
    assert done.exit_code == EXIT_CODES["nothing to do"], done.output
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "othing to do" in notes.read_text(encoding="utf-8")
    failed = crossfade("assess", titled, "--to", "minilm-l3", "--markdown", tmp_path / "nowhere" / "report.md")
    assert failed.exit_code == 1
    assert "can't be written" in failed.stderr


def test_errors_and_usage_keep_their_codes(titled: Path, tmp_path: Path) -> None:
    """1 for what can't be used, 2 for a command that can't be read: neither is an answer."""
    assert crossfade("assess", tmp_path / "nowhere", "--to", "minilm-l6").exit_code == 1
    assert crossfade("assess", titled, "--to", "minilm-l6", "--min-lift", "-1").exit_code == 1
    assert crossfade("assess", titled).exit_code == 2


def test_a_migration_can_stop_at_a_share(titled: Path) -> None:
    """--until 0 only learns, where there is enough to learn from, and the rest is left for later."""
    done = crossfade("migrate", titled, "--to", "minilm-l6", "--until", "0.5", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["done"] == 20


def test_figures_are_short() -> None:
    """Numbers of any size."""
    assert [figure(value) for value in (None, 0.0, 0.123456, 12.0, 1234567.8)] == ["–", "0", "0.123", "12", "1,234,568"]

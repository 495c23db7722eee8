"""The demo's documents: what is read, and that reading imports nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crossfade.cli.corpus import LONGEST_QUESTION, SHORTEST_QUESTION, SHORTEST_TEXT, Entry, entries

REST = "Everything that follows the summary is the text, whatever it says."


@pytest.fixture(scope="module")
def library() -> list[Entry]:
    return entries()


def write(folder: Path, name: str, *docstrings: str) -> None:
    """A module with one function per docstring."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(f'def f{i}():\n    """{text}"""\n' for i, text in enumerate(docstrings)))


def test_there_are_at_least_2_000_documents(library: list[Entry]) -> None:
    """The running interpreter's library gives enough text for the demo, and as many questions nearly."""
    assert len(library) >= 2_000
    assert sum(entry.unambiguous for entry in library) >= 1_800


def test_ids_and_texts_are_distinct(library: list[Entry]) -> None:
    """No two entries share an id or a text; a question that is unambiguous is asked once."""
    assert len({entry.id for entry in library}) == len(library)
    assert len({entry.text for entry in library}) == len(library)
    asked = [entry.question.casefold() for entry in library if entry.unambiguous]
    assert len(set(asked)) == len(asked)


def test_both_halves_say_enough(library: list[Entry]) -> None:
    """Questions and texts lie within their bounds and on one line."""
    for entry in library:
        assert SHORTEST_QUESTION <= len(entry.question) <= LONGEST_QUESTION
        assert len(entry.text) >= SHORTEST_TEXT
        assert "\n" not in entry.question + entry.text


def test_ids_are_dotted_names(library: list[Entry]) -> None:
    """An id names the module, the class and the function."""
    assert {"json.decoder.JSONDecoder.raw_decode", "json.decoder.JSONDecoder"} <= {entry.id for entry in library}


def test_a_second_reading_gives_the_same(library: list[Entry]) -> None:
    """The order and the content depend on the files alone."""
    assert entries() == library


def test_nothing_is_imported() -> None:
    """Reading the library's documentation imports none of it, not even what imports with a side effect."""
    program = (
        "import sys; from crossfade.cli.corpus import entries; before = set(sys.modules); "
        "found = entries(); assert found; "
        "new = set(sys.modules) - before; "
        "assert not new & {'this', 'antigravity', 'turtle', 'tkinter', 'json.tool'}, new; print(len(new))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout) <= 5, "ast and encodings may load a helper, but no library's worth"


def test_tests_and_installed_packages_are_left_out(tmp_path: Path) -> None:
    """Folders that hold no prose of the library are passed over at any depth."""
    for name in ("test/a.py", "x/tests/b.py", "site-packages/c.py", "idlelib/d.py", "lib2to3/e.py"):
        write(tmp_path, name, f"A summary of what {name} does.\n\n{REST} {name}")
    write(tmp_path, "kept/__init__.py", f"A summary of what is kept.\n\n{REST}")
    assert [entry.id for entry in entries(tmp_path)] == ["kept.f0"]


def test_a_shared_summary_is_ambiguous(tmp_path: Path) -> None:
    """Texts under one summary stay documents, but the summary is no question."""
    write(tmp_path, "m.py", f"Return the size of it all.\n\n{REST} 1", f"Return the size of it all.\n\n{REST} 2")
    assert [(entry.id, entry.unambiguous) for entry in entries(tmp_path)] == [("m.f0", False), ("m.f1", False)]


def test_a_repeated_text_is_one_document(tmp_path: Path) -> None:
    """Of documentation strings with the same text, the first in the order of files and lines is kept."""
    write(tmp_path, "b.py", f"The second file's summary line.\n\n{REST}")
    write(tmp_path, "a.py", f"The first file's summary line.\n\n{REST}")
    assert [entry.id for entry in entries(tmp_path)] == ["a.f0"]


def test_a_summary_is_the_first_paragraph(tmp_path: Path) -> None:
    """A summary that runs over two lines is one question; white space is evened out."""
    write(tmp_path, "m.py", f"Do one thing and then\n    another thing.\n\n    {REST}\n\n    More.")
    (entry,) = entries(tmp_path)
    assert (entry.question, entry.text) == ("Do one thing and then another thing.", f"{REST} More.")


def test_files_that_do_not_parse_are_passed_over(tmp_path: Path) -> None:
    """A broken file, or one in an unknown encoding, doesn't end the reading."""
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "strange.py").write_bytes(b"# coding: no-such-encoding\n'''x'''\n")
    write(tmp_path, "whole.py", f"A summary of the whole file.\n\n{REST}")
    assert [entry.id for entry in entries(tmp_path)] == ["whole.f0"]


def test_an_empty_folder_gives_nothing(tmp_path: Path) -> None:
    """No documented source, no entries."""
    assert entries(tmp_path) == []

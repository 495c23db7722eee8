"""What the documentation shows is what the code does."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import crossfade
from faults import bugs
from faults.parts import parts

ROOT = Path(__file__).resolve().parent.parent


def modules() -> list[str]:
    found = pkgutil.walk_packages(crossfade.__path__, "crossfade.")
    return sorted(module.name for module in found if not module.name.endswith("._core"))


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name: str) -> None:
    """Every example in a docstring gives the output that stands below it."""
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_readme_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python block on the README's first screen runs as it stands, and moves a collection to the new model."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    docs = names["docs"]
    assert isinstance(docs, crossfade.Collection)
    assert docs.space == crossfade.Encoder.load("minilm-l6").space
    docs.close()


def test_readme_names_every_command() -> None:
    """The README lists each command that `crossfade --help` knows."""
    from typer.main import get_command

    from crossfade.cli.app import app

    text = (ROOT / "README.md").read_text()
    missing = [name for name in get_command(app).commands if f"crossfade {name}" not in text]  # type: ignore[attr-defined]
    assert missing == []


def test_the_page_of_reliability_names_what_there_is() -> None:
    """Every test, seeded bug, file and part of the fault suite that docs/reliability.md names exists."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    known = {*re.findall(r"def (test_\w+)", tests), *bugs.BUGS}
    assert [name for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text) if name not in known] == []
    assert [path for path in re.findall(r"tests/[\w/]+\.py", text) if not (ROOT / path).exists()] == []
    names = [*parts(kills=1, mutations=1, steps=1)]
    named = re.findall(r"^\|[^|]+\| `([^`.]+)` \|", text, re.MULTILINE)
    assert [name for name in named if not any(part.startswith(name) for part in names)] == []


def test_decisions_fit_on_a_page() -> None:
    """Decision records are numbered without gaps and stay below a page of 60 lines."""
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    assert [record.name for record in records if record.read_text().count("\n") > 60] == []

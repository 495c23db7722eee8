"""The demo's documents: documentation strings of the standard library of the running interpreter."""

from __future__ import annotations

import ast
import collections
import dataclasses
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

# Shorter halves say too little to be told apart ("Return the result."); longer summaries are no questions.
SHORTEST_QUESTION = 20
LONGEST_QUESTION = 200
SHORTEST_TEXT = 40

# Not the library's own prose: its tests, an editor, a retired converter, and what users installed.
LEFT_OUT = frozenset({"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__"})

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One documentation string.

    Args:
        id: Dotted name, like "json.decoder.JSONDecoder.decode".
        text: What follows the summary, on one line.
        question: The summary, which is the first paragraph, on one line.
        unambiguous: Whether no other entry has this summary, so that the entry is its one right answer.
    """

    id: str
    text: str
    question: str
    unambiguous: bool


def entries(root: Path | None = None) -> list[Entry]:
    """Read the documentation strings under `root`, in the order of their paths and lines.

    Files are parsed, never imported.

    Args:
        root: Folder of Python files; the running interpreter's standard library by default.

    Returns:
        Entries with distinct ids and distinct texts; empty where the folder holds no documented source.
    """
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    ids: set[str] = set()
    texts: dict[str, tuple[str, str]] = {}
    for path in _sources(root):
        for name, docstring in _docstrings(path, _module_name(path.relative_to(root))):
            question, text = _halves(docstring)
            usable = SHORTEST_QUESTION <= len(question) <= LONGEST_QUESTION and len(text) >= SHORTEST_TEXT
            if usable and name not in ids and text not in texts:
                ids.add(name)
                texts[text] = (name, question)
    counts = collections.Counter(question.casefold() for _, question in texts.values())
    return [Entry(name, text, question, counts[question.casefold()] == 1) for text, (name, question) in texts.items()]


def _sources(root: Path) -> list[Path]:
    found = (path for path in root.rglob("*.py") if LEFT_OUT.isdisjoint(path.relative_to(root).parts))
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _docstrings(path: Path, module: str) -> Iterator[tuple[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes in other people's source
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return  # templates and deliberately broken files carry no documentation
    yield from _walk(tree, module)


def _walk(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, _DOCUMENTED):
        docstring = ast.get_docstring(node, clean=True)
        if docstring:
            yield name, docstring
    for child in ast.iter_child_nodes(node):
        inner = f"{name}.{child.name}" if isinstance(child, _DOCUMENTED[1:]) else name
        yield from _walk(child, inner)


def _halves(docstring: str) -> tuple[str, str]:
    summary, _, rest = docstring.partition("\n\n")
    return " ".join(summary.split()), " ".join(rest.split())

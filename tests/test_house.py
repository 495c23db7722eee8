"""The house rules that a program can check: arrows between rooms, types, style, sizes, and who imports what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "crossfade"
MOST_LINES = 350
MOST_FUNCTION_LINES = 60
# Library → the only rooms that import it: one, so that its exceptions are translated in one place. tenacity raises only
# what it was given.
DOORS = {
    "apsw": ("catalog",),
    "usearch": ("index",),
    "onnxruntime": ("encoder",),
    "openvino": ("encoder",),
    "tokenizers": ("encoder",),
    "huggingface_hub": ("encoder",),
    "onnx": ("encoder",),
    "httpx2": ("encoder",),
    "pyrate_limiter": ("encoder",),
    "tenacity": ("encoder", "migration"),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "matplotlib": ("report",),
    "typer": ("cli",),
    "rich": ("cli",),
}


def run(tool: str, *options: str) -> None:
    """Runs a tool of this environment in the repository; its output is the message of a failure."""
    program = Path(sys.executable).with_name(tool)
    done = subprocess.run([program, *options], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_imports_point_down() -> None:
    """The rooms import only what lies below them (the contract stands in pyproject.toml)."""
    run("lint-imports", "--no-cache")


def test_types_hold() -> None:
    """mypy --strict accepts the package."""
    run("mypy", "python")


def test_style_holds() -> None:
    """ruff accepts code and format of all Python, clang-format the format of all C++."""
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")
    native = [path for folder in ("cpp", "tests/cpp", "bench") for path in ROOT.glob(f"{folder}/**/*.[ch]*")]
    run("clang-format", "--dry-run", "--Werror", *(str(path) for path in native if path.suffix in (".cpp", ".h")))


def test_libraries_have_one_door() -> None:
    """usearch, SQLite, onnxruntime and the others are imported by their rooms only."""
    strangers = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, tree in modules()
        for node in ast.walk(tree)
        for name in _imported(node)
        if name in DOORS and path.relative_to(PACKAGE).parts[0] not in DOORS[name]
    ]
    assert strangers == []


def test_rooms_stay_small() -> None:
    """Modules and functions stay below the sizes at which a thought no longer fits on a screen or two."""
    large = []
    sources = [*PACKAGE.rglob("*.py"), *(ROOT / "cpp").rglob("*.cpp"), *(ROOT / "cpp").rglob("*.h")]
    for path in sources:
        lines = path.read_text().count("\n")
        if lines > MOST_LINES:
            large.append(f"{path.relative_to(ROOT)}: {lines} lines")
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > MOST_FUNCTION_LINES:
                large.append(f"{path.relative_to(ROOT)}: {node.name} is longer than {MOST_FUNCTION_LINES} lines")
    assert large == []


def test_pybind11_stays_in_the_bindings() -> None:
    """The kernels know no Python: only the bindings include pybind11."""
    strangers = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "cpp" / "kernels").rglob("*")
        if path.is_file() and re.search(r"pybind11|Python\.h", path.read_text())
    ]
    assert strangers == []


def test_nothing_unpickles() -> None:
    """No module reads pickles: a collection, a bridge or a model from elsewhere can't run code."""
    strangers = [
        str(path)
        for path, tree in modules()
        for node in ast.walk(tree)
        if {"pickle", "joblib", "shelve", "marshal"} & set(_imported(node))
    ]
    assert strangers == []


def test_no_property_has_a_lock() -> None:
    """`functools.cached_property` has one in Python 3.11, and a child that is forked meanwhile inherits it taken."""
    assert [path for path in PACKAGE.rglob("*.py") if "@functools.cached_property" in path.read_text()] == []


def test_public_names_are_what_is_visible() -> None:
    """`__all__` and `dir(crossfade)` agree, every name is there, and each has a docstring."""
    import crossfade

    assert dir(crossfade) == sorted(crossfade.__all__)
    for name in crossfade.__all__:
        value = getattr(crossfade, name)
        assert name == "__version__" or value.__doc__, name


def test_import_is_quick_and_quiet() -> None:
    """`import crossfade` loads no native library and opens nothing: they come with the first use."""
    code = (
        "import sys, crossfade; heavy = {'onnxruntime', 'usearch', 'tokenizers', 'apsw', 'numpy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_usearch_first_is_an_error_and_no_crash() -> None:
    """A program that has loaded usearch before onnxruntime is told so, instead of dying by a signal."""
    code = "import usearch.index, crossfade; crossfade.Encoder"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "put `import onnxruntime` before" in done.stderr


def test_unknown_names_are_attribute_errors() -> None:
    """A name crossfade does not have raises AttributeError, as in any module."""
    import crossfade

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = crossfade.nonsense


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.split(".")[0]]
    return []

"""The hand-written stub of the compiled module says what the module is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import crossfade
from crossfade import _core


def stubbed() -> dict[str, list[str]]:
    """Function → names of its arguments, as the stub has them."""
    stub = Path(crossfade.__file__).with_name("_core.pyi")
    functions = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.FunctionDef)]
    return {function.name: [argument.arg for argument in function.args.args] for function in functions}


def compiled() -> dict[str, list[list[str]]]:
    """Function → names of the arguments of each of its overloads, as pybind11 writes them into the docstring."""
    functions = {name: getattr(_core, name).__doc__ for name in dir(_core) if not name.startswith("__")}
    return {
        name: [re.findall(r"(\w+): ", arguments) for arguments in re.findall(rf"{name}\((.*)\) ->", doc)]
        for name, doc in functions.items()
    }


def test_stub_and_module_have_the_same_functions() -> None:
    """Every function of the module stands in the stub, and no other."""
    assert sorted(stubbed()) == sorted(compiled())


def test_stub_and_module_have_the_same_arguments() -> None:
    """Names and order of the arguments are the same, in every overload."""
    for name, overloads in compiled().items():
        assert overloads
        for arguments in overloads:
            assert arguments == stubbed()[name], name

"""The kernels without Python: the program of tests/cpp, built with the compiler at hand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from crossfade import _core

ROOT = Path(__file__).resolve().parent.parent
CMAKE = shutil.which("cmake")


@pytest.mark.skipif(CMAKE is None, reason="cmake is not on the PATH")
def test_the_kernels_pass_their_own_tests(tmp_path: Path) -> None:
    """Built without Python and with warnings as errors, every level this machine runs agrees with double precision."""
    options = ["-DCROSSFADE_PYTHON=OFF", "-DCROSSFADE_TESTS=ON", "-DCROSSFADE_WERROR=ON"]
    run("cmake", "-S", str(ROOT), "-B", str(tmp_path), *options)
    run("cmake", "--build", str(tmp_path), "--parallel", "2")

    report = run(str(tmp_path / "kernels_test"))

    lines = re.findall(r"^(\w+) +([1-9]\d*) checks, 0 failed$", report, re.MULTILINE)
    assert [level for level, _ in lines] == ["common", *_core.instruction_sets()], report


def run(*command: str) -> str:
    """What a program prints; its errors are the message of a failure."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

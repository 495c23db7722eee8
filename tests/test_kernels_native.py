"""The kernels without Python: the program of tests/cpp, built with the compiler at hand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from crossfade import _core

ROOT = Path(__file__).resolve().parent.parent
CMAKE = shutil.which("cmake", path=str(Path(sys.executable).parent)) or "cmake"


def test_the_kernels_pass_their_own_tests(tmp_path: Path) -> None:
    """Built without Python and with warnings as errors, every level this machine runs agrees with double precision."""
    options = ["-DCROSSFADE_PYTHON=OFF", "-DCROSSFADE_TESTS=ON", "-DCROSSFADE_WERROR=ON"]
    run(CMAKE, "-S", str(ROOT), "-B", str(tmp_path), *options)
    run(CMAKE, "--build", str(tmp_path), "--parallel", "2")

    report = run(str(tmp_path / "kernels_test"))

    lines = re.findall(r"^([\w-]+) +([1-9]\d*) checks, 0 failed$", report, re.MULTILINE)
    levels = _core.instruction_sets()
    emulated = ["amx-emulated"] if "avx512bf16" in levels else []
    assert [level for level, _ in lines] == ["common", *levels, *emulated], report


def run(*command: str) -> str:
    """What a program prints; its errors are the message of a failure."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""The command line as tests use it: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from crossfade.cli import app

NOISY = {"COLUMNS": "200", "NO_COLOR": "1"}


def crossfade(*words: str | Path, stdin: str | None = None) -> Result:
    """One command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin, env=NOISY)


def answer(*words: str | Path, stdin: str | None = None) -> dict[str, Any]:
    """The object that a successful command with --json prints."""
    done = crossfade(*words, "--json", stdin=stdin)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start(*words: str | Path, **environment: str) -> subprocess.Popen[str]:
    """One command in a process of its own."""
    command = [sys.executable, "-c", "from crossfade.cli import main; main()", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **NOISY, **environment})


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process."""
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr

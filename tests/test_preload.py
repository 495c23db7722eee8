"""gunicorn with --preload: a collection that is opened once serves in every worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import crossfade as cf
from support import documents, everything, filled, text_of, wait_until

WORKERS = 2


@pytest.fixture
def server(folder: Path, old: cf.Encoder) -> Iterator[str]:
    """The address of two workers that serve a collection of 50 documents."""
    filled(folder, old, 50).close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--bind", address]
    here = Path(__file__).parent
    environment = {**os.environ, "COLLECTION": str(folder), "PYTHONPATH": str(here)}
    with subprocess.Popen([*command, "--log-level", "warning", "served:application"], env=environment) as process:
        try:
            yield f"http://{address}/?"
        finally:
            process.terminate()
        assert process.wait(30) == 0


def ask(server: str, **fields: str) -> dict[str, Any]:
    """An answer; asks until the server listens and every worker is there."""
    answers: list[dict[str, Any]] = []

    def answered() -> bool:
        try:
            with urllib.request.urlopen(server + urllib.parse.urlencode(fields), timeout=30) as answer:
                answers.append(json.loads(answer.read()))
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    wait_until(answered)
    return answers[0]


def ask_all(server: str, query: str, without: int = 0) -> dict[int, list[str]]:
    """What each of the workers finds, by its process; not those of a process that was killed."""
    found: dict[int, list[str]] = {}

    def complete() -> bool:
        answer = ask(server, q=query)
        assert answer["pid"] != answer["loaded_by"]
        if answer["pid"] != without:
            found[answer["pid"]] = answer["ids"]
        return len(found) == WORKERS

    wait_until(complete)
    return found


def test_preloaded_workers_serve_what_is_committed(server: str, folder: Path, old: cf.Encoder) -> None:
    """Workers that inherit a collection see the commits of other processes and each other's; a new worker does, too."""
    assert all(ids[0] == "d7" for ids in ask_all(server, text_of(7)).values())
    with cf.Collection.open(folder, old) as docs:
        docs.upsert(documents(10, start=50))
        workers = ask_all(server, text_of(55))
        assert all(ids[0] == "d55" for ids in workers.values())
        written = ask(server, add="d60", q=text_of(60))
        assert written["ids"][0] == "d60"
        assert all(ids[0] == "d60" for ids in ask_all(server, text_of(60)).values())
        assert docs.search(text_of(60), k=1).ids == ["d60"]
        killed = written["pid"]
        os.kill(killed, signal.SIGKILL)
        after = ask_all(server, text_of(60), without=killed)
        assert len(set(after) - set(workers)) == 1
        assert all(ids[0] == "d60" for ids in after.values())
        docs.delete("d60")
        assert all("d60" not in ids for ids in ask_all(server, text_of(60), without=killed).values())
    assert set(everything(folder)) == {f"d{number}" for number in range(60)}

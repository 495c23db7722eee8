"""What all contenders' programs share: answering requests, timing, and memory.

A request is a line of JSON on standard input, {"do": …, "texts": […], "rows": FILE or null}; so is its answer on
standard output. Imports nothing but NumPy, for it runs in every contender's environment.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Model(Protocol):
    """A loaded contender; one that has `pipeline(texts)` is asked for it too.

    `encode` gives rows `(n, dim)`, `tokens` the number of real tokens it takes of the texts, special ones included.
    """

    versions: dict[str, str]

    def encode(self, texts: list[str]) -> Any: ...
    def tokens(self, texts: list[str]) -> int: ...


def serve(load: Callable[[Path, int, dict[str, Any]], Model]) -> None:
    """Load the model that the arguments name (folder, threads, options as JSON), then answer until input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(make: Callable[..., dict[str, Any]], *arguments: Any) -> None:
        try:
            made = make(*arguments)
        except Exception as error:  # whatever a contender raises is its answer
            made = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        answers.write(json.dumps(made) + "\n")
        answers.flush()

    folder, threads, options = sys.argv[1:]
    loaded: list[Model] = []
    resident = 0

    def first() -> dict[str, Any]:
        nonlocal resident
        loaded.append(load(Path(folder), int(threads), json.loads(options)))
        # What is made by the first calls, for one text or for several, belongs to the loaded model.
        loaded[0].encode(["one text"])
        loaded[0].encode(["another", "and one of other length"])
        gc.collect()
        resident = memory("VmRSS")
        return {"versions": loaded[0].versions, "resident": resident}

    answer(first)
    for line in sys.stdin:
        answer(handle, loaded[0], json.loads(line), resident)


def handle(model: Any, request: dict[str, Any], resident: int) -> dict[str, Any]:
    """The answer to one request; `peak` is how far the memory rose above that of the loaded model."""
    texts = request["texts"]
    if request["do"] == "tokens":
        return {"tokens": int(model.tokens(texts))}
    if request["do"] == "pipeline":
        return dict(model.pipeline(texts))
    Path("/proc/self/clear_refs").write_text("5")
    seconds: float | list[float]
    if request["do"] == "encode":
        seconds, rows = timed(model, texts)
    else:
        pairs = [timed(model, [text]) for text in texts]
        seconds, rows = [pair[0] for pair in pairs], np.concatenate([pair[1] for pair in pairs])
    peak = memory("VmHWM") - resident
    if request["rows"]:
        np.save(request["rows"], rows)
    return {"seconds": seconds, "peak": peak}


def timed(model: Model, texts: list[str]) -> tuple[float, Any]:
    began = time.perf_counter()
    rows = model.encode(texts)
    return time.perf_counter() - began, np.asarray(rows, dtype=np.float32)


def memory(field: str) -> int:
    """Bytes that /proc/self/status gives for a field."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))

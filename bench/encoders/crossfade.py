"""crossfade, with the precision and engine that the options name."""

from __future__ import annotations

import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bench.encoders import worker
from crossfade import Collection, Document, Encoder


class Model:
    def __init__(self, folder: Path, threads: int, options: dict[str, Any]) -> None:
        self._encoder = Encoder.load(folder, threads=threads, **options)
        engine = self._encoder.engine
        self.versions = {
            "crossfade": version("crossfade"),
            "onnxruntime": version("onnxruntime"),
            **{name: str(engine[name]) for name in ("engine", "precision") if name in engine},
        }

    def encode(self, texts: list[str]) -> Any:
        return self._encoder.encode(texts)

    def tokens(self, texts: list[str]) -> int:
        return int(np.sum(self._encoder.count_tokens(texts)))

    def pipeline(self, texts: list[str]) -> dict[str, float]:
        """Seconds from strings to rows on disk in a Collection, of tokenising alone, and while the session ran."""
        runtime = self._encoder._backend.runtime  # type: ignore[attr-defined]
        sessions, spans = runtime._sessions, Spans()
        runtime._sessions = {streams: Watched(session, spans) for streams, session in sessions.items()}
        documents = [Document(id=str(index), text=text) for index, text in enumerate(texts)]
        try:
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                with Collection.create(Path(folder, "bench.cf"), self._encoder) as collection:
                    collection.upsert(documents)
                seconds = time.perf_counter() - began
        finally:
            runtime._sessions = sessions
        began = time.perf_counter()
        self._encoder.count_tokens(texts)
        return {"seconds": seconds, "tokenising": time.perf_counter() - began, "running": spans.covered()}


class Watched:
    """A session whose runs are timed."""

    def __init__(self, session: Any, spans: Spans) -> None:
        self._session = session
        self._spans = spans

    def run(self, *arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._session.run(*arguments)
        finally:
            self._spans.add(began, time.perf_counter())


class Spans:
    """From when to when sessions ran."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []

    def add(self, began: float, ended: float) -> None:
        self._spans.append((began, ended))

    def covered(self) -> float:
        """Seconds in which at least one call ran."""
        total = end = 0.0
        for began, ended in sorted(self._spans):
            total += max(0.0, ended - max(began, end))
            end = max(end, ended)
        return total


if __name__ == "__main__":
    worker.serve(Model)

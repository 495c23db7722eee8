"""What searches pay while a segment is built and merged in the same process.

    python -m bench.sealing [--documents 40000] [--turns 3] [--json FILE]

Synthetic vectors of 384 dims, sealed; in every turn so many rows are written that the tail is as long as it may be, and
searches come one by one; then a few more are written, the builder starts, and searches come until it has ended. A
search scans the tail in both cases.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import crossfade as cf
from bench import machine
from bench.synthetic import documents, encoder
from crossfade.store import sealing

PAUSE = 0.002  # seconds between searches
ASKED, MORE = 800, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = {
        "machine": machine.facts(("numpy", "usearch", "apsw")),
        "documents": options.documents,
        "turns": measure(options.documents, options.turns),
    }
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    if options.json:
        options.json.write_text(text)


def measure(count: int, turns: int) -> list[dict[str, Any]]:
    model, found = encoder(0), []
    with tempfile.TemporaryDirectory() as folder, cf.Collection.create(Path(folder, "kb.cf"), model) as docs:
        write(docs, model, 0, count)
        docs._store._sealer.wait()
        docs._store.seal()
        for _ in range(turns):
            write(docs, model, len(docs), sealing.TAIL_ROWS)
            idle = searches(docs, ASKED)
            write(docs, model, len(docs), MORE)
            building: list[float] = []
            while docs._store._sealer.is_building:
                building += searches(docs, 20)
            found.append({"documents": len(docs), "idle_ms": quantiles(idle), "building_ms": quantiles(building)})
            sys.stderr.write(json.dumps(found[-1]) + "\n")
    return found


def write(docs: cf.Collection, model: cf.Encoder, start: int, count: int) -> None:
    batch = documents(start, start + count)
    docs.upsert(batch, vectors=model.encode([it.text for it in batch]), space=model.space)


def searches(docs: cf.Collection, count: int) -> list[float]:
    """Seconds of so many searches, one after the other."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        docs.search(f"document {number * 37}")
        taken.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    return taken


def quantiles(seconds: list[float]) -> dict[str, float]:
    ms = 1e3 * np.array(seconds)
    return {
        "searches": len(ms),
        "p50": round(float(np.quantile(ms, 0.5)), 2),
        "p99": round(float(np.quantile(ms, 0.99)), 2),
        "max": round(float(ms.max()), 2),
    }


if __name__ == "__main__":
    main()

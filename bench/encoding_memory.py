"""Does encoding keep its memory? A hundred thousand documents of all lengths, and the process's size along the way.

    python -m bench.encoding_memory [--model minilm-l3] [--documents 100000] [--json FILE]

Texts are words in random order, from a few to more than the model takes, in calls of a few thousand as well as of one.
Prints the anonymous memory above that of the loaded model, the highest of every tenth of the way.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

import crossfade as cf
from bench import machine

WORDS = ("river", "letter", "engine", "market", "winter", "signal", "harbour", "method", "garden", "copper", "ticket")
CALL = 2_000
LONGEST, USUAL, LONG = 300, 12, 0.01  # words; words of most texts on average; share of texts of any length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm-l3")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    encoder = cf.Encoder.load(options.model)
    for texts in (["one text"], ["another", "and one of other length"]):  # what first calls make belongs to the model
        encoder.encode(texts)
    watch = Watch()
    generator = np.random.default_rng(options.seed)
    highest, began = [], time.perf_counter()
    for tenth in range(10):
        watch.reset()
        for start in range(0, options.documents // 10, CALL):
            encoder.encode(texts_of(generator, min(CALL, options.documents // 10 - start)))
            encoder.encode(texts_of(generator, 1))
        highest.append(watch.highest)
        sys.stderr.write(f"{(tenth + 1) * options.documents // 10:,} documents: {highest[-1] / 1e6:.0f} MB above\n")
    report = {
        "machine": machine.facts(("numpy", "onnxruntime", "tokenizers")),
        "model": options.model,
        "engine": encoder.engine,
        "documents": options.documents,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - began, 1),
        "megabytes_above_by_tenth": [round(value / 1e6, 1) for value in highest],
    }
    watch.close()
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    if options.json:
        options.json.write_text(text)


def texts_of(generator: np.random.Generator, count: int) -> list[str]:
    """Texts of 1 to 300 words, most of them short, so that a hundred thousand take minutes."""
    usual = np.minimum(LONGEST, 1 + generator.exponential(USUAL, count).astype(int))
    lengths = np.where(generator.random(count) < LONG, generator.integers(1, LONGEST + 1, count), usual)
    return [" ".join(generator.choice(WORDS, length)) for length in lengths]


class Watch:
    """The highest anonymous memory, looked at ten times a second, above that at the beginning."""

    def __init__(self) -> None:
        self._floor = anonymous()
        self._over = threading.Event()
        self.reset()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def reset(self) -> None:
        self.highest = 0

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.highest = max(self.highest, anonymous() - self._floor)


def anonymous() -> int:
    """Bytes of this process's memory that no file is mapped to."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()

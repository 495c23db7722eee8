"""How well a migration's price is told beforehand: what `assess` expects of a fill, beside the fill itself.

    python -m bench.assess_price --data FOLDER [--old minilm-l3] [--new minilm-l6] [--json FILE]

A collection is made of the folder's documents, embedded with the old model; the price is told from a sample; then the
migration runs, on the same cores, and is timed from its first call to its end, the fit included. The program fails
where the fill took more than 20 % more or less than was expected.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import crossfade as cf
from bench import machine
from bench.quality import read_lines
from crossfade.assess.facts import gather
from crossfade.assess.sample import DOCUMENTS

MOST_OFF = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a BEIR folder")
    parser.add_argument("--old", default="minilm-l3")
    parser.add_argument("--new", default="minilm-l6")
    parser.add_argument("--documents", type=int, help="of the folder, at most; all unless you say")
    parser.add_argument("--sample", type=int, default=DOCUMENTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = measure(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0 if abs(report["off"]) <= MOST_OFF else 1


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """What was expected and what came."""
    texts = [(key, text) for key, text in read_lines(options.data / "corpus.jsonl").items() if text]
    new = cf.Encoder.load(options.new)
    with (
        tempfile.TemporaryDirectory() as folder,
        cf.Collection.create(Path(folder) / "kb.cf", cf.Encoder.load(options.old)) as docs,
    ):
        docs.upsert([cf.Document(key, text) for key, text in texts[: options.documents]])
        stolen, began = machine.stolen(), time.perf_counter()
        facts = gather(docs._store, docs._encoders, new, most=options.sample)
        assessed = time.perf_counter() - began
        fade = docs.migrate(new)
        began, used = time.perf_counter(), time.process_time()
        fade.run()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - used
    expected, told = facts.price.seconds.value, facts.price.cpu_hours.value
    if expected is None or told is None:
        raise SystemExit("no batch of the sample could be timed")
    return {
        "data": options.data.name,
        "documents": facts.price.documents.value,
        "engine": new.engine,
        "sample": facts.cost,
        "seconds_to_assess": assessed,
        "expected_seconds": expected,
        "interval": facts.price.seconds.interval,
        "seconds": seconds,
        "off": seconds / expected - 1.0,
        "expected_cpu_seconds": 3_600 * told,
        "cpu_seconds": cpu_seconds,
        "cpu_off": cpu_seconds / (3_600 * told) - 1.0,
        "stolen_ticks": machine.stolen() - stolen,
        "price": facts.price.to_dict(),
        "machine": machine.facts(("onnxruntime", "openvino", "tokenizers", "usearch")),
    }


if __name__ == "__main__":
    sys.exit(main())

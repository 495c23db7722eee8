"""What an assessment expects of every order, to be compared with docs/fade.md, where the same traffic was measured.

    python -m bench.assess_curves --data FOLDER --vectors FOLDER --old minilm-l3

The collection is searched by Zipf's law as in `bench.fade_traffic`; a line of JSON has each order's expected lift.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import crossfade as cf
from bench.fade_data import Judged, Unusable, model
from bench.fade_traffic import SHARES, draw
from crossfade.assess.curves import expected


def main() -> int:
    """Print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--old", required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        judged = Judged.load(arguments.data, "linear")
        old = model(arguments.old, judged, arguments.vectors)
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logged, _ = draw(len(judged.queries), arguments.seed)
    with tempfile.TemporaryDirectory() as folder, cf.Collection.create(Path(folder) / "kb.cf", old) as docs:
        docs.upsert(judged.documents)
        for text, often in zip(judged.queries.values(), logged.astype(np.int64).tolist(), strict=True):
            docs.search([text] * often)
        docs._store.write_log()
        curves = expected(docs._store, docs._encoders)
    lifts = {name: {f"{share:.0%}": round(curve(share), 2) for share in SHARES} for name, curve in curves.items()}
    sys.stdout.write(json.dumps({"data": judged.name, "old": arguments.old, "expected": lifts}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

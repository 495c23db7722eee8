"""Does a hit's relevance keep what it promises, at every share of a migration? Calibration errors on queries not seen.

    python -m bench.relevance --data FOLDER --old minilm-l3 --new minilm-l6 [--vectors FOLDER] [--splits 20] [--json]

`--data` and `--vectors` as of bench.fade. All judged queries are asked at every share, their first ten hits taken. Half
of the queries, chosen by chance as often as `--splits` says, teach the calibration before the migration; the error of
the probabilities is measured on the other half, then and at every share ("fade"). After the cutover it is measured for
the new version calibrated by the first half ("new, calibrated"), for both versions answering together, likewise
("blend, calibrated"), and for what the product refuses to do: the old calibration read with the new scores ("new, old
calibration").

"error" is the expected calibration error in ten bins of equal size, in the mean over the splits, and "chance" what hits
drawn by exactly these probabilities would show; "brier" the mean square, beside that of the share of relevant hits
alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import crossfade as cf
from bench import machine
from bench.fade_data import Judged, Unusable, model, say
from bench.fade_state import DEPTH, RANDOM, State, collection
from crossfade.search.calibrating import Asked, Pairs, pairs_of
from crossfade.search.calibration import Calibration, error_of

SHARES = (0.0, 0.10, 0.25, 0.50, 0.75, 1.0)
DRAWS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--old", default="minilm-l3")
    parser.add_argument("--new", default="minilm-l6")
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        report = measure(options)
    except Unusable as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(json.dumps(report) + "\n" if options.json else "\n".join(lines(report)) + "\n")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One migration, asked at every share, and every split of the queries."""
    judged = Judged.load(options.data, "linear")
    old, new = (model(name, judged, options.vectors) for name in (options.old, options.new))
    halves = [np.random.default_rng(split).permutation(len(judged.queries)) % 2 == 0 for split in range(options.splits)]
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        collection(Path(folder) / "kb.cf", judged, old, new, RANDOM, 0) as state,
    ):
        before = ask(state, judged)
        taught = [learned(before, half, old.space) for half in halves]
        rows.append(row("before", before, taught, halves))
        state.start(RANDOM)
        for share in SHARES[1:]:
            state.advance(share)
            rows.append(row(f"fade, {share:.0%}", ask(state, judged), taught, halves))
            say(f"{share:4.0%} re-embedded")
        for serve, name in (("blend", "blend, calibrated"), ("new", "new, calibrated")):
            state.cutover(serve)  # type: ignore[arg-type]
            pairs = ask(state, judged)
            rows.append(row(name, pairs, [learned(pairs, half, new.space) for half in halves], halves))
        rows.append(row("new, old calibration", pairs, taught, halves))
    return {
        "data": judged.name,
        "queries": len(judged.queries),
        "models": {"old": options.old, "new": options.new},
        "splits": options.splits,
        "rows": rows,
        "machine": machine.facts(("numpy", "usearch")),
    }


def ask(state: State, judged: Judged) -> Pairs:
    """The first hits of all queries, and which are relevant."""
    found = state.asking.search(list(judged.queries.values()), k=DEPTH)
    return pairs_of(found, Asked(list(judged.queries.values()), [judged.qrels[query] for query in judged.queries], 0.0))


def learned(pairs: Pairs, half: np.ndarray, space: cf.Space) -> Calibration:
    """What half of the queries teach."""
    some = half[pairs.queries]
    return Calibration.fit(*(column[some] for column in pairs), k=DEPTH, space=space)


def row(name: str, pairs: Pairs, taught: Sequence[Calibration], halves: Sequence[np.ndarray]) -> dict[str, Any]:
    """The errors on the other halves."""
    figures: dict[str, list[float]] = {"error": [], "chance": [], "brier": [], "brier_of_share": []}
    for calibration, half in zip(taught, halves, strict=True):
        others = ~half[pairs.queries]
        relevant = pairs.relevant[others]
        expected = np.array([calibration.relevance(score) for score in pairs.scores[others].tolist()])
        drawn = np.random.default_rng(0).random((DRAWS, len(expected))) < expected
        share = pairs.relevant[~others].mean()
        figures["error"].append(error_of(expected, relevant))
        figures["chance"].append(float(np.mean([error_of(expected, one) for one in drawn])))
        figures["brier"].append(float(np.square(expected - relevant).mean()))
        figures["brier_of_share"].append(float(np.square(share - relevant).mean()))
    means = {figure: float(np.mean(values)) for figure, values in figures.items()}
    return {"name": name, "relevant": float(pairs.relevant.mean()), "hits": len(pairs.scores), **means}


def lines(report: Mapping[str, Any]) -> list[str]:
    """The table, as Markdown."""
    models, splits = report["models"], report["splits"]
    return [
        f"{report['data']}, {models['old']} → {models['new']}, {report['queries']:,} queries, {splits} splits",
        "",
        "| | relevant hits | error | by chance | Brier | of the share alone |",
        "|---|---|---|---|---|---|",
        *(
            f"| {one['name']} | {one['relevant']:.3f} | {one['error']:.4f} | {one['chance']:.4f} "
            f"| {one['brier']:.4f} | {one['brier_of_share']:.4f} |"
            for one in report["rows"]
        ),
    ]


if __name__ == "__main__":
    main()

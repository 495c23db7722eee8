"""Write docs/encoding.md from what `python -m bench.encoding --json FILE` measured.

python -m bench.report_encoding FILE … [--live FILE] [--memory FILE] [--out docs/encoding.md]

Each file is a run of its own, of another model or number of threads; that of `--live` is of `python -m bench.live`,
that of `--memory` of `python -m bench.encoding_memory`.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.encoding_contenders import REFERENCE
from bench.encoding_fidelity import GATE
from bench.encoding_plot import draw
from bench.encoding_table import HEADER, cells

Report = dict[str, Any]
# What is asked: crossfade in float32 is so many times faster than the fastest of these, at so much fidelity.
LIBRARIES = (
    REFERENCE,
    "sentence-transformers onnx",
    "sentence-transformers 5.7 onnx",
    "sentence-transformers openvino",
    "fastembed",
    "fastembed batch 16",
)
CAREFUL = ("onnxruntime",)
ASKED = (("the best of sentence-transformers and fastembed", LIBRARIES, 1.3), ("careful onnxruntime", CAREFUL, 1.0))
LOWEST = 0.99999
# What is asked of the fastest precision that passes the gate, where the processor multiplies bfloat16 in tiles.
PICKED = (*LIBRARIES, "sentence-transformers bfloat16")
ASKED_LESS = (
    ("the fastest library that passes the gate", PICKED, 1.7),
    ("OpenVINO called directly with default hints", ("openvino",), 1.25),
    ("fastembed by default", ("fastembed",), 6.0),
)
MOST_MEMORY, MOST_BESIDE = 300e6, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/encoding.md"))
    parser.add_argument("--live", type=Path, help="what `python -m bench.live --json FILE` measured")
    parser.add_argument("--memory", type=Path, help="what `python -m bench.encoding_memory --json FILE` measured")
    parser.add_argument("--note", default="", help="what else a reader must know of the runs")
    options = parser.parse_args()
    reports = [json.loads(file.read_text()) for file in options.files]
    live, memory = (json.loads(file.read_text()) if file else None for file in (options.live, options.memory))
    plot = options.out.with_suffix(".svg")
    options.out.write_text("\n".join(map(wrapped, page(reports, plot.name, live, memory, options.note))) + "\n")
    draw(reports, plot)


def wrapped(line: str) -> str:
    """Prose in lines of at most 120 characters; a table's row stays one."""
    return line if line.startswith("|") else textwrap.fill(line, 120, subsequent_indent="  " * line.startswith("- "))


def page(reports: list[Report], plot: str, live: Report | None, memory: Report | None, note: str = "") -> Iterator[str]:
    """The lines of the page; `plot` is the picture's name."""
    machine = reports[0]["machine"]
    yield from (
        "# Encoding beside other libraries",
        "",
        "Written by `python -m bench.report_encoding` from runs of `python -m bench.encoding --json FILE`.",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, instruction set {machine['instruction_set']}, Linux "
        f"{machine['kernel']}, Python {machine['python']}; commit {machine['commit']}. {versions(reports)}.",
        "",
        "All contenders encode the same texts, cut at 256 tokens, bound to the same cores, with the same number of "
        "threads and their models loaded; each in a process and an environment of its own. They take turns, and "
        "figures are medians over the rounds. Tokens are real ones, without padding; a contender that is far slower "
        "gets fewer documents, and ratios go by tokens. Memory is the highest resident size above that with the model "
        "loaded. Fidelity is that to sentence-transformers in float32: cosines of rows, and the share of a document's "
        f"ten nearest others that stay. Invariance is the largest cosine distance between a text's row encoded alone "
        f"and among others. The gate asks for a mean cosine of {GATE['cosine_mean']}, none below "
        f"{GATE['cosine_min']}, {GATE['recall']} of the neighbours and an invariance of {GATE['invariance']:g}.",
    )
    if note:
        yield from ("", note)
    for report in reports:
        yield from ("", *section(report))
    yield from ("", f"![documents a second of every contender]({plot})", "")
    if memory:
        yield from kept(memory)
    if live:
        yield from beside_queries(live)
    yield from advice(reports)


def versions(reports: list[Report]) -> str:
    found: dict[str, None] = {}
    for result in reports[0]["contenders"]:
        for name, version in result.get("versions", {}).items():
            if name not in ("engine", "precision", "crossfade"):
                found[f"{name} {version}"] = None
    return ", ".join(sorted(found))


def section(report: Report) -> Iterator[str]:
    ours, threads = report["contenders"][0], report["threads"]
    yield f"## {report['model']}, {threads} thread{'s' * (threads > 1)}"
    yield ""
    yield (
        f"{report['documents']} documents of {report['texts']} (seed {report['seed']}), "
        f"{ours['tokens'] / ours['documents']:.0f} tokens each on average, {report['rounds']} rounds."
    )
    yield from ("", "| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|")
    for result in report["contenders"]:
        yield "| " + " | ".join(cells(result, ours)) + " |"
    pipeline = report["pipeline"]
    yield from (
        "",
        f"From strings to rows on disk in a Collection: {pipeline['seconds']:.2f} s, in {pipeline['running']:.2f} s of "
        f"which the session ran, so {beside(report):.1%} is everything else; tokenising alone takes "
        f"{pipeline['tokenising']:.3f} s.",
        "",
        "| asked of crossfade | measured | |",
        "|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in asked(report)),
    )


def asked(report: Report) -> Iterator[tuple[str, str, str]]:
    """Each figure that is asked for, what was measured, and whether it is reached."""
    by_name = {result["name"]: result for result in report["contenders"] if "not_available" not in result}
    ours = report["contenders"][0]
    # What OpenVINO's defaults make of a model is bfloat16 where the processor has it.
    exact = {name: it for name, it in by_name.items() if it.get("fidelity", {}).get("cosine_min", 0.0) >= LOWEST}
    yield from ratios(ours, "in float32", ASKED, exact)
    if "fidelity" in ours:
        lowest = ours["fidelity"]["cosine_min"]
        yield f"cosine ≥ {LOWEST} to the reference, for every text", f"{lowest:.7f}", verdict(lowest >= LOWEST)
    if "bf16" in report["machine"]["instruction_set"] or "amx" in report["machine"]["instruction_set"]:
        fit = {name: result for name, result in by_name.items() if result.get("fidelity", {}).get("passed")}
        best = max((it for name, it in fit.items() if name.startswith("crossfade")), key=rate)
        yield from ratios(best, best["name"].removeprefix("crossfade "), ASKED_LESS, fit)
    else:
        yield "less than float32: asked of machines with AMX", "this one multiplies no bfloat16", "–"
    yield "≤ 300 MB above the loaded model", f"{ours['peak'] / 1e6:.0f} MB", verdict(ours["peak"] <= MOST_MEMORY)
    peers = [result for name, result in by_name.items() if not name.startswith("crossfade")]
    mine = min((result for name, result in by_name.items() if name.startswith("crossfade")), key=latency)
    quickest = min(peers, key=latency)
    words = "; ".join(f"{it['name']} {latency(it) * 1e3:.2f} ms" for it in (mine, quickest))
    yield "a query alone: p50 ≤ the fastest peer's", words, verdict(latency(mine) <= latency(quickest))
    outside = beside(report)
    yield "≤ 5 % beside the session's own time", f"{outside:.1%}", verdict(outside <= MOST_BESIDE)


def ratios(
    ours: dict[str, Any], what: str, wanted: Iterable[tuple[str, tuple[str, ...], float]], peers: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """How many times faster than the best of each group of peers."""
    for words, names, factor in wanted:
        best = max((peers[name] for name in names if name in peers), key=rate, default=None)
        if best:
            ratio = rate(ours) / rate(best)
            yield f"{what} ≥ {factor}× {words}", f"{ratio:.3f}× {best['name']}", verdict(ratio >= factor)


def beside(report: Report) -> float:
    """The share of a fill's time in which no session ran."""
    return 1.0 - float(report["pipeline"]["running"] / report["pipeline"]["seconds"])


def latency(result: dict[str, Any]) -> float:
    return float(result["latency_p50"])


def rate(result: dict[str, Any]) -> float:
    return float(result["tokens_per_second"])


def verdict(reached: bool) -> str:
    return "reached" if reached else "not reached"


def kept(memory: Report) -> Iterator[str]:
    """Whether the memory grows with the number of documents."""
    tenths = memory["megabytes_above_by_tenth"]
    yield from (
        "## Memory over many documents",
        "",
        f"`python -m bench.encoding_memory`: {memory['documents']:,} texts of 1 to 300 words through "
        f"{memory['model']}, in calls of 2,000 and of one. Anonymous memory above that of the loaded model, the "
        f"highest of every tenth of the way: {', '.join(f'{value:.0f}' for value in tenths)} MB.",
        "",
    )


def beside_queries(live: Report) -> Iterator[str]:
    """What searches pay for a fill that runs on the same machine."""
    yield from (
        "## Live queries while documents are re-embedded",
        "",
        f"`python -m bench.live`: a collection of {live['data']} migrates from {live['old']} to {live['new']} on "
        f"{live['worker_cores']} core{'s' * (live['worker_cores'] > 1)}, in threads of the "
        "lowest priority, while searches come every "
        f"{live['pace'] * 1e3:.0f} ms. The worker is paused and set going in turns of {live['seconds']:.0f} s, "
        f"{live['turns']} each; medians of the turns' quantiles of a search, with the encoding of the query by both "
        "models.",
        "",
        "| worker | p50 paused / running | | p99 paused / running | | re-embedded meanwhile |",
        "|---|---|---|---|---|---|",
    )
    for name, words in (("process", "a process of its own"), ("thread", "a thread of the serving process")):
        found = live[name]
        yield (
            f"| {words} | {found['paused_p50_ms']:.1f} / {found['running_p50_ms']:.1f} ms | {found['p50_ratio']:.2f}× "
            f"| {found['paused_p99_ms']:.1f} / {found['running_p99_ms']:.1f} ms | {found['p99_ratio']:.2f}× "
            f"| {found['documents_per_second']:.1f} documents/s |"
        )
    yield ""


def advice(reports: list[Report]) -> Iterator[str]:
    """How to choose, by the figures of the first run."""
    report = reports[0]
    passed = [it for it in report["contenders"] if it.get("fidelity", {}).get("passed")]
    fastest, leanest = max(passed, key=rate), min(passed, key=lambda it: it["peak"])
    quickest = min(passed, key=latency)
    yield from (
        "## How to choose",
        "",
        f"On this machine, among those that pass the gate ({report['model']}, {report['threads']} thread(s)): the "
        f"fastest is {fastest['name']} with {fastest['documents_per_second']:.1f} documents a second, the leanest "
        f"{leanest['name']} with {leanest['peak'] / 1e6:,.0f} MB above the model, and the quickest for one query "
        f"{quickest['name']} with {quickest['latency_p50'] * 1e3:.1f} ms.",
        "",
        '- Leave `precision` and `engine` at "auto": what is fastest depends on the processor, and the first load '
        'measures it. Ask for `precision="float32", engine="onnxruntime"` where every machine must give the same '
        "rows to the last digits.",
        "- On processors with AMX or AVX512-BF16, Intel's or AMD's, install `crossfade[openvino]`: bfloat16 pays where "
        "it is multiplied in hardware, and costs time elsewhere. int8 is for processors with VNNI; ready ONNX files "
        "keep the products they came with.",
        "- Embeddings of one collection may come from several engines: each was held to float32 by its cosines.",
        "- Padding and intermediate results that leave the cache cost more than runtimes differ: that is why texts of "
        "one length run together, a few hundred tokens at a time.",
        "- Where the new model is a service, its rate limits decide: `Encoder.http`.",
    )


if __name__ == "__main__":
    main()

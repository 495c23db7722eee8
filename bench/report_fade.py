"""Write docs/fade.md and its picture from what `python -m bench.fade --json` printed, a file for each run.

python -m bench.report_fade FILES [--out docs/fade.md]
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.fade import SHARES
from bench.fade_state import RANDOM
from bench.report_cells import cell, is_upgrade, title
from bench.report_orders import orders
from crossfade.search import blend, kriging, merges, onesided, smoothing

Report = dict[str, Any]

NAMES = {
    "fade": "crossfade",
    "rrf": "RRF",
    "minmax": "min-max",
    "zscore": "z-score",
    "convex": "convex combination",
    "bridged": "crossfade, old encoder gone",
    "bridge_only": "bridge only",
    "new_query": "new query, all vectors",
    "old_until_cutover": "old until the cutover",
}
STYLES = {
    "fade": ("tab:blue", "-", 2.6),
    "rrf": ("tab:red", "-", 1.1),
    "minmax": ("tab:orange", "-", 1.1),
    "zscore": ("tab:green", "-", 1.1),
    "convex": ("tab:purple", "-", 1.1),
    "bridged": ("tab:blue", ":", 1.4),
    "bridge_only": ("tab:brown", "--", 1.1),
    "new_query": ("tab:gray", "-", 1.1),
}
# What is asked: of the lowest point, of the area by collection, of the lift once full, and of on-read.
LOWEST, FULL, ON_READ = -0.005, 1.08, {50: 0.90, 100: 1.0}
AREAS = {"scifact": 0.60, "cranfield": 0.60, "debian": 0.50}
ASKED_FOR = (
    '`docs.search(text, merge="rrf")` or `crossfade search FOLDER TEXT --merge rrf` asks for one, for comparison. They '
    "need no Bridge. Where one version serves alone, or one of the encoders is not at hand, the name changes nothing."
)
SHIFT = 0.10  # of the distribution of top-10 scores, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/fade.md"))
    options = parser.parse_args()
    reports = [json.loads(path.read_text()) for path in options.files]
    options.out.write_text("\n".join(page(reports, options.out.stem)) + "\n")
    draw(curves_of(reports), options.out.with_suffix(".svg"))


def page(reports: Sequence[Report], name: str = "fade") -> Iterator[str]:
    """The lines of the page."""
    random = curves_of(reports)
    facts = random[0]["machine"]
    versions = ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
    yield from (
        "# Search quality during a migration",
        "",
        "What a search finds while a collection is on its way from one embedding model to another. A real collection "
        "goes through a real migration and is stopped at each share to be asked all judged queries. Documents embedded "
        "to learn the Bridge count in the share. lift = (result − old model) / (new model − old model) of nDCG@10; its "
        "area is over the share, by trapezoids; the lowest point is that of the mean over the seeds, less the old.",
        "",
        f"![nDCG@10 by the share re-embedded]({name}.svg)",
        "",
        "Written by `python -m bench.report_fade` from these runs "
        f"(crossfade {facts['commit']}, instruction set {facts['instruction_set']}, Python {facts['python']}, "
        f"{versions}):",
        "",
        "```",
        *(command(report) for report in reports),
        "python -m bench.report_fade runs/*.json",
        "```",
    )
    yield from figures(random)
    yield from orders([report for report in reports if report.get("traffic")])
    yield from losing(random)
    yield from ("", "## How it is done", "", *body_of(blend))
    for part, heading in PARTS.items():
        yield from ("", f"### {heading}", "", *body_of(part))
    yield from ("", "## When each classic merge is wrong", "", ASKED_FOR, "", *body_of(merges))
    yield from ("", "## Every share", "")
    for report in random:
        yield from curves(report)


PARTS = {
    kriging: "Known errors, carried over to documents alike",
    smoothing: "With all new vectors, what documents alike score",
    onesided: "Where the old model can't be called any more",
}


def curves_of(reports: Sequence[Report]) -> list[Report]:
    """Those of random order, with every method at every share."""
    return [report for report in reports if report["order"] == RANDOM and report["methods"]]


def command(report: Report) -> str:
    """How a run was made."""
    data, old, new = report["data"], report["models"]["old"], report["models"]["new"]
    words = [f"python -m bench.fade --data {data}", f"--old {old} --new {new} --seeds {report['seeds']}"]
    words += [f"--vectors vectors/{data}"] if report["models"]["vectors"] else []
    words += [f"--order {report['order']}"] if report["order"] != RANDOM else []
    words += [f"--sample {report['sample']}"] if report["sample"] else []
    words += ["--gain exponential"] if report["gain"] != "linear" else []
    words += ["--on-read"] if report.get("on_read") else []
    words += ["--traffic zipf"] if report.get("traffic") else []
    name = report["order"]
    if report["methods"]:
        measured = [name for name in report["methods"] if name != "old_until_cutover"]
        words += [f"--methods {' '.join(measured)}"] if len(measured) < len(STYLES) - 1 else []
    else:
        name = "orders"
        words += [f"--orders {shlex.join(report['traffic']['orders'])}"]
    return " ".join([*words, f"--json > runs/{data}-{old}-{new}-{name}.json"])


def body_of(module: Any) -> list[str]:
    """What a module says of itself, without its first line."""
    text: str = module.__doc__
    return text.split("\n", 2)[2].rstrip().split("\n")


def figures(reports: Sequence[Report]) -> Iterator[str]:
    """What is asked, and what was found, for every collection and pair of models."""
    heads = (
        "old → new",
        "lowest − old",
        "area",
        'lift at 100 %, `serve="blend"`',
        "on read, 50",
        "on read, 100",
        "old encoder gone: lowest − old",
    )
    yield from ("", "## In figures", "", "Documents in random order, searches by crossfade's own method.", "")
    yield f"| collection, models | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    for report in reports:
        old, new, about = report["old"]["ndcg10"], report["new"]["ndcg10"], report["summary"]["fade"]
        upgrade = is_upgrade(report)
        if upgrade:
            lowest = cell(about["lowest_minus_old"], LOWEST, "+.4f")
            area = cell(about["area"], AREAS.get(report["data"]), ".2f")
            full = cell(about["lift"][-1], FULL, ".2f")
            if about["lift"][-1] < FULL:
                full += f", the best weight there is gives {(report['hindsight'] - old) / (new - old):.2f}"
        else:
            lowest = f"{cell(about['lowest_minus_worse'], LOWEST, '+.4f')} from the worse of the two"
            area, full = "no upgrade", f"{report['methods']['fade'][-1]['ndcg10']:.4f}"
        read = {point["candidates"]: point for point in report.get("on_read", ())}
        cells = [
            f"{cell(read[depth]['lift'], asked, '.2f')} with {read[depth]['embedded']:.0%}"
            if upgrade and depth in read
            else ""
            for depth, asked in ON_READ.items()
        ]
        cells.append(without_old(report))
        yield f"| {title(report)} | {old:.4f} → {new:.4f} | {lowest} | {area} | {full} | {' | '.join(cells)} |"
    same = min(report["same_top10_as_exact_after_cutover"] for report in reports)
    yield from (
        "",
        "On read: the first 50 (100) of every query's answer are re-embedded, beside the sample, and the same queries "
        "are asked again; the share is what that makes together. At 100 % both versions go on answering after the "
        'cutover, `cutover(serve="blend")`; the best weight is one for all queries, told by the judgements '
        "themselves, for a sum of both models' scores. Unless the blend is named the new model answers alone, with one "
        f"encoder: {exactly(same)}.",
    )


def exactly(same: float) -> str:
    """How many queries get after the cutover what exact search gives."""
    if same == 1.0:
        return "every query gets exactly the ten documents that comparing all vectors gives, in that order"
    return (
        f"at least {same:.1%} of the queries get exactly the ten documents that comparing all vectors gives, in that "
        "order (the others: documents that tie, or that an approximate index misses)"
    )


def without_old(report: Report) -> str:
    """The lowest point where the old encoder can't be called, and whether a Bridge alone finds more at any share."""
    gone, alone = (
        {point["share"]: point["ndcg10"] for point in report["methods"].get(name, ())}
        for name in ("bridged", "bridge_only")
    )
    if not gone:
        return ""
    behind = min(value - alone.get(share, 0.0) for share, value in gone.items())
    told = f", **{-behind:.4f} behind a Bridge alone**" if behind < 0.0 else ""
    return f"{report['summary']['bridged']['lowest_minus_old']:+.4f}{told}"


def losing(reports: Sequence[Report]) -> Iterator[str]:
    """Where crossfade's method is not the best there is, or below what there was."""
    yield from ("", "## Losing cases", "")
    worse, beaten = [], []
    for report in reports:
        floor = report["old"]["ndcg10"]
        rivals = {name: points for name, points in report["methods"].items() if name not in ("fade", "bridged")}
        for point in report["methods"]["fade"]:
            share, value = point["share"], point["ndcg10"]
            if value < floor - 0.0005:
                low, high = point["ci"]
                worse.append(f"* {title(report)}, {share:.0%}: {value - floor:+.4f} ({low:+.4f} to {high:+.4f})")
            for name, points in rivals.items():
                ahead = max((it["ndcg10"] for it in points if it["share"] == share), default=0.0) - value
                if ahead > 0.0005:
                    beaten.append(f"* {title(report)}, {share:.0%}: {NAMES[name]} by {ahead:.4f}")
    yield from ("Below the old model by more than 0.0005 nDCG@10, with the interval of the difference:", "")
    yield from worse or ["* nowhere"]
    yield from ("", "Another method found more, by more than 0.0005:", "")
    yield from beaten or ["* nowhere"]
    yield from (
        "",
        "What the approximate index loses, where it is more than 0.0005 of what comparing all vectors finds:",
        "",
    )
    yield from missed(reports) or ["* nowhere"]
    yield from (
        "",
        "What no figure above shows:",
        "",
        f"* Under {blend.MIN_DOCUMENTS} documents, or before so many are embedded, nothing is learned and the old "
        "model answers alone. In a small collection that is a large share of the way.",
        "* Into a model that is worse, the answers follow it down as far as it has weight. Vectors alone can't tell; "
        "judged queries can (`Migration.validate`), or titles of documents: then the old model answers alone.",
        "* Every query is embedded twice while both versions serve, and both indices are asked; after "
        '`cutover(serve="blend")` for as long as that lasts.',
        "* With another order than a random one, queries that nobody asked before gain last.",
        "* A document that has no new vector yet may come second for its own text, after one like it that has one: "
        "its new score is an estimate, and no estimate is as sure of itself as a score.",
    )


def missed(reports: Sequence[Report]) -> list[str]:
    """What one version alone finds less than comparing all of its vectors would."""
    return [
        f"* {title(report)}, the {name} model alone: {report[name]['ndcg10']:.4f} of {exact['ndcg10']:.4f}"
        for report in reports
        for name, exact in report["exact"].items()
        if report[name]["ndcg10"] < exact["ndcg10"] - 0.0005
    ]


def curves(report: Report) -> Iterator[str]:
    """nDCG@10 of every method at every share."""
    yield from ("", f"### {title(report)}", "")
    old, new = report["old"], report["new"]
    seeds = f"{report['seeds']} {'seed' if report['seeds'] == 1 else 'seeds'}"
    yield (
        f"{report['documents']:,} documents, {report['queries']:,} queries, {seeds}, {report['gain']} gain. recall@10 "
        f"{old['recall10']:.4f} → {new['recall10']:.4f}, MRR {old['mrr']:.4f} → {new['mrr']:.4f}."
    )
    yield from ("", "| nDCG@10 | " + " | ".join(f"{share:.0%}" for share in SHARES) + " | area | lowest − old |")
    yield "|---" * (len(SHARES) + 3) + "|"
    for name, points in report["methods"].items():
        if not points:
            continue
        at = {point["share"]: point for point in points}
        cells = [f"{at[share]['ndcg10']:.4f}" if share in at else "" for share in SHARES]
        about = report["summary"][name]
        cells += ["" if about["area"] is None else f"{about['area']:.2f}", f"{about['lowest_minus_old']:+.4f}"]
        yield f"| {NAMES[name]} | {' | '.join(cells)} |"
        if name == "fade":
            between = [f"{at[share]['ci'][0]:+.3f} to {at[share]['ci'][1]:+.3f}" for share in SHARES]
            yield f"| less old, 95 % | {' | '.join(between)} |  |  |"
            yield from shifts([at[share].get("score_shift") for share in SHARES])


def shifts(found: Sequence[float | None]) -> Iterator[str]:
    """How far the scores' distribution was from that before, at every share; nothing where a run has not told."""
    told = [None if it is None else f"{it:.2f}{'' if it <= SHIFT else ' **> 0.10**'}" for it in found]
    if None not in told:
        yield f"| shift of the scores, KS | {' | '.join(map(str, told))} |  |  |"


def draw(reports: Sequence[Report], path: Path) -> None:
    """Writes an SVG: a panel for each collection and pair of models."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "crossfade"
    matplotlib.rcParams["axes.spines.top"] = matplotlib.rcParams["axes.spines.right"] = False
    import matplotlib.pyplot as plt

    sets = list(dict.fromkeys(report["data"] for report in reports))
    pairs = list(dict.fromkeys((report["models"]["old"], report["models"]["new"]) for report in reports))
    size = (3.4 * len(pairs), 2.5 * len(sets) + 0.6)
    figure, axes = plt.subplots(len(sets), len(pairs), figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    for report in reports:
        row = sets.index(report["data"])
        column = pairs.index((report["models"]["old"], report["models"]["new"]))
        axes[row][column].set_visible(True)
        _panel(axes[row][column], report)
    for axis in axes[-1]:
        axis.set_xlabel("% of the documents re-embedded", fontsize=8)
    for row in axes:
        row[0].set_ylabel("nDCG@10", fontsize=8)
    handles = {label: line for axis in axes.flat for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.tight_layout(rect=(0, 0.6 / size[1], 1, 1))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _panel(axis: Any, report: Report) -> None:
    """One collection and pair: what falls below the picture is cut off, or the rest would be flat."""
    old, new = report["old"]["ndcg10"], report["new"]["ndcg10"]
    axis.axhline(old, color="black", linewidth=0.9, linestyle=(0, (5, 3)), label="old model")
    axis.axhline(new, color="black", linewidth=0.9, linestyle=(0, (1, 2)), label="new model")
    for name, (color, style, width) in reversed(STYLES.items()):
        points = report["methods"].get(name)
        if points:
            shares = [100 * point["share"] for point in points]
            values = [point["ndcg10"] for point in points]
            marker = "o" if name == "fade" else None
            axis.plot(shares, values, style, color=color, linewidth=width, marker=marker, ms=3.5, label=NAMES[name])
    highest = max(point["ndcg10"] for points in report["methods"].values() for point in points)
    axis.set_ylim(old - 1.3 * (highest - old), highest + 0.12 * (highest - old))
    axis.set_xlim(-2, 102)
    axis.set_title(title(report), fontsize=9)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)


if __name__ == "__main__":
    main()

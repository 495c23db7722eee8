"""bench.fade on a small made-up collection: what it reports, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import fade, report_fade, report_orders
from bench.fade_state import shift

from support import bag_of_words, text_of

DOCUMENTS, QUERIES = 420, 25
SHARES = [0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
MERGES = ["fade", "rrf", "minmax", "zscore", "convex"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder with an empty document, a query that is not judged, grades, and vectors of two models."""
    folder = tmp_path_factory.mktemp("made-up")
    contents = ["", *(text_of(number) for number in range(1, DOCUMENTS))]
    queries = [" ".join(text_of(number).split()[1:6]) for number in range(1, QUERIES + 2)]
    for name, texts in (("corpus", contents), ("queries", queries)):
        lines = [json.dumps({"_id": f"{name[0]}{number}", "text": text}) for number, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    grades = [f"q{number}\tc{number + 1}\t2\nq{number}\tc{number + 2}\t1" for number in range(QUERIES)]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *grades]) + "\n")
    for name, dim, seed in (("old", 16, 1), ("new", 48, 2), ("alike", 16, 3)):
        for kind, texts in (("docs", contents), ("queries", queries)):
            np.save(folder / f"{name}.{kind}.npy", bag_of_words(dim, seed)(texts).astype(np.float16))
    return folder


def words(data: Path, *more: str, new: str = "new") -> list[str]:
    return ["--data", str(data), "--vectors", str(data), "--old", "old", "--new", new, "--seeds", "1", *more]


@pytest.fixture(scope="module")
def report(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    options = fade.arguments(words(data, "--on-read", "--traffic", "zipf"))
    found: dict[str, Any] = json.loads(json.dumps(fade.Bench(options).report(tmp_path_factory.mktemp("run"))))
    return found


def at(report: dict[str, Any], name: str, share: float) -> dict[str, Any]:
    return next(point for point in report["methods"][name] if point["share"] == share)


def test_what_it_reports(report: dict[str, Any]) -> None:
    """Both models, and for every method and share three metrics, their interval and what was really re-embedded."""
    assert (report["documents"], report["queries"], report["data"][:7]) == (DOCUMENTS - 1, QUERIES, "made-up")
    for name in [*MERGES, "old_until_cutover"]:
        assert [point["share"] for point in report["methods"][name]] == SHARES
    for points in report["methods"].values():
        for point in points:
            low, high = point["ci"]
            assert low <= point["ndcg10"] - report["old"]["ndcg10"] <= high
            assert 0.0 <= point["mrr"] <= 1.0
            assert 0.0 <= point["recall10"] <= 1.0
            assert point["share"] - 1 / DOCUMENTS * 2 <= point["embedded"] <= point["share"] + 1e-9
    assert "new_query" not in report["summary"]
    assert set(report["exact"]) == {"old", "new"}


def test_the_shift_of_scores_is_told(report: dict[str, Any]) -> None:
    """For crossfade's method at every share: none where nothing is re-embedded, and the page has a row of it."""
    found = [point["score_shift"] for point in report["methods"]["fade"]]
    assert found[0] == 0.0
    assert all(0.0 <= it <= 0.05 for it in found)
    assert shift(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 0.5
    assert "shift of the scores" in "\n".join(report_fade.page([report]))
    assert next(report_fade.shifts([0.04, 0.12])) == "| shift of the scores, KS | 0.04 | 0.12 **> 0.10** |  |  |"


def test_both_ends_are_the_models(report: dict[str, Any]) -> None:
    """At 0 every method is the old model; after the cutover the new one stands, exactly; merges reach it before."""
    metrics = ("ndcg10", "recall10", "mrr")
    for name in MERGES:
        assert [at(report, name, 0.0)[metric] for metric in metrics] == [report["old"][metric] for metric in metrics]
    assert report["old"] == report["exact"]["old"]
    assert report["new"] == report["exact"]["new"]
    assert report["same_top10_as_exact_after_cutover"] == 1.0
    assert report["same_top10_blended_after_cutover"] == 1.0
    assert at(report, "fade", 1.0)["ndcg10"] != report["new"]["ndcg10"]
    for name in MERGES[1:]:
        assert at(report, name, 1.0)["ndcg10"] == report["new"]["ndcg10"]
    assert at(report, "bridged", 1.0)["ndcg10"] == report["new"]["ndcg10"]


def test_what_is_summed_up(report: dict[str, Any]) -> None:
    """Lift, area and lowest point are those of the points told."""
    old, new = report["old"]["ndcg10"], report["new"]["ndcg10"]
    assert new > old
    for name in MERGES:
        values = [point["ndcg10"] for point in report["methods"][name]]
        summary = report["summary"][name]
        assert summary["lift"] == pytest.approx([(value - old) / (new - old) for value in values])
        assert summary["area"] == pytest.approx(np.trapezoid(summary["lift"], SHARES))
        assert summary["lowest_minus_old"] == pytest.approx(min(values) - old)
    assert [point["candidates"] for point in report["on_read"]] == [50, 100]
    assert report["on_read"][0]["embedded"] < report["on_read"][1]["embedded"] <= 1.0
    assert [point["share"] for point in report["traffic"]["points"]] == [0.1, 0.2]


def test_orders_beside_each_other(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--orders measures traffic alone: every order's lift with its interval, from the old model to the new one."""
    assert fade.main(words(data, "--traffic", "zipf", "--orders", "hot", "random", "oracle", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    traffic = found["traffic"]
    assert list(traffic["orders"]) == ["hot", "random", "oracle"]
    assert found["methods"] == {}
    for order in traffic["orders"].values():
        shares = [point["share"] for point in order["points"]]
        lifts = [point["lift"] for point in order["points"]]
        assert (shares[0], shares[-1]) == (0.0, 1.0)
        assert lifts[0] == pytest.approx(0.0)
        assert order["area"] == pytest.approx(np.trapezoid(lifts, shares))
        for point in order["points"]:
            low, high = point["ci"]
            assert low - 1e-9 <= point["lift"] <= high + 1e-9
            assert point["lift"] == pytest.approx(
                (point["ndcg10"] - traffic["old"]) / (traffic["new"] - traffic["old"])
            )
    written = "\n".join(report_orders.orders([found]))
    for name, order in traffic["orders"].items():
        assert f"| {name} | {order['points'][2]['lift']:.2f} (" in written


def test_the_old_encoder_gone_and_dims_that_are_equal(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--old-gone measures what needs no old query; two models of one dim can be confused, which is measured, too."""
    assert fade.main(words(data, "--old-gone", "--order", "hot", "--json", new="alike")) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["methods"]) == {"bridged", "bridge_only", "new_query", "old_until_cutover"}
    confused = [point["ndcg10"] for point in found["methods"]["new_query"]]
    assert confused[0] < 0.5 * found["old"]["ndcg10"]
    assert confused[-1] == found["new"]["ndcg10"]
    assert fade.table(found).count("\n") == 7
    assert found["guard"]["verdict"].startswith("no queries")  # 25 are too few


def break_ids(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": "1", "text": "x"}\n{"_id": "1", "text": "y"}\n')


def break_judgements(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\tc1\t0\n")


def judge_a_stranger(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nnobody\tc1\t1\n")


def shorten(folder: Path) -> None:
    np.save(folder / "new.docs.npy", np.load(folder / "new.docs.npy")[1:])


@pytest.mark.parametrize(
    ("breaks", "says"),
    [
        (lambda folder: (folder / "queries.jsonl").unlink(), "expected a BEIR folder with corpus.jsonl"),
        (lambda folder: (folder / "corpus.jsonl").write_text("[]\n"), "line 1: expected an object with _id and text"),
        (break_ids, "line 2: the id '1' comes twice"),
        (lambda folder: (folder / "qrels" / "test.tsv").write_text("a\tb\n1\t2\n"), "expected the columns query-id"),
        (break_judgements, "no query of"),
        (judge_a_stranger, "judges query 'nobody', which is not in queries.jsonl"),
        (lambda folder: (folder / "new.queries.npy").unlink(), "expected the vectors of queries.jsonl in"),
        (shorten, f"must have a row for each of the {DOCUMENTS} lines of corpus.jsonl, but its shape is"),
    ],
)
def test_what_it_refuses(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], breaks: Any, says: str
) -> None:
    """An input that can't be measured is one line on stderr, and nothing on stdout."""
    folder = tmp_path / "broken"
    for path in data.rglob("*.*"):
        copy = folder / path.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    breaks(folder)
    assert fade.main(words(folder)) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err.splitlines()[-1]


def test_orders_it_does_not_know(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An order that neither it nor the collection knows is refused by name."""
    assert fade.main(words(data, "--order", "sideways")) == 1
    assert "sideways" in capsys.readouterr().err


def test_the_page(report: dict[str, Any]) -> None:
    """The page holds the figures, how they were made, and what the code says of its methods."""
    written = "\n".join(report_fade.page([report]))
    assert "--old old --new new --seeds 1 --vectors vectors/made-up0 --on-read --traffic zipf --json" in written
    assert (
        f"| {report['summary']['rrf']['area']:.2f} | {report['summary']['rrf']['lowest_minus_old']:+.4f} |" in written
    )
    assert "s(d) = " in written
    assert "* **rrf**" in written

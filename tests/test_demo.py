"""The demo: its load, what it measures, and what it says of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import answer
from crossfade.cli import demo
from crossfade.cli.console import Report
from crossfade.cli.corpus import Entry
from crossfade.cli.load import Latency, SearchLoad
from crossfade.cli.outcome import AFTER, BEFORE, DURING, Outcome, Point, shown


def test_the_load_counts_every_failure() -> None:
    """A search that raises, or finds too little, is a failed one; the others are timed under their phase."""

    def search(text: str) -> str:
        if text == "raises":
            raise RuntimeError("broken")
        return text

    with SearchLoad(search, ["raises", "x", "enough"], least_hits=2, per_second=500.0) as load:
        load.phase = "here"
        while load.latency("here").searches < 20 or len(set(load.failures)) < 2:
            pass
    assert set(load.failures) == {"RuntimeError: broken", "1 hits for 'x'"}
    assert load.answered >= load.latency("here").searches >= 20
    assert 0.0 < load.latency("here").p50_ms <= load.latency("here").p99_ms
    assert load.latency("elsewhere") == Latency(0, 0.0, 0.0)


def outcome(*, failures: tuple[str, ...] = (), worst: float = 0.3, identical: bool = True) -> Outcome:
    """What a demo could have measured; the old model's value is 0.3."""
    return Outcome(
        documents=10,
        questions=5,
        searches=100,
        failures=failures,
        ndcg_old=0.3,
        ndcg_new=0.4,
        rollback_identical=identical,
        points=(Point(0.0, 0.3, 0.0, 0.0), Point(0.5, worst, 1.0, 2.0)),
        phases={phase: Latency(1, 1.0, 2.0) for phase in (BEFORE, DURING, AFTER)},
        docs_per_second=5.0,
        seconds=1.0,
        seed=0,
        machine="a machine",
    )


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (outcome(failures=("Boom: x",)), "1 searches failed, the first with: Boom: x"),
        (outcome(worst=0.2999), "nDCG@10 fell to 0.2999"),
        (outcome(identical=False), "after the rollback"),
    ],
)
def test_a_demo_that_did_not_hold_says_so(measured: Outcome, said: str) -> None:
    """A failed search, a worse share or an inexact way back are said, and are no success."""
    assert not measured.held
    *_, verdict, _ = shown(measured)
    assert said in str(verdict)


def test_a_demo_that_held_says_so() -> None:
    """As good as the old model at every share is enough."""
    assert outcome().held


def test_the_demo_runs(tmp_path: Path) -> None:
    """Every phase for real, on a part of the library: all searches answered, all shares measured, all numbers there."""
    entries: list[Entry] = demo.library()[:260]
    kept = tmp_path / "demo.cf"
    measured = demo.run(Report(True), entries, questions=50, keep=str(kept), quiet_seconds=0.3)
    found = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert measured.failures == ()
    assert (found["documents"], found["failed_searches"], found["rollback_identical"]) == (260, 0, True)
    assert [round(point["share"], 1) for point in found["shares"]][-1] == 1.0
    assert len(found["shares"]) == 11
    assert found["ndcg_old"] == found["shares"][0]["ndcg"].__round__(4)
    assert min(found["ndcg_old"], found["ndcg_new"], found["search_p50_ms"], found["docs_per_second"]) > 0.0
    assert answer("status", kept)["live"] == 2

"""A migration: every step, in every order, with searches, edits and deletes in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import crossfade as cf
from crossfade.errors import (
    InvalidInput,
)
from crossfade.migration.fill import BATCH
from crossfade.migration.learning import LEAST_PAIRS
from support import (
    COUNT,
    NEW,
    documents,
    filled,
    history,
    is_first,
    require_true_vectors,
    states,
    text_of,
    wrapped,
)


def test_fit_run_and_cut_over(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """The whole way: fitted, filled, cut over; then the new version answers alone, from true vectors."""
    fade = docs.migrate(new)
    quality = fade.fit()
    assert quality is not None
    assert fade.status().fitted
    assert fade.status().done == LEAST_PAIRS
    status = fade.run()
    assert (status.state, status.done, status.documents, status.failed, status.share) == ("filling", COUNT, COUNT, 0, 1)
    assert states(docs) == {1: "live", 2: "filling"}
    fade.cutover()
    assert states(docs) == {1: "retained", 2: "live"}
    assert docs.space == new.space
    hits = docs.search(text_of(3), k=5)
    assert hits[0].id == "d3"
    assert ({hit.version for hit in hits}, hits.method) == ({2}, "live")
    assert require_true_vectors(folder, 2, new) == require_true_vectors(folder, 1, old) == COUNT


def test_run_fits_where_that_is_to_do(docs: cf.Collection, new: cf.Encoder) -> None:
    """`run` alone is enough, and does not cut over."""
    assert docs.migrate(new).run().fitted
    assert docs.space != new.space


@pytest.mark.parametrize("cores", [0, -1, True, 0.5, "1"])
def test_cores_must_be_a_positive_number(docs: cf.Collection, new: cf.Encoder, cores: object) -> None:
    """Anything else is refused before a document is embedded."""
    fade = docs.migrate(new)
    for call in (fade.fit, fade.run):
        with pytest.raises(InvalidInput, match="cores must be a positive number"):
            call(cores=cores)
    assert fade.status().done == 0


def test_a_small_collection_is_not_fitted(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Under 64 documents there is nothing to learn from: `fit` gives None, and the old version answers alone."""
    with filled(folder, old, LEAST_PAIRS - 1) as docs:
        fade = docs.migrate(new)
        assert fade.fit() is None
        assert fade.run(until=0.5).done == 32
        assert docs.search(text_of(1)).method == "live"
        is_first(docs, 1, 2)
        fade.run()
        fade.cutover()
        is_first(docs, 1, 2)


def test_an_empty_collection_migrates(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Nothing to fill is done at once."""
    with cf.Collection.create(folder, old) as docs:
        fade = docs.migrate(new)
        assert fade.run().share == 1.0
        fade.cutover()
        docs.upsert(documents(3))
        is_first(docs, 1)


@pytest.mark.parametrize("until", [0.5, 0.6, 0.77, 1.0])
def test_until(docs: cf.Collection, new: cf.Encoder, until: float) -> None:
    """`until` stops at exactly that share of the documents; 0 does nothing."""
    fade = docs.migrate(new)
    assert fade.run(until=0.0).done == 0
    assert fade.run(until=until).done == round(until * COUNT)


def test_stop_and_resume(docs: cf.Collection, new: cf.Encoder) -> None:
    """`stop` is asked before every batch; the next run goes on where the last one stopped."""
    fade = docs.migrate(new)
    fade.fit()
    assert fade.run(stop=lambda: True).done == LEAST_PAIRS
    answers = iter([False, True])
    assert fade.run(stop=lambda: next(answers)).done == LEAST_PAIRS + BATCH
    assert fade.run().done == COUNT


def test_progress_is_reported(docs: cf.Collection, new: cf.Encoder) -> None:
    """`progress` gets (done, documents), never less than before, and ends with all."""
    seen: list[tuple[int, int]] = []
    docs.migrate(new).run(progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (COUNT, COUNT)


def test_resumed_by_another_process_of_the_same_model(
    docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder
) -> None:
    """All state is on disk: closed and opened again, `migrate` finds the migration and embeds only the rest."""
    docs.migrate(new).run(until=0.6)
    docs.close()
    seen: list[str] = []
    again = wrapped(*NEW, before=seen.extend)
    with cf.Collection.open(folder, old) as reopened:
        fade = reopened.migrate(again)
        assert fade.status().done == 240
        fade.run()
        assert len(seen) == 160
        fade.cutover()
        is_first(reopened, 0, 399)


def test_counters_follow_edits_and_deletes_in_mid_run(docs: cf.Collection, new: cf.Encoder) -> None:
    """At every moment done + missing = documents, whatever is added, edited or deleted meanwhile."""
    fade = docs.migrate(new)
    assert (fade.status().done, fade.status().documents) == (0, 400)
    fade.run(until=0.5)
    assert fade.status().done == 200
    docs.upsert(documents(10, start=1_000))
    assert (fade.status().done, fade.status().documents) == (200, 410)
    docs.delete([f"d{number}" for number in range(1_000, 1_010)])
    assert (fade.status().done, fade.status().documents) == (200, 400)
    docs.upsert([cf.Document(f"d{number}", f"edited {number}") for number in range(COUNT)])
    assert (fade.status().done, fade.status().documents) == (0, 400)
    docs.delete([f"d{number}" for number in range(100)])
    assert (fade.status().done, fade.status().documents) == (0, 300)
    assert fade.run().done == 300
    docs.delete([f"d{number}" for number in range(100, 200)])
    assert (fade.status().done, fade.status().share) == (200, 1.0)


def test_metadata_in_mid_run_costs_nothing(docs: cf.Collection) -> None:
    """A change of metadata alone leaves a document's new vector good."""
    seen: list[str] = []
    fade = docs.migrate(wrapped(*NEW, before=seen.extend))
    fade.run()
    docs.upsert([cf.Document(item.id, item.text, meta={"x": 1}) for item in documents(COUNT)])
    assert fade.status().done == COUNT
    assert len(seen) == COUNT


def test_searches_during_a_run(docs: cf.Collection, folder: Path, old: cf.Encoder) -> None:
    """While a fill goes on, searches in other threads find each id once, never a deleted one, and never fail."""
    deleted = {f"d{number}" for number in range(0, COUNT, 10)}
    new = wrapped(*NEW, before=lambda texts: time.sleep(0.002 * len(texts) ** 0.5))
    docs.delete(deleted)
    problems: list[str] = []
    finished = threading.Event()

    def search(seed: int) -> None:
        number = seed
        while not finished.is_set():
            number = (number * 13 + 1) % COUNT
            hits = docs.search(text_of(number), k=20)
            if len(set(hits.ids)) != len(hits) or deleted & set(hits.ids):
                problems.append(f"bad ids {hits.ids}")
            if number % 10 and hits.ids[0] != f"d{number}":
                problems.append(f"d{number} was not first but {hits.ids[0]}")

    def run(target: Callable[[], None]) -> None:
        try:
            target()
        except Exception as error:  # whatever it is, the test must name it
            problems.append(repr(error))

    threads = [threading.Thread(target=run, args=(lambda seed=seed: search(seed),)) for seed in (3, 77)]
    for thread in threads:
        thread.start()
    try:
        fade = docs.migrate(new)
        fade.run()
        fade.cutover()
        docs.rollback()
        fade.cutover()
        docs.prune(force=True)
    finally:
        finished.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert require_true_vectors(folder, 2, new) == COUNT - len(deleted)


@pytest.mark.parametrize("until", [-0.1, 1.1, float("nan")])
def test_until_must_be_a_share(docs: cf.Collection, new: cf.Encoder, until: float) -> None:
    """`until` outside 0 to 1 is refused before anything is embedded."""
    fade = docs.migrate(new)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        fade.run(until=until)
    assert fade.status().done == 0


def test_fit_and_run_report_progress_in_documents(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Both call progress with (documents done, documents), rising to what status says."""
    with filled(folder, old, 300) as docs:
        fade = docs.migrate(new)
        seen: list[tuple[int, int]] = []
        fade.fit(sample=200, progress=lambda done, total: seen.append((done, total)))
        assert seen[-1] == (200, 300)
        fade.run(progress=lambda done, total: seen.append((done, total)))
        assert seen == sorted(seen)
        assert seen[-1] == (300, 300)


def test_a_stop_is_heard_while_the_bridge_is_learned(
    docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop` is asked before every batch of the sample, too; a later run carries on."""
    monkeypatch.setattr("crossfade.migration.fit.SHARE", 0.5)
    fade = docs.migrate(new)
    asked = iter([False, True])
    stopped = fade.run(stop=lambda: next(asked, True))
    assert (stopped.done, stopped.fitted) == (BATCH, False)
    finished = fade.run()
    assert (finished.done, finished.fitted) == (COUNT, True)


@pytest.mark.parametrize("constant", ["old", "new"])
def test_a_model_that_nothing_can_be_learned_from(folder: Path, constant: str) -> None:
    """Vectors that are all the same leave the old version to answer alone, and the migration goes on."""
    same = cf.Encoder.wrap(lambda texts: [[1.0, 2.0]] * len(texts), cf.Space(model="same", dim=2))
    varied = wrapped(*NEW)
    before, after = (same, varied) if constant == "old" else (varied, same)
    with filled(folder, before, 250) as docs:
        fade = docs.migrate(after)
        assert fade.fit() is None
        reached = fade.run()
        assert (reached.done, reached.fitted) == (250, False)
        assert {hits.method for hits in docs.search([text_of(1)])} == {"live"}
        assert any(event == "not fitted" and "the same" in detail["reason"] for event, detail in history(folder))
        fade.cutover()
        assert len(docs.search(text_of(1), k=300)) == 250


def test_a_damaged_bridge_fails_no_search(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Without it the old version answers alone, and the next run learns another one."""
    docs.migrate(new).run(until=0.7)
    docs.close()
    for path in folder.glob("bridges/*/*/*.json"):
        path.write_bytes(b"damaged")
    with cf.Collection.open(folder, old, new) as again:
        assert again.search(text_of(1)).method == "live"
        fade = again.migrate(new)
        fade.run(until=0.8)
        assert again.search(text_of(1)).method == "fade"

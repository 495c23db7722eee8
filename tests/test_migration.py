"""A migration: every step, in every order, with searches, edits and deletes in between."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import crossfade as cf
from crossfade.errors import (
    EncodingFailed,
    InvalidInput,
    MigrationConflict,
    NothingToRollBack,
    NotReady,
    SpaceMismatch,
    StorageFailed,
)
from crossfade.index import writer
from crossfade.migration import fill, roles
from crossfade.migration.fill import BATCH
from crossfade.store import sealing
from support import (
    NEW,
    OLD,
    Embed,
    bag_of_words,
    documents,
    filled,
    history,
    is_first,
    require_true_vectors,
    settle,
    text_of,
    wrapped,
)

COUNT = 400


@pytest.fixture
def docs(folder: Path, old: cf.Encoder) -> Iterator[cf.Collection]:
    with filled(folder, old, COUNT) as collection:
        yield collection


def states(docs: cf.Collection) -> dict[int, str]:
    return {version["number"]: version["state"] for version in docs.status().versions}


def failing_for(*bad: str) -> Callable[[list[str]], None]:
    """Raises for lists that hold one of these texts."""

    def check(texts: list[str]) -> None:
        for text in texts:
            if text in bad:
                raise ValueError(f"can't embed {text!r}")

    return check


# Fit, run, stop, resume


def test_fit_run_and_cut_over(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """The whole way: fitted, filled, cut over; then the new version answers alone, from true vectors."""
    fade = docs.migrate(new)
    quality = fade.fit()
    assert quality is not None
    assert fade.status().fitted
    assert fade.status().done == 200
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


def test_a_small_collection_is_not_fitted(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Under 200 documents there is nothing to learn from: `fit` gives None, and the old version answers alone."""
    with filled(folder, old, 150) as docs:
        fade = docs.migrate(new)
        assert fade.fit() is None
        assert fade.run(until=0.5).done == 75
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
    assert fade.run(stop=lambda: True).done == 200
    answers = iter([False, True])
    assert fade.run(stop=lambda: next(answers)).done == 200 + BATCH
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


def test_every_document_is_embedded_once(docs: cf.Collection) -> None:
    """Fit and run together embed each document exactly once: the sample is not done again."""
    seen: Counter[str] = Counter()
    docs.migrate(wrapped(*NEW, before=seen.update)).run()
    assert seen == Counter({text_of(number): 1 for number in range(COUNT)})


def test_hot_documents_come_first(docs: cf.Collection) -> None:
    """What searches returned most is re-embedded before the rest, and so is what has priority."""
    docs.upsert(cf.Document("d7", text_of(7), priority=50))
    for _ in range(3):
        docs.search(text_of(311), k=1)
    seen: list[str] = []
    fade = docs.migrate(wrapped(*NEW, before=seen.extend))
    assert seen == []
    fade.fit()
    fade.run(stop=stop_after_one_batch())
    after_the_sample = seen[200:]
    assert text_of(7) in seen[:200] or after_the_sample[0] == text_of(7)
    assert text_of(311) in seen[:200] or text_of(311) in after_the_sample[:2]


def stop_after_one_batch() -> Callable[[], bool]:
    answers = iter([False])
    return lambda: next(answers, True)


# The counters


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


# Searches, edits and deletes during a run


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


def test_an_edit_between_lease_and_commit(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """A document that is edited while its old text is being embedded gets the vector of its new text."""
    edited: list[str] = []

    def edit(texts: list[str]) -> None:
        if text_of(5) in texts and not edited:
            edited.append("d5")
            docs.upsert(cf.Document("d5", "zebra quagga okapi"))

    racing = wrapped(*NEW, before=edit)
    fade = docs.migrate(racing)
    fade.run()
    assert edited
    fade.cutover()
    assert require_true_vectors(folder, 2, new) == COUNT
    assert docs.search("zebra quagga okapi", k=1).ids == ["d5"]


def test_a_delete_between_lease_and_commit(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """A document that is deleted while it is being embedded stays deleted, and is no longer missing."""

    def delete(texts: list[str]) -> None:
        if text_of(5) in texts:
            docs.delete("d5")

    fade = docs.migrate(wrapped(*NEW, before=delete))
    status = fade.run()
    assert (status.done, status.documents) == (COUNT - 1, COUNT - 1)
    fade.cutover()
    assert "d5" not in docs.search(text_of(5), k=50).ids
    assert require_true_vectors(folder, 2, new) == COUNT - 1


def test_a_document_deleted_and_written_again_in_mid_batch(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """The same id with another text is another revision: the vector in hand is not taken for it."""

    def replace(texts: list[str]) -> None:
        if text_of(5) in texts:
            docs.delete("d5")
            docs.upsert(cf.Document("d5", "zebra quagga okapi"))

    fade = docs.migrate(wrapped(*NEW, before=replace))
    fade.run()
    fade.cutover()
    assert require_true_vectors(folder, 2, new) == COUNT


def test_a_cutover_during_an_upsert(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """An upsert that was prepared for the old version, overtaken by a cutover, reaches both versions."""
    fade = docs.migrate(new)
    fade.run()
    docs.close()
    turned: list[bool] = []

    def cut_over(texts: list[str]) -> None:
        if not turned and "zebra" in texts:
            turned.append(True)
            other_fade.cutover()

    with (
        cf.Collection.open(folder, wrapped(*OLD, before=cut_over), new) as writing,
        cf.Collection.open(folder, old, new) as other,
    ):
        other_fade = other.migrate(new)
        writing.upsert(cf.Document("late", "zebra"))
        assert turned
        assert writing.search("zebra", k=1).ids == ["late"]
        assert require_true_vectors(folder, 2, new) == require_true_vectors(folder, 1, old) == COUNT + 1


# Cutover, rollback, forward, abandon, prune


def test_cutover_is_refused_while_documents_are_missing(docs: cf.Collection, new: cf.Encoder) -> None:
    """An early cutover says how many documents are missing and changes nothing; an empty reason is none."""
    fade = docs.migrate(new)
    fade.run(until=0.75)
    for reason in (None, "", "  "):
        with pytest.raises(NotReady, match=r"100 of 400 documents .* run\(\) the migration to its end"):
            fade.cutover(force=reason)
    assert states(docs) == {1: "live", 2: "filling"}


def test_a_forced_cutover_records_its_reason(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """With a reason it goes on without the missing ones, which `run` adds later; the journal keeps both."""
    fade = docs.migrate(new)
    fade.run(until=0.75)
    fade.cutover(force="the old model is switched off tonight")
    assert ("cut over", {"from": 1, "to": 2, "missing": 100, "forced": "the old model is switched off tonight"}) in (
        history(folder)
    )
    assert len(docs.search("anything", k=1_000)) == 300
    assert len(docs) == COUNT
    fade.run()
    assert len(docs.search("anything", k=1_000)) == COUNT


def test_cutover_twice_is_once(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """A second call changes nothing."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    fade.cutover()
    assert [event for event, _ in history(folder)].count("cut over") == 1


def test_rollback_and_forward_again(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Back and forward as often as one likes; what is written in between is there on either side."""
    fade = docs.migrate(new)
    fade.run()
    for turn in range(3):
        fade.cutover()
        docs.upsert(cf.Document(f"new{turn}", f"written after cutover {turn} zebra"))
        docs.delete(f"d{turn}")
        docs.rollback()
        assert docs.space == old.space
        assert docs.search(f"written after cutover {turn} zebra", k=1).ids == [f"new{turn}"]
        assert f"d{turn}" not in docs.search(text_of(turn), k=50).ids
        docs.upsert(cf.Document(f"old{turn}", f"written after rollback {turn} okapi"))
        assert fade.status().state == "rolled back"
    fade.cutover()
    assert docs.search("written after rollback 1 okapi", k=1).ids == ["old1"]
    assert require_true_vectors(folder, 1, old) == require_true_vectors(folder, 2, new) == len(docs)


def test_rollback_with_nothing_to_go_back_to(docs: cf.Collection, new: cf.Encoder) -> None:
    """Before a migration, before its cutover, after a prune: each is refused and says why."""
    with pytest.raises(NothingToRollBack, match="none is retained"):
        docs.rollback()
    fade = docs.migrate(new)
    with pytest.raises(NothingToRollBack, match=r"abandon\(\) drops it"):
        docs.rollback()
    fade.run()
    fade.cutover()
    docs.prune(force=True)
    with pytest.raises(NothingToRollBack, match="none is retained"):
        docs.rollback()


def test_writes_without_the_old_encoder_are_listed_before_a_rollback(
    docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder
) -> None:
    """What was written while the old encoder was away can't be found by it: named, refused, or forced."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    docs.close()
    with cf.Collection.open(folder, new) as later:
        later.upsert([cf.Document(f"late{number}", f"late text {number}") for number in range(7)])
        with pytest.raises(NotReady, match=r"7 documents .*late0, late1, .*late4, ….*hand in the old encoder"):
            later.rollback()
        assert later.space == new.space
        later.rollback(force=True)
        assert later.space == old.space
    assert ("rolled back", {"to": 1, "stale": 7}) in history(folder)
    with cf.Collection.open(folder, old, new) as again:
        assert again.search("late text 3", k=1).ids != ["late3"]
        again.migrate(new).run()
        assert again.search("late text 3", k=1).ids == ["late3"]
    assert require_true_vectors(folder, 1, old) == COUNT + 7


def test_rollback_embeds_what_the_old_version_lacks(
    docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder
) -> None:
    """With the old encoder at hand again, a rollback first embeds what was written without it."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    docs.close()
    with cf.Collection.open(folder, new) as later:
        later.upsert(cf.Document("late", "late text"))
    with cf.Collection.open(folder, old, new) as again:
        again.rollback()
        assert again.search("late text", k=1).ids == ["late"]
    assert require_true_vectors(folder, 1, old) == COUNT + 1


def test_abandon(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder, third: cf.Encoder) -> None:
    """An abandoned migration leaves the collection as it was, drops its files, and makes room for another."""
    fade = docs.migrate(new)
    fade.run(until=0.6)
    fade.abandon()
    assert not (folder / "versions/0002").exists()
    assert states(docs) == {1: "live"}
    assert docs.migration is None
    assert fade.status().state == "abandoned"
    is_first(docs, 1, 2)
    for step in (fade.cutover, fade.run, fade.fit, fade.abandon, fade.failures, fade.retry):
        with pytest.raises(NotReady, match=r"call migrate\(\) again"):
            step()
    other = docs.migrate(third)
    other.run()
    other.cutover()
    assert require_true_vectors(folder, 3, third) == COUNT


def test_abandon_after_cutover_is_refused(docs: cf.Collection, new: cf.Encoder) -> None:
    """The live version is not dropped; after a rollback the migration can be abandoned."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    with pytest.raises(NotReady, match=r"rollback\(\) first"):
        fade.abandon()
    docs.rollback()
    fade.abandon()
    assert states(docs) == {1: "live"}
    is_first(docs, 1)


def test_abandon_during_a_run(docs: cf.Collection, new: cf.Encoder) -> None:
    """A run whose migration is abandoned by somebody else ends with NotReady, and leaves nothing behind."""
    calls: list[int] = []

    def abandon(texts: list[str]) -> None:
        calls.append(len(texts))
        if len(calls) == 3:
            fade.abandon()

    fade = docs.migrate(wrapped(*NEW, before=abandon))
    with pytest.raises(NotReady, match=r"call migrate\(\) again"):
        fade.run()
    assert states(docs) == {1: "live"}
    assert not (docs.path / "versions/0002").exists()
    is_first(docs, 1)


def test_a_version_dropped_under_a_search(docs: cf.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that has begun ends on what it saw, although the version it uses is dropped meanwhile."""
    monkeypatch.setattr(sealing, "TAIL_ROWS", 50)
    armed: list[bool] = []

    def abandon(texts: list[str]) -> None:
        if armed:
            armed.clear()
            fade.abandon()
            docs.search(vector=[1.0] * 32)  # another search, which sees the version gone

    fade = docs.migrate(wrapped(*NEW, before=abandon))
    fade.run(until=0.9)
    settle(docs)
    assert list(docs.path.glob("versions/0002/*.segment"))
    armed.append(True)
    hits = docs.search(text_of(8), k=5)
    assert armed == []
    assert (hits[0].id, hits.method) == ("d8", "fade")


def test_prune_respects_retention(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """The old version is kept for two weeks; `force` drops it now, with its files."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    assert docs.prune() == []
    assert states(docs) == {1: "retained", 2: "live"}
    assert docs.prune(force=True) == [1]
    assert docs.prune(force=True) == []
    assert states(docs) == {2: "live"}
    assert not (folder / "versions/0001").exists()
    assert docs.migration is None
    is_first(docs, 1, 2)


def test_prune_after_retention(docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its time is over the old version goes without force."""
    monkeypatch.setattr(roles, "RETENTION_SECONDS", -1.0)
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    assert docs.prune() == [1]


def test_prune_after_a_rollback_drops_the_new_version(docs: cf.Collection, new: cf.Encoder) -> None:
    """What was rolled back is what is retained: it goes, and with it the way forward."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    docs.rollback()
    assert docs.prune(force=True) == [2]
    with pytest.raises(NotReady, match=r"call migrate\(\) again"):
        fade.cutover()
    assert docs.migration is None
    is_first(docs, 1)


def test_a_pruned_migration_does_not_come_back(docs: cf.Collection, new: cf.Encoder, third: cf.Encoder) -> None:
    """A rolled back migration whose version was pruned during another one is over, also after that is abandoned."""
    first = docs.migrate(new)
    first.run()
    first.cutover()
    docs.rollback()
    second = docs.migrate(third)
    assert docs.prune(force=True) == [2]
    second.abandon()
    assert docs.migration is None
    assert states(docs) == {1: "live"}


def test_a_second_migration(docs: cf.Collection, folder: Path, new: cf.Encoder, third: cf.Encoder) -> None:
    """From the new version on to a third one, with the first still retained, and back by one step."""
    first = docs.migrate(new)
    first.run()
    first.cutover()
    second = docs.migrate(third)
    second.run()
    second.cutover()
    assert states(docs) == {1: "retained", 2: "retained", 3: "live"}
    docs.upsert(cf.Document("late", "written for all three"))
    docs.rollback()
    assert docs.space == new.space
    assert docs.search("written for all three", k=1).ids == ["late"]
    assert docs.prune(force=True) == [1, 3]
    assert require_true_vectors(folder, 2, new) == COUNT + 1


# What is refused


def test_migrating_to_the_same_space_is_refused(docs: cf.Collection, old: cf.Encoder) -> None:
    """The Space the collection is in already is no target."""
    with pytest.raises(MigrationConflict, match="nothing to do"):
        docs.migrate(old)
    assert docs.migration is None


def test_migrating_to_a_space_that_is_kept_is_refused(
    docs: cf.Collection, old: cf.Encoder, new: cf.Encoder, third: cf.Encoder
) -> None:
    """What is kept for rollback need not be embedded again: the message names the way back."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    with pytest.raises(MigrationConflict, match=r"go back with rollback\(\)"):
        docs.migrate(old)
    assert states(docs) == {1: "retained", 2: "live"}
    docs.prune(force=True)
    docs.migrate(old).run()
    assert states(docs) == {2: "live", 3: "filling"}


def test_a_renamed_model_is_the_same_space(folder: Path) -> None:
    """Where there are weights the name is a label: the same weights under another name are refused."""
    embed = bag_of_words(32, 1)
    one = cf.Encoder.wrap(embed, cf.Space(model="one", dim=32, weights="w", tokenizer="t"))
    two = cf.Encoder.wrap(embed, cf.Space(model="two", dim=32, version="7", weights="w", tokenizer="t"))
    with cf.Collection.create(folder, one) as docs, pytest.raises(MigrationConflict, match="same weights"):
        docs.migrate(two)


def test_a_second_migration_is_refused_while_one_runs(docs: cf.Collection, new: cf.Encoder, third: cf.Encoder) -> None:
    """One at a time; the same one again is the one under way."""
    docs.migrate(new).run(until=0.6)
    with pytest.raises(MigrationConflict, match=r"finish it, or abandon\(\) it"):
        docs.migrate(third)
    assert docs.migrate(new).status().done == 240
    assert states(docs) == {1: "live", 2: "filling"}


@pytest.mark.parametrize("until", [-0.1, 1.1, float("nan")])
def test_until_must_be_a_share(docs: cf.Collection, new: cf.Encoder, until: float) -> None:
    """`until` outside 0 to 1 is refused before anything is embedded."""
    fade = docs.migrate(new)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        fade.run(until=until)
    assert fade.status().done == 0


# Documents and encoders that fail


def test_poison_documents_are_quarantined(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """A text the encoder raises for is given up after three attempts and named; all others are filled."""
    attempts: Counter[str] = Counter()
    poison = (text_of(11), text_of(222))
    refuse = failing_for(*poison)

    def embed(texts: list[str]) -> None:
        if len(texts) == 1:
            attempts.update(texts)
        refuse(texts)

    fade = docs.migrate(wrapped(*NEW, before=embed))
    status = fade.run()
    assert (status.done, status.failed) == (398, 2)
    failures = fade.failures()
    assert [(failure.id, failure.attempts) for failure in failures] == [("d11", 3), ("d222", 3)]
    assert "can't embed" in failures[0].error
    assert [attempts[text] for text in poison] == [3, 3]
    with pytest.raises(NotReady, match=r"2 of 400 .*\(2 of them failed\)"):
        fade.cutover()

    docs.migrate(new)
    fade.retry()
    assert fade.status().failed == 0
    fade.run()
    assert fade.failures() == []
    fade.cutover()
    assert require_true_vectors(folder, 2, new) == COUNT


def test_a_poison_document_is_healed_by_an_edit_or_a_delete(docs: cf.Collection) -> None:
    """An edit is a new revision with attempts of its own; a deleted document is no failure."""
    fade = docs.migrate(wrapped(*NEW, before=failing_for(text_of(11), text_of(222))))
    assert fade.run().failed == 2
    docs.upsert(cf.Document("d11", "a harmless text"))
    docs.delete("d222")
    assert fade.status().failed == 0
    assert fade.run().share == 1.0
    fade.cutover()


def test_an_encoder_that_fails_for_everything(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """Where no text can be embedded the run raises, blames no document, and can be resumed at once."""

    def down(texts: list[str]) -> None:
        raise ConnectionError("no route to the model")

    fade = docs.migrate(wrapped(*NEW, before=down))
    for step in (fade.run, fade.fit):
        with pytest.raises(EncodingFailed, match="no route to the model"):
            step()
    assert fade.failures() == []
    assert fade.status().failed == 0
    started = time.monotonic()
    assert docs.migrate(new).run().done == COUNT
    assert time.monotonic() - started < 30
    assert require_true_vectors(folder, 2, new) == COUNT


def test_an_encoder_that_goes_down_in_mid_run(docs: cf.Collection, new: cf.Encoder) -> None:
    """What was filled before stays; the batch in hand is given back."""
    calls: list[int] = []

    def go_down(texts: list[str]) -> None:
        calls.append(len(texts))
        if len(calls) > 3:
            raise ConnectionError("gone")

    fade = docs.migrate(wrapped(*NEW, before=go_down))
    with pytest.raises(EncodingFailed, match="gone"):
        fade.run()
    assert fade.status().done == sum(calls[:3])
    assert docs.migrate(new).run().done == COUNT


def test_an_interrupt_gives_the_batch_back(docs: cf.Collection, new: cf.Encoder) -> None:
    """Ctrl-C in mid-batch leaves a migration that the next run ends without waiting for a lease."""

    def interrupt(texts: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        docs.migrate(wrapped(*NEW, before=interrupt)).run()
    assert docs.migrate(new).run().done == COUNT


def test_rows_that_cannot_be_used_fail_like_exceptions(docs: cf.Collection, new: cf.Encoder) -> None:
    """NaN for one text is that document's failure; no row of it is stored."""
    embed: Embed = bag_of_words(48, 2)

    def spoil(texts: list[str]) -> object:
        rows = embed(texts)
        for position, text in enumerate(texts):
            if text == text_of(33):
                rows[position, 5] = float("nan")
        return rows

    fade = docs.migrate(cf.Encoder.wrap(spoil, new.space))
    assert fade.run().failed == 1
    assert [failure.id for failure in fade.failures()] == ["d33"]


# Several at once


def test_two_threads_fill_every_document_once(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """Two fillers in one process share the work: no document is embedded twice, none is left out."""
    docs.upsert(documents(1_200, start=COUNT))
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def count(texts: list[str]) -> None:
        with lock:
            seen.update(texts)
        time.sleep(0.01)

    fade = docs.migrate(wrapped(*NEW, before=count))
    fade.fit()
    threads = [threading.Thread(target=fade.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen.values()) == {1}
    assert fade.status().done == len(seen) == 1_600
    assert require_true_vectors(folder, 2, new) == 1_600


def test_a_filler_that_stops_leaves_the_other_its_batch(docs: cf.Collection) -> None:
    """One thread's end takes nothing from what another one is embedding."""
    seen: Counter[str] = Counter()
    once: list[bool] = []

    def stop_another(texts: list[str]) -> None:
        seen.update(texts)
        if fade.status().fitted and not once:
            once.append(True)
            fade.run(stop=lambda: True)  # begins and ends while this batch is in hand

    fade = docs.migrate(wrapped(*NEW, before=stop_another))
    fade.run()
    assert once
    assert set(seen.values()) == {1}


def test_a_full_disk_fails_the_batch_and_not_the_collection(
    docs: cf.Collection, folder: Path, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails is a StorageFailed; searches go on, and the next run goes to a new file and ends."""
    fade = docs.migrate(new)
    fade.run(until=0.6)

    def full(descriptor: int, data: memoryview, offset: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer.files, "write_at", full)
        with pytest.raises(StorageFailed, match="No space left"):
            fade.run()
        with pytest.raises(StorageFailed, match="No space left"):
            docs.upsert(cf.Document("late", "no room for it"))
        is_first(docs, 1, 2)
        assert "late" not in docs
    assert fade.run().done == COUNT
    assert require_true_vectors(folder, 2, new) == COUNT


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


def test_a_batch_whose_lease_ran_out_is_dropped(
    docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a filler was so slow that another one did its batch, what it brings is not written a second time."""
    monkeypatch.setattr(fill, "LEASE_SECONDS", -1.0)
    overtaken: list[int] = []

    def overtake(texts: list[str]) -> None:
        if not overtaken:
            overtaken.append(len(texts))
            with cf.Collection.open(folder, old) as other:
                other.migrate(new).run()

    fade = docs.migrate(wrapped(*NEW, before=overtake))
    assert fade.run().done == COUNT
    assert overtaken
    assert len(docs._store.snapshot().indices[2]) == COUNT


def test_rows_of_a_write_that_failed_are_not_there(
    docs: cf.Collection, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an upsert that reached one version's file and not the other's, nothing is left in either."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    whole = writer.VectorWriter.append

    def fail_for_the_new(self: writer.VectorWriter, *block: Any) -> Any:
        if self._pair.dim == new.space.dim:
            raise StorageFailed("no space left")
        return whole(self, *block)

    with monkeypatch.context() as patch:
        patch.setattr(writer.VectorWriter, "append", fail_for_the_new)
        with pytest.raises(StorageFailed, match="no space left"):
            docs.upsert(cf.Document("lost", "zebra quagga okapi"))
    docs.upsert(cf.Document("kept", "written afterwards"))
    docs.rollback()
    assert docs.search("zebra quagga okapi", k=1)[0].score < 0.9
    assert len(docs._store.snapshot().indices[1]) == COUNT + 1


def test_what_a_run_writes_is_sealed(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """A fill ends with segments like a series of upserts: the new version is not scanned row by row after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "TAIL_ROWS", 100)
        docs.migrate(new).run()
        deadline = time.monotonic() + 30
        while not list(folder.glob("versions/0002/*.segment")):
            assert time.monotonic() < deadline, "no segment after 30 s"
            time.sleep(0.01)


def test_a_stop_is_heard_while_the_bridge_is_learned(docs: cf.Collection, new: cf.Encoder) -> None:
    """`stop` is asked before every batch of the sample, too; a later run carries on."""
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


def test_prune_leaves_no_document_that_nobody_finds(docs: cf.Collection, new: cf.Encoder) -> None:
    """After a forced cutover the migration is needed until all documents have a vector."""
    fade = docs.migrate(new)
    fade.run(until=0.75)
    fade.cutover(force="in a hurry")
    with pytest.raises(NotReady, match="100 documents have no vector in the live version"):
        docs.prune(force=True)
    assert states(docs) == {1: "retained", 2: "live"}
    fade.run()
    assert docs.prune(force=True) == [1]
    assert len(docs.search("anything", k=1_000)) == COUNT


def test_prune_after_a_forced_rollback(docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """What only the rolled back version has is not dropped, by prune or abandon, before the live one has it too."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    docs.close()
    with cf.Collection.open(folder, new) as again:
        again.upsert(cf.Document("late", "written without the old encoder"))
        again.rollback(force=True)
        for drop in (lambda: again.prune(force=True), lambda: again.migrate(new).abandon()):
            with pytest.raises(NotReady, match="1 documents have no vector in the live version"):
                drop()
    with cf.Collection.open(folder, old, new) as again:
        again.migrate(new).run()
        assert again.prune(force=True) == [2]
        assert again.search("written without the old encoder", k=1).ids == ["late"]


def test_rows_that_cannot_be_kept_count_as_failed(folder: Path, old: cf.Encoder) -> None:
    """A new encoder whose row for one text is beyond float16 costs that document only."""

    def steep(texts: list[str]) -> list[list[float]]:
        return [[1e6 if text == text_of(7) else 1.0, float(len(text))] for text in texts]

    with filled(folder, old, 20) as docs:
        fade = docs.migrate(cf.Encoder.wrap(steep, cf.Space(model="steep", dim=2, metric="dot", normalized=False)))
        status = fade.run()
        assert (status.done, status.failed) == (19, 1)
        (failure,) = fade.failures()
        assert failure.id == "d7"
        assert "largest float16" in failure.error


def test_what_was_dropped_leaves_no_files(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Abandoning takes vectors and Bridge along, and what a killed process left of an earlier version."""
    with filled(folder, old, 250) as docs:
        (folder / "versions" / "0009").mkdir()
        fade = docs.migrate(new)
        fade.fit()
        assert list((folder / "bridges").iterdir())
        fade.abandon()
        assert [path.name for path in (folder / "versions").iterdir()] == ["0001"]
        assert list((folder / "bridges").iterdir()) == []
        docs.migrate(new).run()


def test_ready_made_vectors_fill_a_version(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Vectors of the new Space handed in for known documents fill it without encoding; wrong ones are refused."""
    with filled(folder, old, 30) as docs:
        fade = docs.migrate(new)
        batch = documents(20)
        rows = new.encode([document.content for document in batch])
        with pytest.raises(SpaceMismatch):
            docs.upsert(batch, vectors=rows[::-1], space=new.space)
        assert fade.status().done == 0
        assert docs.upsert(batch, vectors=rows, space=new.space).unchanged == 20
        assert fade.status().done == 20
        fade.run()
        require_true_vectors(folder, 2, new)

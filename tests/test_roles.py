"""Which version plays which role: cutover, rollback, abandon, prune, and a migration after another."""

from __future__ import annotations

from pathlib import Path

import pytest

import crossfade as cf
from crossfade.errors import (
    MigrationConflict,
    NothingToRollBack,
    NotReady,
)
from crossfade.migration import roles
from crossfade.store import sealing
from support import (
    COUNT,
    NEW,
    OLD,
    bag_of_words,
    filled,
    history,
    is_first,
    require_true_vectors,
    settle,
    states,
    text_of,
    wrapped,
)


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


def test_cutover_is_refused_while_documents_are_missing(docs: cf.Collection, new: cf.Encoder) -> None:
    """An early cutover says how many documents are missing and changes nothing; an empty reason is none."""
    fade = docs.migrate(new)
    fade.run(until=0.75)
    for reason in (None, "", "  "):
        with pytest.raises(NotReady, match=r"100 of 400 documents .* run\(\) the migration to its end") as refused:
            fade.cutover(force=reason)
        assert len(set(refused.value.ids)) == 100
    assert states(docs) == {1: "live", 2: "filling"}


def test_a_forced_cutover_records_its_reason(docs: cf.Collection, folder: Path, new: cf.Encoder) -> None:
    """With a reason it goes on without the missing ones, which `run` adds later; the journal keeps both."""
    fade = docs.migrate(new)
    fade.run(until=0.75)
    fade.cutover(force="the old model is switched off tonight")
    assert history(folder)[-1] == (
        "cut over",
        {"from": 1, "to": 2, "serve": "new", "missing": 100, "forced": "the old model is switched off tonight"},
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
        for reason in (None, "", " "):
            with pytest.raises(NotReady, match=r"7 documents .*late0, late1, .*late4, ….*hand in the old") as refused:
                later.rollback(force=reason)
            assert refused.value.ids == tuple(f"late{number}" for number in range(7))
        assert later.space == new.space
        later.rollback(force="the new model is wrong")
        assert later.space == old.space
    assert ("rolled back", {"to": 1, "stale": 7, "forced": "the new model is wrong"}) in history(folder)
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
        again.rollback(force="a test")
        for drop in (lambda: again.prune(force=True), lambda: again.migrate(new).abandon()):
            with pytest.raises(NotReady, match="1 documents have no vector in the live version"):
                drop()
    with cf.Collection.open(folder, old, new) as again:
        again.migrate(new).run()
        assert again.prune(force=True) == [2]
        assert again.search("written without the old encoder", k=1).ids == ["late"]


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

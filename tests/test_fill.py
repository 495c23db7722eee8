"""The fill: what is embedded, in which order, by whom, and what happens to what can't be."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import crossfade as cf
from crossfade.errors import (
    EncodingFailed,
    NotReady,
    SpaceMismatch,
    StorageFailed,
)
from crossfade.index import writer
from crossfade.migration import fill
from crossfade.store import sealing
from support import (
    COUNT,
    NEW,
    Embed,
    bag_of_words,
    documents,
    failing_for,
    filled,
    is_first,
    require_true_vectors,
    stop_after_one_batch,
    text_of,
    wrapped,
)


def test_every_document_is_embedded_once(docs: cf.Collection) -> None:
    """Fit and run together embed each document exactly once: the sample is not done again."""
    seen: Counter[str] = Counter()
    docs.migrate(wrapped(*NEW, before=seen.update)).run()
    assert seen == Counter({text_of(number): 1 for number in range(COUNT)})


def test_hot_documents_come_first(docs: cf.Collection) -> None:
    """What searches look at most is re-embedded first (5 %), then what has priority."""
    docs.upsert(cf.Document("d7", text_of(7), priority=50))
    for _ in range(3):
        docs.search(text_of(311), k=1)
    seen: list[str] = []
    fade = docs.migrate(wrapped(*NEW, before=seen.extend))
    assert seen == []
    fade.fit()
    fade.run(stop=stop_after_one_batch())
    after_the_sample = seen[200:]
    assert text_of(311) in seen[:200] or text_of(311) == after_the_sample[0]
    assert text_of(7) in seen[:200] or text_of(7) in after_the_sample[: COUNT // 20 + 1]


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


def test_an_encoder_that_fails_for_everything(
    docs: cf.Collection, folder: Path, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no text can be embedded the run raises, blames no document, and can be resumed at once."""

    monkeypatch.setattr(fill, "OUTAGE_SECONDS", 0.0)

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


def test_an_encoder_that_goes_down_in_mid_run(
    docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was filled before stays; the batch in hand is given back."""
    monkeypatch.setattr(fill, "OUTAGE_SECONDS", 0.0)
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


@pytest.mark.parametrize("hours", [1, -1, 400 * 24, -400 * 24])
def test_a_batch_that_another_has_done_is_dropped(
    docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """However the clock is set while a filler has a batch, another one need not wait; no document is written twice."""
    overtaken: list[int] = []
    clock = time.time

    def overtake(texts: list[str]) -> None:
        if not overtaken:
            overtaken.append(len(texts))
            monkeypatch.setattr(time, "time", lambda: clock() + 3_600 * hours)
            with cf.Collection.open(folder, old) as other:
                other.migrate(new).run()

    fade = docs.migrate(wrapped(*NEW, before=overtake))
    assert fade.run().done == COUNT
    assert overtaken
    assert len(docs._store.snapshot().indices[2]) == COUNT
    assert require_true_vectors(folder, 2, new) == COUNT


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

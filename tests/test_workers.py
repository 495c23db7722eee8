"""Workers: what a fill does when documents, encoders, services and whole processes fail."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import crossfade as cf
from crossfade.catalog import documents as stored
from crossfade.catalog import tasks, versions
from crossfade.cli import app, models
from crossfade.errors import EncodingFailed, InvalidInput, NotReady, SpendLimitReached
from crossfade.migration import fill
from crossfade.migration.learning import LEAST_PAIRS
from crossfade.store import Store
from embedding_service import serving
from support import (
    COUNT,
    NEW,
    OLD,
    Child,
    documents,
    failing_for,
    filled,
    history,
    leased,
    require_intact,
    require_true_vectors,
    text_of,
    wrapped,
)


def crossfade(*words: str | Path) -> Any:
    """The exit code and the object that a command with --json gives."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture
def longest_waits(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes every wait as long as it can be, with a given first one."""

    def choose(first: float) -> None:
        monkeypatch.setattr(tasks, "FIRST_WAIT", first)
        monkeypatch.setattr(tasks.random, "random", lambda: 1.0)

    return choose


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many documents each lease took."""
    taken: list[int] = []
    whole = tasks.lease

    def lease(*arguments: Any) -> list[int]:
        keys = whole(*arguments)
        taken.append(len(keys))
        return keys

    monkeypatch.setattr(tasks, "lease", lease)
    return taken


def test_a_failed_document_is_tried_again_after_growing_waits(
    docs: cf.Collection, longest_waits: Callable[[float], None], leases: list[int]
) -> None:
    """The others do not wait for it, and the worker sleeps until it is due."""
    longest_waits(0.4)
    attempts: list[float] = []
    refuse = failing_for(text_of(11))

    def embed(texts: list[str]) -> None:
        if texts == [text_of(11)]:
            attempts.append(time.monotonic())
        refuse(texts)

    status = docs.migrate(wrapped(*NEW, before=embed)).run()
    assert (status.done, status.failed) == (COUNT - 1, 1)
    first, second, third = attempts
    assert second - first >= 0.4
    assert third - second >= 0.8
    assert third - first < 5
    assert leases.count(0) < 8, "it asked again and again for what was not due"


def test_a_stop_ends_a_wait_at_once(docs: cf.Collection, longest_waits: Callable[[float], None]) -> None:
    """A worker that sleeps until a task is due hears `stop`."""
    longest_waits(60.0)
    fade = docs.migrate(wrapped(*NEW, before=failing_for(text_of(11))))
    reached: list[float] = []

    def stop() -> bool:
        if fade.status().done == COUNT - 1:
            reached.append(time.monotonic())
        return len(reached) > 20

    assert fade.run(stop=stop).done == COUNT - 1
    assert 0.5 < time.monotonic() - reached[0] < 5
    assert fade.status().failed == 0


def test_an_encoder_that_comes_back(docs: cf.Collection, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage that passes costs a wait: no document is blamed, and the run goes on by itself."""
    monkeypatch.setattr(tasks, "FIRST_WAIT", 0.05)
    calls: list[int] = []

    def flicker(texts: list[str]) -> None:
        calls.append(len(texts))
        if len(calls) in range(3, 12):
            assert leased(docs.path) <= fill.BATCH
            raise ConnectionError("no route to the model")

    fade = docs.migrate(wrapped(*NEW, before=flicker))
    assert fade.run().done == COUNT
    assert fade.failures() == []
    assert require_true_vectors(docs.path, 2, new) == COUNT


def test_an_outage_is_waited_for_so_long(docs: cf.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is raised, with nothing held; who asks the run to stop meanwhile need not wait."""
    monkeypatch.setattr(fill, "OUTAGE_SECONDS", 0.5)
    monkeypatch.setattr(tasks, "FIRST_WAIT", 0.05)
    calls: list[float] = []

    def down(texts: list[str]) -> None:
        calls.append(time.monotonic())
        raise ConnectionError("no route to the model")

    fade = docs.migrate(wrapped(*NEW, before=down))
    with pytest.raises(EncodingFailed, match="no route to the model"):
        fade.run()
    assert len(calls) >= 4
    assert calls[-1] - calls[0] < 0.6
    assert (leased(docs.path), fade.failures()) == (0, [])

    monkeypatch.setattr(fill, "OUTAGE_SECONDS", 60.0)
    count = len(calls)
    assert fade.run(stop=lambda: len(calls) > count + 4).done == 0
    assert leased(docs.path) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=["killed", "crashed"])
def test_a_document_that_kills_its_workers(folder: Path, old: cf.Encoder, new: cf.Encoder, number: int) -> None:
    """It is given up after two deaths in company and three alone, and no other document is."""
    filled(folder, old, 150).close()
    deaths = 0
    while (child := Child("die", folder, int(number), "n77")).process.wait(60) != 0:
        assert child.process.returncode == -number
        child.rest()
        deaths += 1
        require_intact(folder)
        assert deaths < 9, "it goes on killing"
    assert child.rest() == ["done 149 failed 1"]
    assert deaths == 2 + tasks.MOST_ATTEMPTS
    assert [event for event, _ in history(folder)].count("worker died") == deaths
    with cf.Collection.open(folder, old, new) as docs:
        assert docs.migration is not None
        assert [(it.id, it.attempts, it.error) for it in docs.failures()] == [("d77", 3, tasks.DIED)]
        with pytest.raises(NotReady, match=r"1 of 150 .*\(1 of them failed\)") as refused:
            docs.migration.cutover()
        assert refused.value.ids == ("d77",)
        assert docs.migration.retry() == 1
        assert docs.migration.run().done == 150
    assert require_true_vectors(folder, 2, new) == 150


def test_workers_that_are_killed_blame_no_document(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """kill -9 of worker after worker over the same documents makes their batches smaller, no more."""
    filled(folder, old, 150).close()
    sizes = []
    for _ in range(3):
        child = Child("fill", folder, 60)
        assert child.line() == "ready"
        child.tell("go")
        sizes.append(int(child.line().split()[1]))
        child.kill()
    assert sizes == [64, 8, 1]
    with cf.Collection.open(folder, old) as docs:
        fade = docs.migrate(new)
        assert (fade.run().done, fade.failures()) == (150, [])
    assert require_true_vectors(folder, 2, new) == 150


def test_a_killed_fit_embeds_its_sample_all_the_same(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """What comes in parts after a death is not missing from the sample."""
    filled(folder, old, 210).close()
    for _ in range(2):
        child = Child("fill", folder, 60)
        assert child.line() == "ready"
        child.tell("go")
        assert child.line().startswith("embedding")
        child.kill()
    with cf.Collection.open(folder, old) as docs:
        fade = docs.migrate(new)
        assert fade.fit() is not None
        assert fade.status().done == LEAST_PAIRS


def test_workers_that_begin_together(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Three processes that start one migration share its sample too, and none fits without what another has in hand."""
    filled(folder, old, 400).close()
    workers = [Child("fill", folder, 0.1) for _ in range(3)]
    for worker in workers:
        assert worker.line() == "ready"
    for worker in workers:
        worker.tell("go")
    lines = [line for worker in workers for line in worker.rest()]
    assert [worker.process.returncode for worker in workers] == [0, 0, 0]
    embedded = Counter(text for line in lines if line.startswith("embedding") for text in line.split()[2:])
    assert set(embedded.values()) == {1}
    with cf.Collection.open(folder, old) as docs:
        assert docs.migration is not None
        assert (docs.migration.status().done, docs.migration.status().fitted) == (400, True)
    assert "not fitted" not in [event for event, _ in history(folder)]
    assert require_true_vectors(folder, 2, new) == 400


@pytest.fixture
def store(folder: Path, old: cf.Encoder, new: cf.Encoder) -> Iterator[Store]:
    with filled(folder, old, 10) as docs:
        docs.migrate(new)
    opened = Store(folder)
    yield opened
    opened.close()


@pytest.mark.parametrize("change", ["edit", "delete", "nothing"])
def test_a_result_counts_for_the_text_it_was_made_from(
    store: Store, folder: Path, old: cf.Encoder, new: cf.Encoder, change: str
) -> None:
    """Between lease and commit the document changes: the vector in hand is not written, whatever its lease says."""
    with store.writing() as connection:
        version = versions.read(connection).versions[2]
        lease = store.new_lease(connection, version)
        key = stored.keys_of(connection, ["d3"])["d3"]
        assert tasks.lease(connection, 2, lease, 1, [key]) == [key]
    with cf.Collection.open(folder, old) as docs:
        if change == "edit":
            docs.upsert(cf.Document("d3", "zebra quagga okapi"))
        elif change == "delete":
            docs.delete("d3")
    document = documents(1, start=3)[0]
    rows = new.encode([document.content])
    with store.writing() as connection:
        version = versions.read(connection).versions[2]
        counted = store.fill(connection, version, lease, [key], [document.text_hash], rows)
    assert counted == (change == "nothing")
    with cf.Collection.open(folder, old) as docs:
        docs.migrate(new).run()
        texts = {it.version: it.text_hash for it in docs.vectors("d3")}
    expected = {"edit": cf.Document("d3", "zebra quagga okapi"), "nothing": document}.get(change)
    assert set(texts.values()) == ({expected.text_hash.hex()} if expected else set())
    assert require_true_vectors(folder, 2, new) == (9 if change == "delete" else 10)


def test_a_failure_counts_only_for_who_holds_the_task(
    docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another worker has done the document meanwhile, a worker that failed on it takes nothing back."""
    monkeypatch.setattr(tasks, "LEASE_SECONDS", -1.0)
    overtaken: list[int] = []

    def overtake(texts: list[str]) -> None:
        if text_of(5) in texts:
            if not overtaken:
                overtaken.append(len(texts))
                with cf.Collection.open(folder, old) as other:
                    other.migrate(new).run()
            raise ValueError("no")

    status = docs.migrate(wrapped(*NEW, before=overtake)).run()
    assert overtaken
    assert (status.done, status.failed) == (COUNT, 0)


def test_changes_after_the_cutover_reach_the_old_version(
    docs: cf.Collection, folder: Path, old: cf.Encoder, new: cf.Encoder
) -> None:
    """Inserts, edits and deletes: each in its own transaction, so that a rollback finds them at once."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    for step in (
        lambda: docs.upsert(cf.Document("late", "zebra quagga")),
        lambda: docs.upsert(cf.Document("d7", "okapi gazelle")),
        lambda: docs.delete("d9"),
    ):
        step()
        assert [version["missing"] for version in docs.status().versions] == [0, 0]
        assert require_true_vectors(folder, 1, old) == require_true_vectors(folder, 2, new) == len(docs)
    docs.rollback()
    assert docs.search("okapi gazelle", k=1).ids == ["d7"]
    assert docs.search("zebra quagga", k=1).ids == ["late"]
    assert "d9" not in docs.search(text_of(9), k=50).ids


def test_an_old_model_that_fails_holds_up_no_write(
    docs: cf.Collection, folder: Path, new: cf.Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    """After the cutover the live model is enough for a write; what the old one lacks is listed before a rollback."""
    fade = docs.migrate(new)
    fade.run()
    fade.cutover()
    docs.close()

    def gone(texts: list[str]) -> None:
        raise ConnectionError("switched off")

    with cf.Collection.open(folder, wrapped(*OLD, before=gone), new) as later:
        later.upsert([cf.Document("late", "zebra quagga"), cf.Document("d7", "okapi gazelle")])
        assert "version 1, kept for rollback, lacks 2 documents" in caplog.text
        assert later.search("zebra quagga", k=1).ids == ["late"]
        started = time.monotonic()
        with pytest.raises(NotReady, match=r"2 documents .*\(d7, late\).*switched off") as refused:
            later.rollback()
        assert time.monotonic() - started < 5
        assert refused.value.ids == ("d7", "late")
        assert isinstance(refused.value.__cause__, EncodingFailed)
        assert leased(folder) == 0
        later.rollback(force="the new model is worse")
    assert ("rolled back", {"to": 1, "stale": 2, "forced": "the new model is worse"}) in history(folder)


@pytest.mark.parametrize("step", ["cutover", "rollback"])
@pytest.mark.parametrize("reason", [True, 1, b"bytes"])
def test_a_reason_must_be_a_text(docs: cf.Collection, new: cf.Encoder, step: str, reason: Any) -> None:
    """Anything else is refused: it would not be a record of anything."""
    fade = docs.migrate(new)
    with pytest.raises(InvalidInput, match="force must be the reason"):
        (fade.cutover if step == "cutover" else docs.rollback)(force=reason)


def test_ready_made_vectors_heal_what_was_given_up(docs: cf.Collection, new: cf.Encoder) -> None:
    """A document that the encoder can't do is done by handing in its vector."""
    fade = docs.migrate(wrapped(*NEW, before=failing_for(text_of(11))))
    assert fade.run().failed == 1
    docs.migrate(new)
    document = documents(1, start=11)
    docs.upsert(document, vectors=new.encode([document[0].content]), space=new.space)
    assert (fade.status().done, fade.failures()) == (COUNT, [])


def test_a_spend_limit_ends_a_fill_cleanly(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was paid for stays, nothing is held, the command says what to do, and a higher limit goes on from there."""
    filled(folder, old, 300).close()
    with serving(48, 2) as service:

        def encoder(limit: float) -> cf.Encoder:
            return cf.Encoder.http(
                service.url, "remote", dim=48, price_per_million_tokens=1e6, spend_limit=limit, count_tokens=len
            )

        def load(name: str, report: object) -> cf.Encoder:
            return encoder(4_500.0)

        with cf.Collection.open(folder, old) as docs:
            fade = docs.migrate(encoder(4_500.0))
            with pytest.raises(SpendLimitReached, match="higher spend_limit"):
                fade.run()
            first = fade.status()
            assert 0 < first.done < 300
            assert (first.failed, leased(folder)) == (0, 0)
        monkeypatch.setattr(models, "load", load)
        monkeypatch.setattr("crossfade.encoders._load", lambda version: old)
        code, said = crossfade("migrate", folder, "--to", "remote")
        assert (code, said["error"]["type"]) == (1, "SpendLimitReached")
        assert "resume the migration" in said["error"]["message"]
        assert leased(folder) == 0
        with cf.Collection.open(folder, old) as docs:
            assert docs.migrate(encoder(1e9)).run().done == 300
        seen = Counter(text for body in service.bodies for text in body["input"])
        assert set(seen.values()) == {1}, "a text was paid for twice"


@pytest.fixture
def poisoned(folder: Path, old: cf.Encoder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A collection whose migration has given up two documents, with encoders that a command can load."""
    with filled(folder, old, 60) as docs:
        assert docs.migrate(wrapped(*NEW, before=failing_for(text_of(11), text_of(22)))).run().failed == 2
    known = {encoder.space.fingerprint: encoder for encoder in (old, wrapped(*NEW))}
    monkeypatch.setattr("crossfade.encoders._load", lambda version: known[version.space.fingerprint])
    monkeypatch.setattr(models, "load", lambda name, report: wrapped(*NEW))
    return folder


def test_the_command_lists_and_retries_what_was_given_up(poisoned: Path) -> None:
    """`status --failed` names documents, attempts and errors; `retry` queues them, `migrate` does them."""
    code, status = crossfade("status", poisoned, "--failed")
    assert code == 0
    assert [(it["id"], it["attempts"], it["version"]) for it in status["failures"]] == [("d11", 3, 2), ("d22", 3, 2)]
    assert "can't embed" in status["failures"][0]["error"]
    assert "failures" not in crossfade("status", poisoned)[1]
    shown = CliRunner().invoke(app, ["status", str(poisoned), "--failed"], env={"COLUMNS": "300"}).stdout
    assert "d22" in shown
    assert f"try them again: crossfade retry {poisoned}" in shown
    assert crossfade("migrate", poisoned, "--to", "new")[1]["next"] == f"crossfade status {poisoned} --failed"

    code, refused = crossfade("cutover", poisoned)
    assert (code, refused["error"]["type"], refused["error"]["ids"]) == (1, "NotReady", ["d11", "d22"])
    assert crossfade("retry", poisoned)[1]["queued"] == 2
    assert crossfade("status", poisoned, "--failed")[1]["failures"] == []
    assert "no document was given up" in CliRunner().invoke(app, ["status", str(poisoned), "--failed"]).stdout
    assert crossfade("migrate", poisoned, "--to", "new")[1]["done"] == 60
    assert crossfade("retry", poisoned)[1]["queued"] == 0
    assert crossfade("cutover", poisoned)[0] == 0


def test_the_command_rolls_back_with_a_reason(poisoned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be stale is named in the object; a reason is recorded and goes on."""
    assert crossfade("cutover", poisoned, "--force", "two are no loss")[0] == 0
    with cf.Collection.open(poisoned) as docs, monkeypatch.context() as patch:
        patch.setattr("crossfade.encoders.Encoders.find", lambda self, version: None)
        docs.upsert(cf.Document("late", "zebra quagga"))
        code, refused = crossfade("rollback", poisoned)
        assert (code, refused["error"]["ids"]) == (1, ["late"])
        assert crossfade("rollback", poisoned, "--force", "it is worse")[1]["live"] == 1
    assert ("rolled back", {"to": 1, "stale": 1, "forced": "it is worse"}) in history(poisoned)


def test_retry_needs_a_migration(folder: Path, old: cf.Encoder) -> None:
    """Without one the message names the command that starts it."""
    filled(folder, old, 3).close()
    code, said = crossfade("retry", folder)
    assert code == 1
    assert f"crossfade migrate {folder} --to MODEL" in said["error"]["message"]

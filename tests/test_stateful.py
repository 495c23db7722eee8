"""Any order of everything: a collection is driven at random beside a plain dict that says what must be there."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import crossfade as cf
from crossfade.errors import MigrationConflict, NothingToRollBack, NotReady
from crossfade.store import sealing
from support import NEW, OLD, THIRD, require_true_vectors, text_of, wrapped

crashes: list[Callable[[], None]] = []


def crash_if_due(texts: list[str]) -> None:
    if crashes:
        crashes.pop()()


ENCODERS = [wrapped(*which, before=crash_if_due) for which in (OLD, NEW, THIRD)]
TAIL_ROWS = sealing.TAIL_ROWS
IDS = [f"d{number}" for number in range(260)]
SEED_DOCUMENTS = 220  # enough for a Bridge
# The long form, `python -m faults`, says how many steps, and where to note how many there were.
STEPS = int(os.environ.get("CROSSFADE_STEPS", 380))
LONG = "CROSSFADE_STEPS" in os.environ
figures = Counter[str]()


class Crash(BaseException):
    """The end of a process in the middle of something."""


class CollectionMachine(RuleBasedStateMachine):
    """Every rule changes the collection and the model alike; the invariants compare them."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "kb.cf"
        self.model: dict[str, str] = {}
        self.parity: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.next_text = 0
        self.live = 0
        self.target: int | None = None  # of the migration under way or cut over
        self.state = "none"
        self.together = False  # whether the versions go on answering together after a cutover

    @initialize()
    def begin(self) -> None:
        sealing.TAIL_ROWS = 64
        self.docs = cf.Collection.create(self.folder, ENCODERS[0])
        self.write(IDS[:SEED_DOCUMENTS])

    def teardown(self) -> None:
        sealing.TAIL_ROWS = TAIL_ROWS
        if hasattr(self, "docs"):
            kept = self.docs.status().versions
            self.docs.close()
            for version in kept:
                encoder = next(e for e in ENCODERS if e.space.fingerprint == version["fingerprint"])
                if version["missing"] == 0:
                    assert require_true_vectors(self.folder, version["number"], encoder) == len(self.model)
        shutil.rmtree(self.root)
        if noted := os.environ.get("CROSSFADE_STEPS_NOTED"):
            Path(noted).write_text(json.dumps(figures))

    def write(self, names: list[str]) -> None:
        batch = []
        for name in names:
            self.next_text += 1
            self.model[name] = text_of(10_000 + self.next_text)
            self.parity[name] = self.next_text % 2
            batch.append(cf.Document(name, self.model[name], meta={"parity": self.parity[name]}))
        self.deleted -= set(names)
        self.docs.upsert(batch)

    @property
    def fade(self) -> cf.Migration:
        assert self.docs.migration is not None
        return self.docs.migration

    # What users do with documents

    @rule(names=st.lists(st.sampled_from(IDS), unique=True, min_size=1, max_size=40))
    def upsert(self, names: list[str]) -> None:
        self.write(names)

    @rule(names=st.lists(st.sampled_from(IDS), unique=True, min_size=1, max_size=10))
    def change_metadata(self, names: list[str]) -> None:
        names = [name for name in names if name in self.model]
        for name in names:
            self.parity[name] = 1 - self.parity[name]
        done = self.docs.upsert(
            [cf.Document(name, self.model[name], meta={"parity": self.parity[name]}) for name in names]
        )
        assert done.metadata == len(names)

    @rule(names=st.lists(st.sampled_from(IDS), unique=True, min_size=1, max_size=15))
    def delete(self, names: list[str]) -> None:
        there = {name for name in names if name in self.model}
        assert self.docs.delete(names) == len(there)
        for name in there:
            del self.model[name], self.parity[name]
        self.deleted |= there

    @rule(parity=st.integers(0, 2))
    def search_with_a_filter(self, parity: int) -> None:
        hits = self.docs.search("w1 w2 w3", k=1_000, filter={"parity": parity})
        reachable = {name for name, value in self.parity.items() if value == parity}
        assert len(set(hits.ids)) == len(hits)
        assert set(hits.ids) == reachable - self.missing()

    @rule(
        names=st.lists(st.sampled_from(IDS), unique=True, min_size=1, max_size=3),
        k=st.sampled_from([1, 10, 100, 1_000]),
        parity=st.sampled_from([None, 0, 1]),
        on_read=st.sampled_from(["background", "sync", "off"]),
    )
    def search(self, names: list[str], k: int, parity: int | None, on_read: str) -> None:
        texts = [self.model.get(name, f"w7 {name}") for name in names]
        conditions = None if parity is None else {"parity": parity}
        reachable = {name for name in self.model if parity is None or self.parity[name] == parity} - self.missing()
        for hits in self.docs.search(texts, k=k, filter=conditions, on_read=on_read, budget=0.02):
            assert len(set(hits.ids)) == len(hits) == min(k, len(reachable))
            assert set(hits.ids) <= reachable
            assert all(hit.text == self.model[hit.id] for hit in hits)

    @rule(name=st.sampled_from(IDS))
    def report(self, name: str) -> None:
        assert self.docs.report_failing(self.model.get(name, "w7 w8")) <= len(self.model)

    @rule()
    def seal(self) -> None:
        self.docs._store.seal()

    # What users do with versions

    @rule(number=st.integers(0, 2))
    def migrate(self, number: int) -> None:
        try:
            self.docs.migrate(ENCODERS[number])
        except MigrationConflict:
            under_way = self.together or (self.state == "filling" and number != self.target)
            assert under_way or ENCODERS[number].space.fingerprint in self.fingerprints()
            return
        if number != self.target:  # else it is the one that is there
            assert number != self.live
            self.target, self.state = number, "filling"

    @precondition(lambda self: self.state != "none")
    @rule(
        until=st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]),
        order=st.sampled_from([None, "age", "hot*uncertain", "0.5*random(3) + 0.5*failing"]),
    )
    def run_fill(self, until: float, order: str | None) -> None:
        status = self.fade.run(until=until, order=order)
        assert status.failed == 0
        assert status.done >= round(until * status.documents)

    @precondition(lambda self: self.state != "none")
    @rule(forced=st.booleans(), serve=st.sampled_from(["new", "blend"]))
    def cut_over(self, forced: bool, serve: Literal["new", "blend"]) -> None:
        before = self.fade.status()
        try:
            self.fade.cutover(force="a test" if forced else None, serve=serve)
        except NotReady:
            lacks = before.done < before.documents and not forced
            assert lacks or (serve == "blend" and not before.fitted)
            return
        assert self.target is not None
        self.live, self.state, self.together = self.target, "cut over", serve == "blend"

    @rule()
    def roll_back(self) -> None:
        try:
            self.docs.rollback()
        except NothingToRollBack:
            assert self.state != "cut over"
            return
        assert self.state == "cut over"
        self.live, self.state, self.together = self.number_of_live(), "rolled back", False

    @precondition(lambda self: self.state in ("filling", "rolled back"))
    @rule()
    def abandon(self) -> None:
        try:
            self.fade.abandon()
        except NotReady:
            assert self.state == "rolled back"
            assert self.lacking()
            return
        self.forget_migration()

    @rule()
    def prune(self) -> None:
        try:
            dropped = self.docs.prune(force=True)
        except NotReady:
            assert self.lacking()
            return
        if dropped and self.state != "filling":
            self.forget_migration()

    def forget_migration(self) -> None:
        """What is left may be an earlier migration whose source is still retained."""
        current = self.docs.migration
        self.state = current.status().state if current else "none"
        self.together = False
        self.target = self.index_of(current.space) if current else None

    # What happens to processes

    @rule(read_first=st.booleans())
    def reopen(self, read_first: bool) -> None:
        self.docs.close()
        if read_first:
            with cf.Collection.open(self.folder, *ENCODERS, read_only=True) as reader:
                assert len(reader) == len(self.model)
        self.docs = cf.Collection.open(self.folder, *ENCODERS)

    @rule()
    def crash_between_steps(self) -> None:
        self.leave_behind()
        self.docs.close()
        self.come_back()

    @rule(names=st.lists(st.sampled_from(IDS), unique=True, min_size=1, max_size=40))
    def crash_while_embedding(self, names: list[str]) -> None:
        self.next_text += 1
        batch = [cf.Document(name, text_of(90_000 + 300 * self.next_text + n)) for n, name in enumerate(names)]
        self.crash_in(lambda: self.docs.upsert(batch))

    @precondition(lambda self: LONG and self.state == "filling")
    @rule()
    def crash_while_filling(self) -> None:
        self.crash_in(lambda: self.fade.run())

    def crash_in(self, step: Callable[[], object]) -> None:
        """Whatever a process had in hand when it ended is as if it had not begun."""

        def crash() -> None:
            self.leave_behind()
            raise Crash

        crashes.append(crash)
        try:
            step()
        except Crash:
            self.docs.close()
            self.come_back()
        crashes.clear()

    def leave_behind(self) -> None:
        """Takes the folder as a process that ends now would leave it: its files, locked by nobody."""
        self.docs._store._sealer.wait()
        shutil.copytree(self.folder, self.root / "left")
        figures["crashes of the state machine"] += 1

    def come_back(self) -> None:
        shutil.rmtree(self.folder)
        (self.root / "left").rename(self.folder)
        self.docs = cf.Collection.open(self.folder, *ENCODERS)

    # What must hold at every moment

    @invariant()
    def holds_what_was_written(self) -> None:
        if not hasattr(self, "docs"):
            return
        figures["steps of the state machine"] += 1  # with the first one, that creates
        assert len(self.docs) == len(self.model)
        assert self.index_of(self.docs.space) == self.live
        for name in [*list(self.model)[::37], *list(self.deleted)[:3]]:
            found = self.docs.get(name)
            assert (found.text if found else None) == self.model.get(name)

    @invariant()
    def finds_what_it_holds(self) -> None:
        if not hasattr(self, "docs"):
            return
        missing = self.missing()
        names = [name for name in list(self.model)[:: max(1, len(self.model) // 8)] if name not in missing]
        found = self.docs.search([self.model[name] for name in names], k=15) if names else []
        # A score that is estimated may be lower than a true one: then a text's own document is among the best.
        best = 5 if self.state == "filling" or self.together else 1
        for name, hits in zip(names, found, strict=True):
            assert name in hits.ids[:best]
            assert len(set(hits.ids)) == len(hits) == min(15, len(self.model) - len(missing))
            assert not set(hits.ids) & self.deleted
            assert all(hit.text == self.model[hit.id] for hit in hits)

    @invariant()
    def counts_what_is_missing(self) -> None:
        if not hasattr(self, "docs"):
            return
        for version in self.docs.status().versions:
            assert 0 <= version["missing"] <= len(self.model)
            assert version["failed"] == 0

    @invariant()
    def keeps_what_serves(self) -> None:
        if hasattr(self, "docs") and self.together:
            assert self.docs.prune() == []
            assert self.fade.status().serve == "blend"

    def missing(self) -> set[str]:
        """Documents that no version that serves has a vector for."""
        return set() if self.together else self.lacking()

    def lacking(self) -> set[str]:
        """Documents the live version has no vector for: after a cutover that was forced."""
        with self.docs._store.reading() as connection:
            rows = connection.execute(
                "SELECT document.id FROM task JOIN document USING (key) JOIN collection ON live = task.version"
            )
            return {name for (name,) in rows}

    def fingerprints(self) -> set[str]:
        """Of the Spaces that are kept, live or for rollback."""
        return {version["fingerprint"] for version in self.docs.status().versions}

    def number_of_live(self) -> int:
        return self.index_of(self.docs.space)

    @staticmethod
    def index_of(space: cf.Space) -> int:
        return [encoder.space.fingerprint for encoder in ENCODERS].index(space.fingerprint)


TestCollection = CollectionMachine.TestCase
TestCollection.settings = settings(
    max_examples=-(-STEPS // 19),  # some end before their last step
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

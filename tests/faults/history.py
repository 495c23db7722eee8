"""The history: endless operations on a collection, the same for every run of one seed, and the model beside them."""

from __future__ import annotations

import dataclasses
import functools
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import crossfade as cf
from crossfade.catalog.tasks import LEASE_SECONDS
from crossfade.errors import NotReady
from support import NEW, OLD, THIRD, text_of, wrapped

IDS = [f"d{number}" for number in range(260)]
START = 220  # documents: enough for a Bridge
SHARED = 8  # every so many texts is one that other documents have too

Content = tuple[str, int]  # text and parity
interruptions: list[Callable[[], object]] = []


def _interrupt(texts: list[str]) -> None:
    if interruptions:
        interruptions.pop()()


ENCODERS = tuple(wrapped(*which, before=_interrupt) for which in (OLD, NEW, THIRD))
FINGERPRINTS = [encoder.space.fingerprint for encoder in ENCODERS]


@dataclasses.dataclass(frozen=True)
class Model:
    """What must be there. `source` and `target` are places in ENCODERS, of the migration that `state` speaks of."""

    contents: Mapping[str, Content]
    deleted: frozenset[str] = frozenset()
    live: int = 0
    source: int = 0
    target: int | None = None
    state: str = "none"
    complete: bool = False  # whether the fill has been run to its end since the last write

    def wrote(self, contents: Mapping[str, Content]) -> Model:
        complete = self.complete and self.state != "filling"
        return dataclasses.replace(
            self,
            contents={**self.contents, **contents},
            deleted=self.deleted - contents.keys(),
            complete=complete,
        )

    def without(self, names: tuple[str, ...]) -> Model:
        left = {name: content for name, content in self.contents.items() if name not in names}
        gone = self.deleted | (self.contents.keys() - left.keys())
        return dataclasses.replace(self, contents=left, deleted=frozenset(gone))

    def to(self, **changes: Any) -> Model:
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class Operation:
    """One step; `number` is its place in the history, from which its texts are made."""

    kind: str
    number: int
    names: tuple[str, ...]

    def contents(self, salt: int = 0) -> dict[str, Content]:
        """What it writes under its names."""
        first = 1_000_000 + 1_000 * self.number + 100 * salt
        return {
            name: (text_of(7 if (first + place) % SHARED == 0 else first + place), self.number % 2)
            for place, name in enumerate(self.names)
        }


def to_documents(contents: Mapping[str, Content]) -> list[cf.Document]:
    return [cf.Document(name, text, meta={"parity": parity}) for name, (text, parity) in contents.items()]


class Hands:
    """A collection held open by the process that works on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.docs = self.another()

    def another(self) -> cf.Collection:
        return cf.Collection.open(self.folder, *ENCODERS)

    @property
    def fade(self) -> cf.Migration:
        assert self.docs.migration is not None
        return self.docs.migration


# What is done


def upsert(hands: Hands, operation: Operation) -> None:
    hands.docs.upsert(to_documents(operation.contents()))


def change_metadata(hands: Hands, operation: Operation) -> None:
    found = [document for name in operation.names if (document := hands.docs.get(name))]
    hands.docs.upsert([dataclasses.replace(document, meta={"parity": operation.number % 2}) for document in found])


def delete(hands: Hands, operation: Operation) -> None:
    hands.docs.delete(operation.names)


def overtaken(hands: Hands, operation: Operation) -> None:
    """While a batch is embedded, somebody else writes and deletes the same documents."""

    def other() -> None:
        with hands.another() as docs:
            docs.upsert(to_documents(operation.contents(salt=1)))
            docs.delete(operation.names[:3])

    interruptions.append(other)
    upsert(hands, operation)
    interruptions.clear()


def straddle(hands: Hands, operation: Operation) -> None:
    """While a batch is embedded, the migration is cut over."""
    interruptions.append(hands.fade.cutover)
    upsert(hands, operation)
    interruptions.clear()


def migrate(hands: Hands, operation: Operation) -> None:
    place = FINGERPRINTS.index(hands.docs.space.fingerprint)
    if hands.docs.migration is None:
        hands.docs.migrate(ENCODERS[(place + 1) % len(ENCODERS)])


def early(hands: Hands, operation: Operation) -> None:
    """A cutover before its time is refused."""
    status = hands.fade.status()
    if status.done < status.documents:
        try:
            hands.fade.cutover()
        except NotReady:
            return
        raise AssertionError(f"cut over with {status.done} of {status.documents} documents")


def outlived(hands: Hands, operation: Operation) -> None:
    """While a batch is filled the clock jumps ahead of its lease, and somebody else fills the rest."""
    clock = time.time

    def other() -> None:
        time.time = lambda: clock() + 2 * LEASE_SECONDS
        try:
            with hands.another() as docs:
                assert docs.migration is not None
                docs.migration.run()
        finally:
            time.time = clock

    interruptions.append(other)
    hands.fade.run()
    interruptions.clear()


def reopen(hands: Hands, operation: Operation) -> None:
    hands.docs.close()
    hands.docs = hands.another()


# What that makes of the model: every state that a crash may leave, the last one when it is done


def _wrote(model: Model, operation: Operation) -> list[Model]:
    return [model.wrote(operation.contents())]


def _changed(model: Model, operation: Operation) -> list[Model]:
    there = [name for name in operation.names if name in model.contents]
    changed = {name: (model.contents[name][0], operation.number % 2) for name in there}
    return [model.to(contents={**model.contents, **changed})]


def _overtaken(model: Model, operation: Operation) -> list[Model]:
    written = model.wrote(operation.contents(salt=1))
    deleted = written.without(operation.names[:3])
    return [written, deleted, deleted.wrote(operation.contents())]


def _cut_over(model: Model, operation: Operation) -> list[Model]:
    assert model.target is not None
    return [model.to(live=model.target, state="cut over")]


def _straddled(model: Model, operation: Operation) -> list[Model]:
    cut = _cut_over(model, operation)[0]
    return [cut, cut.wrote(operation.contents())]


def _ended(model: Model, operation: Operation) -> list[Model]:
    return [model.to(state="none", target=None, complete=False)]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of operation: how likely, in which states of the migration, what it does and makes of the model."""

    weight: int
    possible: Callable[[Model], bool]
    perform: Callable[[Hands, Operation], object]
    stages: Callable[[Model, Operation], list[Model]]


def _always(model: Model) -> bool:
    return True


def _filling(model: Model) -> bool:
    return model.state == "filling"


def _unfinished(model: Model) -> bool:
    return model.state == "filling" and not model.complete


def _ready(model: Model) -> bool:
    return (model.state == "filling" and model.complete) or model.state == "rolled back"


def _same(model: Model, operation: Operation) -> list[Model]:
    return [model]


def _filled(model: Model, operation: Operation) -> list[Model]:
    return [model.to(complete=True)]


def _started(model: Model, operation: Operation) -> list[Model]:
    target = (model.live + 1) % len(ENCODERS)
    return [model.to(source=model.live, target=target, state="filling", complete=False)]


KINDS: dict[str, Kind] = {
    "upsert": Kind(6, _always, upsert, _wrote),
    "metadata": Kind(1, _always, change_metadata, _changed),
    "delete": Kind(3, _always, delete, lambda model, operation: [model.without(operation.names)]),
    "overtaken": Kind(1, _always, overtaken, _overtaken),
    "seal": Kind(2, _always, lambda hands, _: hands.docs._store.seal(), _same),
    "reopen": Kind(1, _always, reopen, _same),
    "migrate": Kind(12, lambda model: model.state == "none", migrate, _started),
    "fit": Kind(4, _unfinished, lambda hands, _: hands.fade.fit(), _same),
    "fill": Kind(3, _unfinished, lambda hands, _: hands.fade.run(until=0.5), _same),
    "early": Kind(1, _unfinished, early, _same),
    "run": Kind(12, _unfinished, lambda hands, _: hands.fade.run(), _filled),
    "outlived": Kind(4, _unfinished, outlived, _filled),
    "cutover": Kind(14, _ready, lambda hands, _: hands.fade.cutover(), _cut_over),
    "straddle": Kind(4, lambda model: _ready(model) and model.state == "filling", straddle, _straddled),
    "rollback": Kind(
        10,
        lambda model: model.state == "cut over",
        lambda hands, _: hands.docs.rollback() if hands.fade.status().state == "cut over" else None,
        lambda model, _: [model.to(live=model.source, state="rolled back")],
    ),
    "prune": Kind(
        3,
        lambda model: model.state in ("cut over", "rolled back"),
        lambda hands, _: hands.docs.prune(force=True),
        _ended,
    ),
    "abandon": Kind(1, _filling, lambda hands, _: hands.fade.abandon() if hands.docs.migration else None, _ended),
}


def begin() -> Model:
    return Model({f"d{number}": (text_of(number), number % 2) for number in range(START)})


def operation_at(seed: int, number: int, model: Model) -> Operation:
    """The operation that comes at a place, after what `model` says."""
    chance = random.Random(f"{seed}:{number}")
    possible = {name: kind for name, kind in KINDS.items() if kind.possible(model)}
    (kind,) = chance.choices(list(possible), [kind.weight for kind in possible.values()])
    return Operation(kind, number, tuple(chance.sample(IDS, chance.randint(4, 14))))


@functools.lru_cache(maxsize=4_096)
def after(seed: int, number: int) -> Model:
    """The model after the first `number` operations."""
    if number == 0:
        return begin()
    model = after(seed, number - 1)
    operation = operation_at(seed, number - 1, model)
    return KINDS[operation.kind].stages(model, operation)[-1]


def at(seed: int, number: int) -> Operation:
    """The operation at a place."""
    for earlier in range(0, number, 200):  # fills the cache from below, for the recursion's sake
        after(seed, earlier)
    return operation_at(seed, number, after(seed, number))


def stages(seed: int, number: int, in_hand: bool) -> list[Model]:
    """What may be there after `number` operations, and what the next one passes through; at -1, while it is made."""
    if number < 0:
        return [Model({}), begin()]
    operation = at(seed, number)
    model = after(seed, number)
    return [model, *(KINDS[operation.kind].stages(model, operation) if in_hand else [])]


def first_of(seed: int, kind: str, start: int = 12) -> int:
    """The first place from `start` on with an operation of that kind."""
    return next(number for number in range(start, 10_000) if at(seed, number).kind == kind)


def create(folder: Path) -> None:
    """The collection that every history begins with."""
    with cf.Collection.create(folder, ENCODERS[0]) as docs:
        docs.upsert(to_documents(begin().contents))

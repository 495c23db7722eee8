"""Tasks: the programs that the nursery runs, each in a process of its own."""

from __future__ import annotations

import mmap  # numpy imports it when the first file is mapped, which is too late where memory ends
import os
import random
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import crossfade as cf
from crossfade import migration
from crossfade.errors import CrossfadeError
from crossfade.index import version
from crossfade.migration import roles
from crossfade.store import sealing
from faults import bugs, checker, damage, history
from support import text_of

Say = Callable[..., None]
Gate = Callable[[], None]
TAIL_ROWS = 64
NEVER = 10**6  # a tail that is never sealed
DAY = 24 * 3_600.0
true_time = time.time
assert mmap.PAGESIZE


def prepare(arguments: dict[str, Any]) -> None:
    """Computes what children would else compute one by one, and has graphs of a few rows asked as large ones are."""
    version.ROWS_A_CANDIDATE = 0
    if "seed" in arguments:
        history.at(arguments["seed"], arguments.get("first", 0) + arguments.get("number", 0) + 64)


def create(say: Say, gate: Gate, folder: str, bug: str | None = None) -> None:
    """Makes the collection that every history begins with."""
    bugs.install(bug)
    gate()
    history.create(Path(folder))


def work(
    say: Say,
    gate: Gate,
    folder: str,
    seed: int,
    first: int,
    count: int,
    tail: int = TAIL_ROWS,
    again: bool = False,
    bug: str | None = None,
    clock: bool = False,
    leave: bool = False,
    search: bool = False,
    sealed: bool = False,
) -> None:
    """Does `count` operations from `first` on, and says which ones have returned.

    Args:
        again: Try an operation that failed once more, and go on; else it is the last one.
        bug: Which rule of crossfade is broken.
        clock: Whether the clock jumps before every operation.
        leave: End without closing, so that the catalog's log stays.
        search: Whether to search after a failure, which must go on.
        sealed: Wait for what is being sealed before the end, which would break it off.
    """
    sealing.TAIL_ROWS = tail
    threading.excepthook = lambda raised: say("untyped", f"in a thread: {raised.exc_value!r}")
    early = bugs.install(bug)
    _watch(say)
    hands = history.Hands(Path(folder))
    gate()
    for number in range(first, first + count):
        operation = history.at(seed, number)
        if clock:
            _jump(random.Random(f"{seed}:{number}"))
        say("begin", number, operation.kind)
        if early:
            say("done", number)
        if not _perform(say, hands, operation, tries=2 if again else 1, search=search):
            return
        if not early:
            say("done", number)
    if leave:
        hands.docs._store._sealer.wait()  # so that there are segments to be damaged,
        hands.docs._store.seal()  # those too whose building has ended with the collection that began it
        os._exit(0)  # before anything is closed for being forgotten
    if sealed:
        hands.docs._store._sealer.wait()
    hands.docs.close()
    say("closed")


def _jump(chance: random.Random) -> None:
    """Sets this process's clock to another time, up to a year from the true one."""
    shift = chance.choice([-1, 1]) * chance.choice([1.0, 3_600.0, DAY, 400 * DAY]) * chance.random()
    time.time = lambda: true_time() + shift


def _perform(say: Say, hands: history.Hands, operation: history.Operation, tries: int, search: bool) -> bool:
    """Whether one of so many tries of an operation succeeds; what fails in other ways than it may is raised."""
    for _ in range(tries):
        try:
            history.KINDS[operation.kind].perform(hands, operation)
            return True
        except (CrossfadeError, MemoryError) as error:
            history.interruptions.clear()
            say("failed", operation.number, operation.kind, f"{type(error).__name__}: {error}"[:300])
            if search:
                say("searched", len(hands.docs.search(text_of(7), k=3)))
    return False


def check(say: Say, gate: Gate, folder: str, seed: int, number: int, in_hand: bool, thorough: bool = False) -> None:
    """Compares a folder with the model; says what is wrong, and after how many operations it stands."""
    sealing.TAIL_ROWS = NEVER
    problems, found = checker.inspect(Path(folder), seed, number, in_hand, thorough)
    say("checked", problems[:20], found)


def look(say: Say, gate: Gate, folder: str, seed: int, number: int, what: str, bug: str | None = None) -> None:
    """Opens a collection, or searches one that is open, until that succeeds, twice at most; says what is wrong then."""
    sealing.TAIL_ROWS = NEVER
    bugs.install(bug)
    model, hands = history.after(seed, number), None
    if what == "search":
        hands = history.Hands(Path(folder))
        with hands.another() as other:  # so that there is something new to read
            other.upsert(cf.Document("probe", checker.PROBE))
            other.delete("probe")
    gate()
    for _ in range(2):
        try:
            hands = hands or history.Hands(Path(folder))
            say("looked", checker.of_searches(hands.docs, model))
            return
        except (CrossfadeError, MemoryError) as error:
            say("failed", what, f"{type(error).__name__}: {error}"[:300])


def serve(
    say: Say,
    gate: Gate,
    folder: str,
    scratch: str,
    seed: int,
    number: int,
    cases: list[list[Any]],
    bug: str | None = None,
) -> None:
    """Searches copies of a folder, each damaged in one place, and says what came of it."""
    sealing.TAIL_ROWS = NEVER
    bugs.install(bug)
    copy = Path(scratch) / str(os.getpid())
    shutil.copytree(folder, copy)  # a folder that is opened is no longer as it was left
    whole = checker.answers(copy)
    model = history.after(seed, number)
    for place, (name, how, chance) in enumerate(cases):
        say("begin", place, name, how, chance)
        shutil.rmtree(copy)
        shutil.copytree(folder, copy)
        damage.apply(copy / name, how, random.Random(chance))
        try:
            problems = checker.compare(model, whole, checker.answers(copy))
            outcome = "differs" if problems else "right"
            say("done", place, outcome, problems[:3])
        except CrossfadeError as error:
            say("done", place, "refused", [f"{type(error).__name__}: {error}"[:200]])
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-3:]
            say("done", place, "untyped", [repr(error)[:300], *(f"{at.filename}:{at.lineno}" for at in where)])
    shutil.rmtree(copy)


def _watch(say: Say) -> None:
    """Reports when the windows are entered and left in which a segment is published and the live version changes."""

    @contextmanager
    def window(name: str) -> Iterator[None]:
        say("enter", name)
        yield
        say("leave", name)

    def within(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **keywords: Any) -> Any:
            with window(name):
                return function(*arguments, **keywords)

        return watched

    sealing.Sealer._seal_locked = within("publish", sealing.Sealer._seal_locked)
    roles.cut_over = within("cutover", roles.cut_over)
    migration.rollback = within("cutover", migration.rollback)

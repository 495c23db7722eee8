"""Programs that tests run as processes of their own, to be killed, raced or forked: `python crash_child.py NAME …`.

Each says on standard output, a line at a time, what it has done.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import crossfade as cf
from crossfade.store import sealing
from support import NEW, OLD, documents, text_of, wrapped

BATCH = 20
TAIL_ROWS = 100
CHILDREN = 100_000  # number of the first document that a forked child writes


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def fill(folder: str, seconds: str) -> None:
    """Runs the migration with an encoder that takes its time, and says how many texts it is about to embed."""

    def slowly(texts: list[str]) -> None:
        say("embedding", len(texts), *(text.split()[0] for text in texts))
        time.sleep(float(seconds))

    with cf.Collection.open(folder, wrapped(*OLD)) as docs:
        fade = docs.migrate(wrapped(*NEW, before=slowly))
        say("ready")
        sys.stdin.readline()
        fade.run()
        say("filled")


def die(folder: str, signal_number: str, *poison: str) -> None:
    """Runs the migration with an encoder that kills its process where it meets one of these words."""

    def perish(texts: list[str]) -> None:
        if any(text.split()[0] in poison for text in texts):
            os.kill(os.getpid(), int(signal_number))

    with cf.Collection.open(folder, wrapped(*OLD)) as docs:
        status = docs.migrate(wrapped(*NEW, before=perish)).run()
        say("done", status.done, "failed", status.failed)


def fail(folder: str) -> None:
    """Runs the migration with an encoder that always fails; says so each time."""

    def refuse(texts: list[str]) -> None:
        say("refused", len(texts))
        raise ConnectionError("no route to the model")

    with cf.Collection.open(folder, wrapped(*OLD)) as docs:
        docs.migrate(wrapped(*NEW, before=refuse)).run()


def call(folder: str, url: str) -> None:
    """Runs the migration with the encoder of a service."""
    with cf.Collection.open(folder, wrapped(*OLD)) as docs:
        fade = docs.migrate(cf.Encoder.http(url, "remote", dim=48))
        say("ready")
        fade.run()


def operate(folder: str, first: str) -> None:
    """Upserts, edits and deletes without end, from operation `first` on; says which ones have returned."""
    with cf.Collection.open(folder, wrapped(*OLD)) as docs:
        say("ready")
        for number in itertools.count(int(first)):
            operation(number)(docs)
            say("acknowledged", number)


def operation(number: int) -> Callable[[cf.Collection], object]:
    """Operation number n of an endless history: it adds 20 documents, edits the last 20, or deletes the ones before."""
    step, kind = divmod(number, 4)
    start = step * 2 * BATCH
    if kind in (0, 1):
        return lambda docs: docs.upsert(documents(BATCH, start=start + kind * BATCH))
    if kind == 2:
        edited = [cf.Document(f"d{n}", f"edited {text_of(n)}") for n in range(start + BATCH, start + 2 * BATCH)]
        return lambda docs: docs.upsert(edited)
    return lambda docs: docs.delete([f"d{n}" for n in range(start, start + BATCH)])


def after(operations: int) -> dict[str, str]:
    """Id → text of what is there after so many operations of that history."""
    texts: dict[str, str] = {}
    for number in range(operations):
        step, kind = divmod(number, 4)
        first = range(step * 2 * BATCH, step * 2 * BATCH + BATCH)
        second = range(first.stop, first.stop + BATCH)
        if kind == 3:
            for n in first:
                del texts[f"d{n}"]
        else:
            texts |= {f"d{n}": f"{'edited ' * (kind == 2)}{text_of(n)}" for n in (second if kind else first)}
    return texts


def turn(folder: str, first: str) -> None:
    """Cuts over to the blend, to the new version, and rolls back, without end, with a document written after each.

    It says which turns have returned.
    """
    with cf.Collection.open(folder, wrapped(*OLD), wrapped(*NEW)) as docs:
        fade = docs.migrate(wrapped(*NEW))
        say("ready")
        for number in itertools.count(int(first)):
            if docs.space == wrapped(*OLD).space:
                fade.cutover(serve="blend")
            elif fade.status().serve == "blend":
                fade.cutover(serve="new")
            else:
                docs.rollback()
            docs.upsert(cf.Document(f"turn{number}", f"written in turn {number}"))
            say("acknowledged", number)


def create(folder: str) -> None:
    """Makes collections 0.cf, 1.cf, … without end; says which ones are made."""
    say("ready")
    for number in itertools.count():
        cf.Collection.create(f"{folder}/{number}.cf", wrapped(*OLD)).close()
        say("acknowledged", number)


def write(folder: str, start: str, count: str) -> None:
    """Upserts documents in batches of 25, the first before it is told to go on; says which vector file it writes."""
    batches = range(int(start), int(start) + int(count), 25)
    with cf.Collection.open(folder, wrapped(*OLD)) as docs:
        docs.upsert(documents(25, start=batches[0]))
        say("ready")
        sys.stdin.readline()
        for position in batches[1:]:
            docs.upsert(documents(25, start=position))
        say("wrote", *(writer.file_id for writer in docs._store._writers._open.values()))


def serve(folder: str) -> None:
    """Answers queries, one a line, with ids, versions, documents, and segments searched; never reopens."""
    with cf.Collection.open(folder, wrapped(*OLD), wrapped(*NEW), read_only=True) as docs:
        say("ready")
        for query in sys.stdin:
            hits = docs.search(query.strip(), k=3)
            live = docs._store.snapshot().live
            answer = {"ids": hits.ids, "versions": sorted({hit.version for hit in hits}), "method": hits.method}
            say(json.dumps(answer | {"documents": len(docs), "segments": len(live._segments)}))


def fork(folder: str, count: str) -> None:
    """Forks at any moments while threads search, write and fill; every child uses what was opened before."""
    docs = cf.Collection.open(folder, wrapped(*OLD))
    docs.upsert(documents(BATCH))
    fade = docs.migrate(wrapped(*NEW))
    fade.run()  # whatever it imports: Python itself can't be forked while a thread imports
    written, over, pauses = [BATCH], threading.Event(), random.Random(7)

    def write_on() -> None:
        while not over.is_set():
            docs.upsert(documents(BATCH, start=written[0]))
            written[0] += BATCH

    def search_on() -> None:
        while not over.is_set():
            docs.search(text_of(1))

    def fill_on() -> None:
        while not over.is_set():
            fade.run()

    threads = [threading.Thread(target=work) for work in (write_on, search_on, fill_on)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(int(count)):
        time.sleep(pauses.uniform(0.0, 0.02))
        sure = written[0]
        children.append(os.fork())
        if children[-1] == 0:
            signal.alarm(30)
            os._exit(0 if use_inherited(docs, fade, sure, number) else 1)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    over.set()
    for thread in threads:
        thread.join()
    say("children", *codes)
    say("written", written[0])
    docs.close()


def build(folder: str) -> None:
    """Builds a segment without end, in a process that has forked a child; the child lives until it is told to end."""
    with sealing.only_builder(Path(folder)) as alone:
        if os.fork() == 0:
            sys.stdin.readline()
            os._exit(0)
        say("ready", alone)
        signal.pause()


def leave(folder: str) -> None:
    """Ends without closing its collection, while a segment is being built."""
    sealing.BACKPRESSURE = 1_000  # nobody waits for the builder before the end
    docs = cf.Collection.create(folder, wrapped(*OLD))
    docs.upsert(documents(8_000))
    say("ending")
    globals()["docs"] = docs  # it lives as long as the interpreter


def use_inherited(docs: cf.Collection, fade: cf.Migration, sure: int, number: int) -> bool:
    """Whether a forked child finds what its parent has written, and can search, write and fill."""
    found = [f"d{last}" in docs.search(text_of(last), k=100).ids for last in range(sure - 1, 0, -BATCH)]
    docs.upsert(documents(1, start=CHILDREN + number))
    done = fade.run(until=0.1).share >= 0.1
    found.append(f"d{CHILDREN + number}" in docs.search(text_of(CHILDREN + number), k=100).ids)
    docs.close()
    return done and all(found)


if __name__ == "__main__":
    sealing.TAIL_ROWS = TAIL_ROWS
    programs = (fill, die, fail, call, operate, turn, create, write, serve, fork, build, leave)
    {program.__name__: program for program in programs}[sys.argv[1]](*sys.argv[2:])

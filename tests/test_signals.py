"""Runs that are asked to end: Ctrl-C and SIGTERM at any moment, in real processes; what is left, and who goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import crossfade as cf
from crossfade.migration import fill
from crossfade.migration.stopping import Stop
from embedding_service import serving, slowly
from support import COUNT, NEW, Child, documents, filled, history, leased, require_intact, require_true_vectors, wrapped

DEADLINE = 5.0
# What a process ends with: SystemExit(143), and the interpreter's own way to end on KeyboardInterrupt.
CODES = {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT}
SIGNALS = pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)


def end(child: Child, *numbers: int, pause: float = 0.0) -> int:
    """Sends signals to a child; its exit code, if it has ended in time and died of nothing else."""
    started = time.monotonic()
    for number in numbers:
        child.process.send_signal(number)
        time.sleep(pause)
    try:
        child.process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        child.process.kill()
        pytest.fail(f"it was still there {DEADLINE} s after the signal")
    finally:
        child.rest()
    assert time.monotonic() - started < DEADLINE
    return child.process.returncode


def begun(folder: Path, lines: int, seconds: float) -> Child:
    """A child that fills, after so many batches, each of which takes so long."""
    child = Child("fill", folder, seconds)
    assert child.line() == "ready"
    child.tell("go")
    for _ in range(lines):
        assert child.line().startswith("embedding")
    return child


def require_resumable(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Nothing is held, nobody died, every counter is right, and another run does the rest."""
    require_intact(folder)
    assert leased(folder) == 0
    assert "worker died" not in [event for event, _ in history(folder)]
    with cf.Collection.open(folder, old) as docs:
        assert docs.migrate(new).run().share == 1.0
    require_true_vectors(folder, 2, new)


@SIGNALS
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_signal_at_any_moment(folder: Path, old: cf.Encoder, new: cf.Encoder, number: int, seed: int) -> None:
    """The process ends in time with its code; what it held is given back, what it has committed is there."""
    chance = random.Random(seed)
    filled(folder, old, 2_000).close()
    child = begun(folder, chance.randint(1, 12), 0.02)
    time.sleep(chance.uniform(0.0, 0.03))
    assert end(child, number) == CODES[number]
    require_resumable(folder, old, new)


@SIGNALS
def test_a_long_batch_is_dropped(folder: Path, old: cf.Encoder, new: cf.Encoder, number: int) -> None:
    """A batch that takes longer than a stop may is not waited for."""
    filled(folder, old, 150).close()
    assert end(begun(folder, 1, 60.0), number) == CODES[number]
    require_resumable(folder, old, new)


@SIGNALS
@pytest.mark.parametrize("pause", [0.0, 0.001, 0.02])
def test_a_second_signal_is_safe(folder: Path, old: cf.Encoder, new: cf.Encoder, number: int, pause: float) -> None:
    """It waits for nothing, and costs no more than a kill."""
    filled(folder, old, 1_000).close()
    code = end(begun(folder, 3, 0.01), number, number, number, pause=pause)
    assert code in (CODES[number], -number)
    require_intact(folder)
    with cf.Collection.open(folder, old) as docs:
        assert docs.migrate(new).run().done == 1_000
    require_true_vectors(folder, 2, new)


@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupted_end(folder: Path, times: int) -> None:
    """A program that is interrupted while the interpreter waits for the builder is not aborted inside of usearch."""
    child = Child("leave", folder)
    assert child.line() == "ending"
    time.sleep(0.03)
    assert end(child, *[signal.SIGINT] * times, pause=0.03) in (0, -signal.SIGINT)
    require_intact(folder)


@SIGNALS
def test_a_signal_while_the_encoder_is_down(folder: Path, old: cf.Encoder, new: cf.Encoder, number: int) -> None:
    """A worker that waits for its encoder to come back ends as well."""
    filled(folder, old, 150).close()
    child = Child("fail", folder)
    for _ in range(3):
        assert child.line().startswith("refused")
    assert end(child, number) == CODES[number]
    require_resumable(folder, old, new)


@SIGNALS
def test_a_signal_while_a_service_is_silent(folder: Path, old: cf.Encoder, number: int) -> None:
    """An answer that does not come is not waited for."""
    filled(folder, old, 150).close()
    with serving(48) as service:
        service.always = slowly(60.0)
        child = Child("call", folder, service.url)
        assert child.line() == "ready"
        while not service.seen:
            time.sleep(0.01)
        assert end(child, number) == CODES[number]
    require_intact(folder)
    assert leased(folder) == 0


def test_the_others_go_on(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Of three workers that share a migration one is terminated and one killed; the third ends it."""
    filled(folder, old, 1_500).close()
    with cf.Collection.open(folder, old) as docs:
        docs.migrate(new).fit()
    workers = [Child("fill", folder, 0.2) for _ in range(3)]
    assert [worker.line() for worker in workers] == ["ready"] * 3
    for worker in workers:
        worker.tell("go")
    assert all(worker.line().startswith("embedding") for worker in workers)
    assert end(workers[0], signal.SIGTERM) == 143
    workers[1].kill()
    lines = workers[2].rest()
    assert workers[2].process.returncode == 0
    embedded = Counter(text for line in lines if line.startswith("embedding") for text in line.split()[2:])
    assert set(embedded.values()) == {1}
    with cf.Collection.open(folder, old) as docs:
        assert docs.migration is not None
        status = docs.migration.status()
        assert (status.done, status.failed) == (1_500, 0)
    assert require_true_vectors(folder, 2, new) == 1_500


@SIGNALS
def test_the_command_ends_by_convention(folder: Path, l3: cf.Encoder, number: int) -> None:
    """`crossfade migrate` gives 130 or 143, says how to resume, and does."""
    with cf.Collection.create(folder, l3) as docs:
        texts = [document.text for document in documents(450)]
        docs.upsert([cf.Document(f"d{n}", f"{text} {texts[n - 1]} {n}") for n, text in enumerate(texts)])
    command = [sys.executable, "-c", "from crossfade.cli import main; main()"]
    words = ["migrate", str(folder), "--to", "minilm-l6", "--json"]
    pipe = subprocess.PIPE
    process = subprocess.Popen([*command, *words], stdout=pipe, stderr=pipe, text=True, env=dict(os.environ))
    assert process.stderr is not None
    while not process.stderr.readline().startswith("bridge:"):
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(number)
    started = time.monotonic()
    stdout, stderr = process.communicate(timeout=60)
    if not (stdout and process.returncode == 0):  # else it was faster than the signal
        assert time.monotonic() - started < DEADLINE
        assert (process.returncode, stdout) == (128 + number, ""), stderr
        assert f"Resume: crossfade migrate {folder} --to minilm-l6" in stderr
    require_intact(folder)
    assert leased(folder) == 0
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout)["done"] == 450


def test_a_programs_own_handlers_are_left_alone(docs: cf.Collection) -> None:
    """A service that handles SIGTERM itself goes on doing so during a run; usual handlers are put back after it."""
    seen: list[object] = []

    def mine(number: int, frame: object) -> None:
        seen.append(number)

    def ask(texts: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, mine)
    try:
        assert docs.migrate(wrapped(*NEW, before=ask)).run().done == COUNT
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    assert set(seen) == {signal.SIGTERM}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_is_held_back_and_raised_at_the_end() -> None:
    """In the middle of what must not be cut it only ends the run."""
    done: list[bool] = []

    def work() -> None:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(stop())

    with pytest.raises(SystemExit) as ended:
        work()
    assert (done, ended.value.code) == ([True], 143)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("earlier", [True, False])
def test_what_may_be_dropped_is_left_at_once(earlier: bool) -> None:
    """Also where the signal came before it was begun."""
    done: list[str] = []

    def work() -> None:
        with Stop() as stop:
            if earlier:
                os.kill(os.getpid(), signal.SIGINT)
            with stop.droppable():
                done.append("begun")
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ([] if earlier else ["begun"])


def test_an_error_does_not_swallow_a_signal() -> None:
    """Who wants to leave leaves, whatever fails meanwhile."""

    def work() -> None:
        with Stop():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError("of no interest now")

    with pytest.raises(SystemExit):
        work()


def test_a_stop_is_asked_no_more_once_it_has_said_so() -> None:
    """Also where its callable would say something else the next time."""
    answers = iter([False, True, False])
    stop = Stop(lambda: next(answers))
    assert [stop.over, stop(), stop(), stop(), stop.over] == [False, False, True, True, True]


@pytest.mark.parametrize("where", ["fit", "run"])
def test_runs_in_threads_handle_no_signals(docs: cf.Collection, new: cf.Encoder, where: str) -> None:
    """Only the main thread may; elsewhere a run works all the same."""
    fade = docs.migrate(new)
    work: Callable[[], object] = getattr(fade, where)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert fade.status().done >= min(COUNT, fill.BATCH)

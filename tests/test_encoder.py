"""Encoders of the real models: rows, order, batches, threads, and the texts that are refused."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.encoder import Encoder
from crossfade.encoder.batching import batches
from crossfade.encoder.cores import BACKGROUND_NICENESS, BULK_NICENESS, cpu_quota
from crossfade.encoder.runtime import NAME
from crossfade.errors import InvalidInput
from support import holds_in_a_child

MIXED = [
    "forgotten password",
    "How do I reset my password?",
    "The cat sat on the mat.",
    "東京は日本の首都です",
    "🙂 emoji and ﬁ ligatures, naïve café",
    "def f(x):\n    return x ** 2",
    "a",
    "word " * 300,
    *(f"document number {number} about rivers" + " and mountains" * number for number in range(16)),
]


@pytest.mark.parametrize("name", ["l3", "l6"])
def test_rows_are_unit_float32(name: str, request: pytest.FixtureRequest) -> None:
    """Rows are float32, contiguous, of length one, and close for texts of one meaning."""
    encoder: Encoder = request.getfixturevalue(name)
    rows = encoder.encode(MIXED)
    assert rows.dtype == np.float32
    assert rows.shape == (len(MIXED), 384)
    assert rows.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert rows[0] @ rows[1] > 0.5 > rows[0] @ rows[2] + 0.3


def test_known_values(l3: Encoder, l6: Encoder) -> None:
    """The first numbers of a row, and the fingerprints, are those recorded when the reference was compared."""
    np.testing.assert_allclose(l6.encode(["hello world"])[0, :3], [-0.0344773, 0.0310232, 0.0067350], atol=1e-5)
    np.testing.assert_allclose(l3.encode(["hello world"])[0, :3], [-0.0150788, 0.0244321, 0.0510938], atol=1e-5)
    assert (l6.space.dim, l6.space.max_tokens, l6.space.pooling) == (384, 256, "mean")
    assert l6.space.fingerprint != l3.space.fingerprint


def test_no_texts_give_no_rows(l3: Encoder) -> None:
    """An empty list gives an array of no rows with the model's columns."""
    rows = l3.encode([])
    assert rows.shape == (0, 384)
    assert rows.dtype == np.float32


@pytest.mark.parametrize("name", ["l3", "l6"])
def test_a_row_does_not_depend_on_its_neighbours(name: str, request: pytest.FixtureRequest) -> None:
    """A text alone, among others of any length, and in any order has the same row within 1e-5."""
    encoder: Encoder = request.getfixturevalue(name)
    together = encoder.encode(MIXED)
    alone = np.concatenate([encoder.encode([text]) for text in MIXED[:12]])
    np.testing.assert_allclose(together[:12], alone, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(MIXED))
    np.testing.assert_allclose(encoder.encode([MIXED[index] for index in order]), together[order], atol=1e-5)


def test_rows_do_not_depend_on_threads(l3: Encoder) -> None:
    """One core or three give the same bits."""
    for threads in (1, 3):
        encoder = Encoder.load("minilm-l3", threads=threads, precision="float32", engine="onnxruntime")
        assert encoder.engine["threads"] == threads
        np.testing.assert_array_equal(encoder.encode(MIXED), l3.encode(MIXED))


def test_text_beyond_256_tokens_has_no_influence(l3: Encoder) -> None:
    """Texts are cut at 256 tokens, though the tokenizer's file says 128."""
    base = "river " * 200
    first, second, third = l3.encode([base + "x " * 54 + "a", base + "x " * 54 + "b c d", base + "x " * 20])
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert np.abs(first - third).max() > 1e-3
    assert l3.count_tokens([base, base * 2, "river"]).tolist() == [202, 256, 3]


def test_a_huge_text_is_quick(l3: Encoder) -> None:
    """A hundred megabytes take no longer than their check; what is cut off has no influence."""
    start = time.perf_counter()
    rows = l3.encode(["river " * 17_000_000, " " * 1_000_000 + "river " * 400, "river " * 400])
    assert time.perf_counter() - start < 5
    np.testing.assert_allclose(rows, rows[[2, 2, 2]], atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("", "text 1 is empty"),
        (" \t\n", "text 1 is empty"),
        ("\x00\x01", "text 1 has no tokens"),
        ("lone \ud800 surrogate", "text 1 must be valid Unicode.*character 5"),
        (None, "text 1 must be a string, got NoneType"),
        (b"bytes", "text 1 must be a string, got bytes"),
        (1.5, "text 1 must be a string, got float"),
    ],
)
def test_unusable_texts_are_refused_by_index(l3: Encoder, bad: object, message: str) -> None:
    """What has no meaning to encode is refused with its place, as document and as query."""
    for kind in ("document", "query"):
        with pytest.raises(InvalidInput, match=message):
            l3.encode(["fine", bad, "fine"], kind)  # type: ignore[list-item, arg-type]


def test_index_counts_from_the_first_text_of_the_call(l3: Encoder) -> None:
    """A text that gives no token is named by its place in the whole call."""
    with pytest.raises(InvalidInput, match="text 1300 "):
        l3.count_tokens(["fine"] * 1300 + ["\x00"])


def test_arguments_are_checked(l3: Encoder) -> None:
    """A single text and an unknown kind are refused."""
    with pytest.raises(InvalidInput, match="put it in a list"):
        l3.encode("text")
    with pytest.raises(InvalidInput, match="one of document, query, got 'passage'"):
        l3.encode(["text"], "passage")  # type: ignore[arg-type]


def test_progress_reaches_the_last_text(l3: Encoder) -> None:
    """Progress is called in the calling thread, only grows, and ends at the number of texts."""
    seen: list[int] = []
    threads: set[int] = set()

    def progress(done: int) -> None:
        seen.append(done)
        threads.add(threading.get_ident())

    l3.encode(MIXED, progress=progress)
    assert seen == sorted(set(seen))
    assert seen[-1] == len(MIXED)
    assert len(seen) > 1
    assert threads == {threading.get_ident()}


def test_an_error_in_progress_ends_the_call(l3: Encoder) -> None:
    """What a progress callback raises comes out as it is, and the encoder goes on working."""

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        l3.encode(MIXED, progress=stop)
    assert l3.encode(["river"]).shape == (1, 384)


def test_queries_are_answered_while_documents_are_encoded(l3: Encoder) -> None:
    """Threads encode at the same time, each with the rows it would get alone; no query waits for the fill to end."""
    alone = l3.encode(MIXED[:8], "query")
    filling = threading.Event()
    finished: list[float] = []

    def fill() -> None:
        l3.encode(MIXED * 8, progress=lambda done: filling.set())
        finished.append(time.perf_counter())

    worker = threading.Thread(target=fill)
    worker.start()
    assert filling.wait(30)
    rows = np.concatenate([l3.encode([text], "query") for text in MIXED[:3]])
    answered = time.perf_counter()
    worker.join()
    assert answered < finished[0]
    np.testing.assert_allclose(rows, alone[:3], atol=1e-5)


def test_a_forked_child_ends() -> None:
    """A child that was forked from a process with the engines ends by itself; nothing in them reports to anybody."""
    program = (
        "import os, sys, crossfade.encoder\nchild = os.fork()\nsys.exit(0 if child == 0 else os.waitpid(child, 0)[1])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, timeout=60)
    assert done.returncode == 0


def test_a_forked_child_can_encode(l3: Encoder) -> None:
    """After a fork the child gives the same rows: it waits for no thread that the fork has lost."""
    expected = l3.encode(MIXED[:4])
    l3.encode(MIXED)
    assert holds_in_a_child(lambda: np.allclose(l3.encode(MIXED)[:4], expected, atol=1e-5))


def test_a_pulled_folder_is_the_same_model(l6: Encoder) -> None:
    """The files of a named model, copied anywhere, are the same Space."""
    from crossfade.encoder import pull

    folder = pull("minilm-l6")
    again = Encoder.load(folder)
    assert again.space.fingerprint == l6.space.fingerprint
    assert (l6.name, again.name) == ("minilm-l6", str(folder))


def test_arithmetic_of_the_caller_is_left_alone(l3: Encoder) -> None:
    """Encoding doesn't switch the processor to rounding subnormal numbers to zero, for this thread or any other."""
    smallest = np.array([np.finfo(np.float64).smallest_subnormal])
    l3.encode(MIXED)
    assert (smallest * 1.0 > 0).all()


def test_engine_says_what_computed(l6: Encoder) -> None:
    """Engine, version, precision and threads are recorded; changing the answer does not change the encoder."""
    engine = l6.engine
    assert engine["engine"] == "onnxruntime"
    assert engine["precision"] == "float32"
    assert 1 <= engine["threads"] <= len(os.sched_getaffinity(0))
    engine.clear()
    assert l6.engine["engine"] == "onnxruntime"


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000", None),
        ("200000 100000\n", 2),
        ("50000 100000", 1),
        ("250000 100000", 3),
        ("", None),
        ("1 0", None),
    ],
)
def test_cpu_quota_is_read(text: str, cores: int | None) -> None:
    """A control group's quota counts in whole cores, rounded up; what can't be read is no limit."""
    assert cpu_quota(text) == cores


@given(st.lists(st.integers(1, 256), max_size=200), st.integers(8, 4096), st.sampled_from([1, 8, 16]))
def test_batches_hold_every_text_once(lengths: list[int], budget: int, step: int) -> None:
    """Every text is in exactly one batch, those of a batch differ by less than the step, none of two is too large."""
    made = batches(lengths, budget, step)
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    rounded = [{-(-lengths[index] // step) * step for index in batch} for batch in made]
    assert all(len(length) == 1 for length in rounded)
    longest = [length.pop() for length in rounded]
    assert longest == sorted(longest, reverse=True)
    assert all(len(batch) == 1 or len(batch) * length <= budget for batch, length in zip(made, longest, strict=True))


def test_background_calls_keep_to_their_cores(l3: Encoder) -> None:
    """A call in the background gives the same rows from no more threads than it may use, which all let others go
    first, even for a single text.
    """
    texts = [f"text number {number} " + "of many words " * (number % 20) for number in range(200)]
    expected = l3.encode(texts)
    with watched_threads() as seen:
        np.testing.assert_allclose(l3.encode(texts, threads=1), expected, atol=1e-6)
        np.testing.assert_allclose(l3.encode(texts[:1], threads=1), expected[:1], atol=1e-6)
    assert {count for count, _ in seen} == {1}
    assert {niceness for _, niceness in seen} <= {os.getpriority(os.PRIO_PROCESS, 0), BACKGROUND_NICENESS}
    assert BACKGROUND_NICENESS in {niceness for _, niceness in seen}


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2"])
def test_threads_must_be_a_positive_number(l3: Encoder, threads: object) -> None:
    """Anything else is refused, by `load` before it reads the model and by `encode` before it looks at a text."""
    with pytest.raises(InvalidInput, match="threads must be a positive number"):
        l3.encode(["a river"], threads=threads)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="threads must be a positive number"):
        Encoder.load("minilm-l3", threads=threads)  # type: ignore[arg-type]


@contextlib.contextmanager
def watched_threads() -> Iterator[set[tuple[int, int]]]:
    """How many threads that encode there were at any time, each with the niceness of one of them."""
    seen: set[tuple[int, int]] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            ours = [it for it in threading.enumerate() if it.name.startswith(NAME) and it.native_id]
            for thread in ours:
                with contextlib.suppress(OSError):
                    seen.add((len(ours), os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)))
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def test_long_calls_step_back_and_leave_the_caller_alone(l3: Encoder) -> None:
    """Threads that work through many documents are nicer than the caller, whose own priority stays."""
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with watched_threads() as seen:
        l3.encode([f"text number {number} " + "of many words " * 20 for number in range(200)])
    assert BULK_NICENESS in {niceness for _, niceness in seen}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before

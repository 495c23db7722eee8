"""The sample: a few documents embedded with the new model, once, for all that needs its vectors.

It is the beginning of the order that a migration's fit takes its documents from, so that it can be kept as its first
part; and it is the part of a comparison's documents that is chosen by chance. It is embedded in the batches of a fill
and timed, so that a fill's time can be told from it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfade._uniform import Keys, in_order
from crossfade._values import count_of
from crossfade.catalog import documents
from crossfade.encoder import Encoder, Spent, usable_cores
from crossfade.errors import InvalidInput, NotReady
from crossfade.space import Space
from crossfade.store import Store

from .sizes import Sizes, sizes_of

DOCUMENTS = 512
BATCH = 64  # as a fill's
LARGEST = 1_000_000

Rows = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Batch:
    """What some documents took to embed, as a fill does it.

    Args:
        texts: How many distinct ones.
        tokens: Of all of them, as the model's tokenizer counts, or as estimated from the characters where it has none.
        seconds: By the clock.
        cpu_seconds: Of all cores of this process.
        paid_tokens: As a service counted them; 0 for other encoders.
    """

    texts: int
    tokens: int
    seconds: float
    cpu_seconds: float
    paid_tokens: int


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Documents with their rows in both Spaces.

    Args:
        population: Documents of the collection.
        source, target: The Spaces of the live version and of the new model.
        keys: Of the documents `(n,)`, uint64, in the uniform order of `seed`.
        contents: Their texts.
        old: Their rows in the live version `(n, d1)`, float32.
        new: Their rows by the new model `(n, d2)`, float32.
        sizes: Of their texts, for the new model.
        refused: Documents of the beginning of the order that the new model could not take.
        batches: What they took; without those in which a document was refused.
        spent: What a service took for them; None for other encoders.
        seed: Of the order.
    """

    population: int
    source: Space
    target: Space
    keys: Keys
    contents: tuple[str, ...]
    old: Rows
    new: Rows
    sizes: Sizes
    refused: int
    batches: tuple[Batch, ...]
    spent: Spent | None
    seed: int

    def __len__(self) -> int:
        return len(self.keys)

    def cost(self) -> dict[str, Any]:
        """What it took, as plain values: documents, refused ones, tokens, seconds, and a service's tokens and money."""
        return {
            "documents": len(self),
            "population": self.population,
            "refused": self.refused,
            "seed": self.seed,
            "tokens": int(self.sizes.tokens.sum()),
            "seconds": sum(batch.seconds for batch in self.batches),
            "spent": dataclasses.asdict(self.spent) if self.spent else None,
        }


def draw(
    store: Store,
    encoder: Encoder,
    *,
    most: int = DOCUMENTS,
    seed: int = 0,
    cores: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sample:
    """Embeds a uniform sample of the documents; nothing is written.

    Args:
        store: The collection's.
        encoder: The new model's.
        most: Documents at most.
        seed: Of the order; a migration's fit with the same one begins with the same documents.
        cores: As of a fill; None for all.
        progress: Called with (documents done, documents to do).

    Raises:
        InvalidInput: `most` is no number from 1 on.
        NotReady: No document has a vector yet, or the new model can take none of them.
        EncodingFailed, SpendLimitReached: As from `encode`.
    """
    count_of(most, "most", LARGEST)
    snapshot = store.snapshot()
    with store.reading() as connection:
        keys = in_order(documents.all_keys(connection), seed)
        chosen = keys[snapshot.live.has(keys)][:most]
        found = documents.fetch(connection, chosen.tolist())
    if not len(chosen):
        raise NotReady("the collection has no document with a vector, so that there is nothing to assess; add some")
    taken = _Embedded(encoder, cores or usable_cores())
    contents = [found[key].content for key in chosen.tolist()]
    for start in range(0, len(contents), BATCH):
        taken.add(contents[start : start + BATCH])
        if progress:
            progress(min(start + BATCH, len(contents)), len(contents))
    good = np.array(taken.good, np.bool_)
    if not good.any():
        raise NotReady(f"{encoder!r} can't embed any of {len(contents)} documents of the collection; try another one")
    kept = tuple(content for content, is_good in zip(contents, taken.good, strict=True) if is_good)
    return Sample(
        population=len(keys),
        source=snapshot.state.live_version.space,
        target=encoder.space,
        keys=chosen[good],
        contents=kept,
        old=snapshot.live.gather(chosen[good]),
        new=np.concatenate(taken.rows),
        sizes=sizes_of(encoder, kept),
        refused=int((~good).sum()),
        batches=tuple(taken.batches),
        spent=taken.spent(),
        seed=seed,
    )


def stored(
    store: Store,
    encoder: Encoder,
    number: int,
    keys: Keys,
    *,
    batches: Sequence[Batch],
    spent: Spent | None,
    seed: int,
) -> Sample:
    """A sample of documents that a version has the new vectors of already; those without are counted as refused.

    Args:
        store: The collection's.
        encoder: The new model's.
        number: The version's.
        keys: The documents, a uniform sample, uint64.
        batches: What they took.
        spent: What a service took for them; None for other encoders.
        seed: Of the order.

    Raises:
        NotReady: None of them has both vectors.
    """
    snapshot = store.snapshot()
    live, target = snapshot.live, snapshot.indices[number]
    there = keys[live.has(keys) & target.has(keys)]
    with store.reading() as connection:
        population = len(documents.all_keys(connection))
        found = documents.fetch(connection, there.tolist())
    there = np.array([key for key in there.tolist() if key in found], np.uint64)
    if not len(there):
        raise NotReady("no document has a vector of both models yet, so that there is nothing to assess")
    contents = tuple(found[key].content for key in there.tolist())
    return Sample(
        population=population,
        source=snapshot.state.live_version.space,
        target=encoder.space,
        keys=there,
        contents=contents,
        old=live.gather(there),
        new=target.gather(there),
        sizes=sizes_of(encoder, contents),
        refused=len(keys) - len(there),
        batches=tuple(batches),
        spent=spent,
        seed=seed,
    )


def embedded(
    encoder: Encoder,
    contents: Sequence[str],
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Rows of documents' texts, and which of the texts have one: where one is refused, the others are taken in halves.

    Raises:
        EncodingFailed, SpendLimitReached: As from `encode`.
    """
    try:
        return encoder.encode(contents, progress=progress, threads=threads), np.ones(len(contents), np.bool_)
    except InvalidInput:
        if len(contents) == 1:
            return np.empty((0, encoder.space.dim), np.float32), np.zeros(1, np.bool_)
    half = len(contents) // 2
    parts = [embedded(encoder, part, threads=threads) for part in (contents[:half], contents[half:])]
    rows, good = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(good)


def spent_since(encoder: Encoder, before: Spent | None) -> Spent | None:
    """What a service took since; None for other encoders."""
    now = encoder.spent
    if now is None or before is None:
        return None
    money = None if now.money is None or before.money is None else now.money - before.money
    return Spent(now.requests - before.requests, now.tokens - before.tokens, money)


def paid_tokens(encoder: Encoder) -> int:
    """Tokens that a service has counted so far; 0 for other encoders."""
    return encoder.spent.tokens if encoder.spent else 0


class _Embedded:
    """Texts embedded batch by batch, and what that took."""

    def __init__(self, encoder: Encoder, cores: int) -> None:
        self._encoder = encoder
        self._cores = cores
        self._before = encoder.spent
        self.rows: list[Rows] = []
        self.good: list[bool] = []
        self.batches: list[Batch] = []

    def add(self, contents: Sequence[str]) -> None:
        if not self.good and self._before is None:  # engines get ready with their first text
            embedded(self._encoder, contents[:1], threads=self._cores)
        paid, clock, cpu = paid_tokens(self._encoder), time.perf_counter(), time.process_time()
        try:
            rows = self._encoder.encode(contents, threads=self._cores)
        except InvalidInput:
            each, good = embedded(self._encoder, contents, threads=self._cores)
            self.rows.append(each)
            self.good += good.tolist()
            return
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
        distinct = list(dict.fromkeys(contents))
        tokens = int(sizes_of(self._encoder, distinct).tokens.sum())
        self.batches.append(Batch(len(distinct), tokens, seconds, cpu_seconds, paid_tokens(self._encoder) - paid))
        self.rows.append(rows)
        self.good += [True] * len(contents)

    def spent(self) -> Spent | None:
        return spent_since(self._encoder, self._before)

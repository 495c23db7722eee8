"""Is an engine as good as float32 on this machine, and how fast? Measured on texts that come with crossfade."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from crossfade.kernels import normalize

from .batching import Ids
from .rows import Rows
from .runtime import Runtime

LEAST_MEAN, LEAST, MOST_DRIFT = 0.999, 0.995, 1e-3
ROUNDS = 2
# Different scripts, registers and lengths; texts of up to 250 tokens are made by joining several.
SENTENCES = (
    "The river rose two metres in a night.",
    "Which bearings fit a 1987 touring bicycle?",
    "The court held that the notice had not been served in time, so that the claim could not be struck out.",
    "Patients given the higher dose (40 mg) recovered 1.8 days earlier; 95 % interval 0.9 to 2.7 days, n = 412.",
    "def area(radius): return 3.14159 * radius ** 2  # square metres",
    "Der Zug nach Bremen fährt heute von Gleis 7 ab, nicht wie angekündigt von Gleis 3.",
    "La receta lleva dos huevos, una taza de harina y la piel rallada de un limón.",
    "古い橋は来年の春まで修理のため通行止めになります。",
    "Отчёт отправлен в бухгалтерию, ответ ожидается до пятницы.",
    "ok thx 👍 see u at 7 🎉",
    "Error 0x80070057 appears when the backup target is a network share without write permission.",
    "Laminar flow over a flat plate becomes unstable once disturbances of a certain wavelength are no longer damped.",
    "She kept the letters in a biscuit tin, sorted by the colour of their stamps.",
    "Returns are accepted within 30 days if the seal of the box is unbroken.",
    "A hash table answers in constant time on average, a balanced tree in logarithmic time at worst.",
    "Sea ice in the strait was thinner than in any March since measurements began.",
)
LENGTHS = (1, 1, 3, 1, 12, 2, 1, 6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How an engine's rows compare with those of float32, and its pace.

    Args:
        mean: Mean of the cosines.
        least: The smallest.
        drift: Largest cosine distance between a text's row alone and among others.
        seconds: What the texts took, the best of two times.
        error: Why there are no rows to compare, if there are none.
    """

    mean: float = 0.0
    least: float = 0.0
    drift: float = 1.0
    seconds: float = 0.0
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether its rows may stand beside those of float32."""
        return self.mean >= LEAST_MEAN and self.least >= LEAST and self.drift <= MOST_DRIFT

    def __str__(self) -> str:
        return (
            self.error or f"cosine to float32: mean {self.mean:.5f}, least {self.least:.5f}; by batch: {self.drift:.1e}"
        )


def sample_texts() -> list[str]:
    """Texts of about 10 to 250 tokens."""
    count = len(SENTENCES)
    return [
        " ".join(SENTENCES[(start + step) % count] for step in range(LENGTHS[start % len(LENGTHS)]))
        for start in range(count)
    ]


def compare(runtimes: Sequence[Runtime], rows: Sequence[Rows], ids: Sequence[Ids]) -> list[Fidelity]:
    """The fidelity of each to the first, which is float32; they take turns.

    Args:
        runtimes: What is compared.
        rows: What each made of the texts.
        ids: Token ids of these texts.
    """
    alone = [np.concatenate([runtime.run([text]) for text in ids]) for runtime in runtimes]
    seconds = [[_timed(runtime, ids) for runtime in runtimes] for _ in range(ROUNDS)]
    best = np.min(seconds, axis=0)
    return [_fidelity(made, rows[0], single, float(pace)) for made, single, pace in zip(rows, alone, best, strict=True)]


def _fidelity(rows: Rows, reference: Rows, alone: Rows, seconds: float) -> Fidelity:
    ours, theirs, single = map(_unit, (rows, reference, alone))
    cosines = np.sum(ours * theirs, axis=1)
    drift = 1 - np.sum(ours * single, axis=1)
    return Fidelity(mean=float(cosines.mean()), least=float(cosines.min()), drift=float(drift.max()), seconds=seconds)


def _unit(rows: Rows) -> Rows:
    """Rows at unit length; those that have no direction become zeros, which no row is like."""
    return normalize(rows, bad=np.zeros(len(rows), dtype=np.bool_))


def _timed(runtime: Runtime, ids: Sequence[Ids]) -> float:
    began = time.perf_counter()
    runtime.run(ids)
    return time.perf_counter() - began

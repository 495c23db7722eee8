"""A contender's line of figures, as `bench.encoding` prints it and docs/encoding.md shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HEADER = (
    "contender",
    "documents/s",
    "tokens/s",
    "crossfade is faster",
    "query alone p50 / p99",
    "memory above the model",
    "cosine mean / p1 / min",
    "recall@10",
    "invariance",
    "gate",
)


def line(result: dict[str, Any], ours: dict[str, Any]) -> str:
    return " | ".join(cells(result, ours))


def cells(result: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    """One text for each column of `HEADER`; the ratio is how many times faster than the contender ours is."""
    few = "" if result.get("documents") == ours["documents"] else f" ({result.get('documents')} documents)"
    yield result["name"] + ("" if "not_available" in result else few)
    if "not_available" in result:
        yield f"not available: {result['not_available']}"
        yield from [""] * (len(HEADER) - 2)
        return
    yield f"{result['documents_per_second']:.1f}"
    yield f"{result['tokens_per_second']:,.0f}"
    # By tokens, for a slow contender has fewer documents than ours.
    yield f"{ours['tokens_per_second'] / result['tokens_per_second']:.2f}×" if result is not ours else "–"
    yield f"{result['latency_p50'] * 1e3:.1f} / {result['latency_p99'] * 1e3:.1f} ms"
    yield f"{result['peak'] / 1e6:,.0f} MB"
    figures = result.get("fidelity")
    if figures is None:
        yield from [""] * 4
        return
    yield " / ".join(f"{figures[name]:.6f}" for name in ("cosine_mean", "cosine_p1", "cosine_min"))
    yield f"{figures['recall']:.4f}"
    yield f"{figures['invariance']:.0e}"
    yield "passed" if figures["passed"] else "failed"

"""Why a kernel misses a figure, said with the numbers of the run itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Report = dict[str, Any]
Cases = list[dict[str, Any]]


def share(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def of_ceiling(cases: Cases) -> str:
    return share([case["of_ceiling"] for case in cases])


def memory(report: Report, cases: Cases) -> str:
    peers = share([max(case["ratios"].get("faiss", 0.0), case["ratios"].get("copy", 0.0)) for case in cases])
    beside = "" if peers == "0.00" else f", {peers} of faiss' speed or a copy's"
    return (
        f"Memory. Every byte is read and written once, at {of_ceiling(cases)} of what a plain copy of 2 GiB moves a "
        f"second{beside}; NumPy's idiom is slower by no more than the bytes it moves in excess of that."
    )


def narrowing(report: Report, cases: Cases) -> str:
    return (
        f"Memory and conversion: a pass at {of_ceiling(cases)} of the copy. NumPy's two steps are slower by the "
        f"bytes they "
        "move in excess, and for bfloat16 by little else, since ml_dtypes converts it fast."
    )


def float32(report: Report, cases: Cases) -> str:
    product = share([it["numpy product"] / it["float32"] for it in report["ceilings"].values()])
    return (
        f"Arithmetic. Ours, norms included, is at {of_ceiling(cases)} of what the units can do in a loop of "
        f"multiply-adds in "
        f"registers; NumPy's product of 2048³ alone reaches {product} of it. What is left to gain is its "
        f"separate pass for "
        "the norms, which weighs less the deeper the matrix."
    )


def bfloat16(report: Report, cases: Cases) -> str:
    level = report["machine"]["instruction_set"]
    faster = share([it["bfloat16"] / it["float32"] for it in report["ceilings"].values()])
    return (
        f"Arithmetic. The figures are asked of AMX; the fastest instructions here ({level}) do {faster} times as many "
        f"bfloat16 multiply-adds as float32 ones. Ours is at {of_ceiling(cases)} of that."
    )


def query(report: Report, cases: Cases) -> str:
    rates = share([case["bytes"] / case["median_seconds"]["crossfade"] / 1e9 for case in cases])
    return (
        f"The matrix has to be read: it comes from the caches at {rates} GB/s, and NumPy reads it about as "
        f"fast. A float16 "
        "matrix is half as much to read; where it fits the second-level cache, which 768 dims do in 2 MB but "
        "not in less, "
        "that decides."
    )


def merge(report: Report, cases: Cases) -> str:
    return (
        "Each place waits for the one before it: which list it was taken from decides what is compared next. faiss "
        "does the same without looking for keys that come twice."
    )


def rescore(report: Report, cases: Cases) -> str:
    return "Rows at random addresses: the latency of memory, hidden as far as asking ahead goes."


def covariance(report: Report, cases: Cases) -> str:
    return (
        f"Arithmetic, at {of_ceiling(cases)} of the multiply-adds that the units can do: NumPy's float64 does "
        f"half as many, "
        "so that twice its speed is all there is where its product is near that ceiling too."
    )


# The beginning of a kernel's name → what keeps it from a figure that was asked for.
LIMITS: dict[str, Callable[[Report, Cases], str]] = {
    "normalize, in place": memory,
    "normalize, out=": memory,
    "normalize to": narrowing,
    "project, float32": float32,
    "project, bfloat16": bfloat16,
    "project one query": query,
    "merge_topk": merge,
    "rescore": rescore,
    "covariance": covariance,
    "cross-covariance": covariance,
}

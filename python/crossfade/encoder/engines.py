"""The engines that can run a model, and in which precisions."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, Protocol

import onnxruntime

from .batching import Ids
from .graph import IDS, MASK, Graph, GraphBuilder
from .int8 import Int8Builder
from .ort import OrtSession
from .ov import OvSession, is_barred
from .rows import Rows

Precision = Literal["auto", "float32", "bf16", "int8"]
EngineName = Literal["auto", "onnxruntime", "openvino", "cuda", "migraphx", "directml"]

_FLAGS = Path("/proc/cpuinfo")


class Session(Protocol):
    """A model that is loaded, safe to run from any number of threads."""

    def run(self, ids: Ids, mask: Ids) -> Rows: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """A way to run a model.

    Args:
        name: What `Encoder.load` takes.
        precision: Of its products.
        package: The distribution that brings it.
        library: The module that must be importable.
        provider: Execution provider that onnxruntime must list; "" for none.
        builder: Starts a graph for it.
        open: From graph, cores and runs at a time to a session that shares these cores between the runs.
        tokens: Padded tokens of a run.
        step: What lengths are rounded up to; 1 for no padding.
        streams: Whether several runs at a time, a core each, are faster than one run on all.
        own_threads: Whether several runs at a time are made by threads of a session's own, not by those who call.
        flags: Where the processor has none of these, the engine is slower than float32 and not tried unasked.
    """

    name: str
    precision: str
    package: str
    library: str
    provider: str = ""
    builder: Callable[[], GraphBuilder]
    open: Callable[[Graph, int, int], Session]
    tokens: int
    step: int
    streams: bool = True
    own_threads: bool = False
    flags: Collection[str] = ()

    @property
    def label(self) -> str:
        """Name and precision.

        Example:
            >>> REFERENCE.label
            'onnxruntime float32'
        """
        return f"{self.name} {self.precision}"

    @property
    def version(self) -> str:
        """Of the package that brings it."""
        return importlib.metadata.version(self.package)

    def missing(self) -> str:
        """What keeps it from running here; "" for nothing."""
        if importlib.util.find_spec(self.library) is None:
            return f"it needs the package {self.library}: pip install 'crossfade[{self.name}]'"
        if self.provider and self.provider not in onnxruntime.get_available_providers():
            return f"onnxruntime lists no {self.provider}; install the build of onnxruntime that has it"
        return ""

    def promising(self, flags: Collection[str]) -> bool:
        """Whether it may be faster than float32 on a processor with these flags."""
        return not self.flags or not set(self.flags).isdisjoint(flags)


def _ort(graph: Graph, cores: int, streams: int) -> Session:
    return OrtSession(graph, max(1, cores // streams))


def _on_card(provider: str) -> Callable[[Graph, int, int], Session]:
    return lambda graph, cores, streams: OrtSession(graph, cores, provider)


def _ov(precision: str) -> Callable[[Graph, int, int], Session]:
    def opened(graph: Graph, cores: int, streams: int) -> Session:
        return _ort(graph, cores, streams) if is_barred() else OvSession(graph, cores, streams, precision)

    return opened


def _unpadded() -> GraphBuilder:
    return GraphBuilder(IDS)


def _padded() -> GraphBuilder:
    return GraphBuilder(IDS, MASK)


# 384 tokens: measured with MiniLM-L6 on a core with AVX2 and 512 KB of second-level cache. From 256 to 1,024 the pace
# is the same, at 2,048 it is a tenth less, and a query waits for one run at most. OpenVINO prepares code for every new
# shape, hence its step, and in bf16 its runs are so short that small ones are mostly overhead.
REFERENCE = Engine(
    name="onnxruntime",
    precision="float32",
    package="onnxruntime",
    library="onnxruntime",
    builder=_unpadded,
    open=_ort,
    tokens=384,
    step=1,
)
_CARDS = {"cuda": "CUDAExecutionProvider", "migraphx": "MIGraphXExecutionProvider", "directml": "DmlExecutionProvider"}
ENGINES = (
    REFERENCE,
    dataclasses.replace(
        REFERENCE,
        precision="int8",
        builder=lambda: Int8Builder(IDS),
        flags=("avx512_vnni", "avx_vnni", "amx_int8", "asimddp"),
    ),
    *(
        Engine(
            name="openvino",
            precision=precision,
            package="openvino",
            library="openvino",
            builder=_padded,
            open=_ov(precision),
            tokens=2_048 if precision == "bf16" else 256,
            step=16,
            own_threads=True,
            flags=flags,
        )
        for precision, flags in (("float32", ()), ("bf16", ("amx_bf16", "avx512_bf16")))
    ),
    *(
        Engine(
            name=name,
            precision="float32",
            package="onnxruntime",
            library="onnxruntime",
            provider=provider,
            builder=_padded,
            open=_on_card(provider),
            tokens=16_384,
            step=8,
            streams=False,
        )
        for name, provider in _CARDS.items()
    ),
)


def processor() -> dict[str, str]:
    """Model name and flags of the first processor, as Linux tells them; empty where it doesn't."""
    try:
        lines = _FLAGS.read_text().splitlines()
    except OSError:
        return {}
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    return {"name": fields.get("model name", ""), "flags": fields.get("flags", fields.get("Features", ""))}

"""OpenVINO: a model compiled for the processor, in the precision that is asked for."""

from __future__ import annotations

import functools
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from crossfade._forks import lock
from crossfade.errors import EncodingFailed, EngineUnavailable, ModelDamaged

from .batching import Ids
from .graph import Graph, single_file
from .rows import Rows

if TYPE_CHECKING:
    import openvino

# A hint is a wish: what comes of it is asked afterwards.
HINTS = {"float32": "f32", "bf16": "bf16"}
# Code is prepared for every shape and kept, here of the latest ones only: else a long fill, which sees many, would hold
# hundreds of megabytes more. To prepare it anew takes no time that could be measured beside a run.
_SHAPES_KEPT = 20
_CODE_KEPT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"}  # read from the environment, once


class OvSession:
    """A compiled model; safe to run from any number of threads.

    Args:
        graph: What runs.
        cores: Cores that all runs together use.
        streams: Runs at a time, which share the cores.
        precision: "float32" or "bf16".

    Raises:
        ModelDamaged: The graph can't be compiled.
        EngineUnavailable: The processor can't compute in that precision.
    """

    def __init__(self, graph: Graph, cores: int, streams: int, precision: str) -> None:
        weakref.finalize(self, _count).atexit = False
        hints = {
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "CPU_RUNTIME_CACHE_CAPACITY": _SHAPES_KEPT,
            "ENABLE_CPU_PINNING": False,  # several processes, and queries beside a long call, share the cores
        }
        try:
            with _opening:
                core = _core()
            self._compiled = core.compile_model(core.read_model(single_file(graph)), "CPU", hints)
            hint = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        except Exception as error:  # openvino's own exceptions have no common base but this
            raise ModelDamaged(f"OpenVINO can't compile the model: {error}") from error
        if hint != HINTS[precision]:
            raise EngineUnavailable(f"OpenVINO computes in {hint} on this processor, not in {HINTS[precision]}")
        self._inputs = graph.inputs
        self._idle: list[openvino.InferRequest] = []

    def run(self, ids: Ids, mask: Ids) -> Rows:
        """Rows `(n, dim)` of a batch, int64 `(n, tokens)`.

        Raises:
            EncodingFailed: OpenVINO failed.
        """
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            outputs: Any = request.infer(dict(zip(self._inputs, (ids, mask), strict=False)), share_inputs=True)
            rows = np.array(outputs[0], dtype=np.float32)
        except Exception as error:  # openvino's own exceptions have no common base but this
            n, length = ids.shape
            raise EncodingFailed(f"OpenVINO failed on {n} texts of {length} tokens: {error}") from error
        self._idle.append(request)
        return rows


@functools.cache
def _core() -> openvino.Core:
    """OpenVINO's one entry, kept for good: where 2026.4 was freed, Ctrl-C ended the process or was lost."""
    for name, value in _CODE_KEPT.items():
        os.environ.setdefault(name, value)
    import openvino

    os.register_at_fork(after_in_child=_forked)
    openvino.Type.f32.to_dtype()  # makes a table: two threads that came first would wait for each other for ever
    return openvino.Core()


_opening = lock()


class _Process:
    """What this process knows of OpenVINO: how many sessions it has freed, and whether its parent had freed any."""

    freed = 0
    is_barred = False


def _count() -> None:
    _Process.freed += 1


def _forked() -> None:
    _Process.is_barred = _Process.is_barred or _Process.freed > 0


def is_barred() -> bool:
    """Whether OpenVINO can't be used: in a forked child whose parent has freed a session.

    It keeps the threads of what was freed for the next model (`ExecutorManager`). A child takes them for idle ones,
    though they are not there, and would wait for them for ever.
    """
    return _Process.is_barred

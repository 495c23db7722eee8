"""Sessions of onnxruntime, on the processor or a graphics card."""

from __future__ import annotations

import numpy as np
import onnxruntime

from crossfade.errors import EncodingFailed, ModelDamaged

from .batching import Ids
from .graph import ROWS, Graph
from .rows import Rows

CPU = "CPUExecutionProvider"
QUIET = 3


class OrtSession:
    """A loaded graph; safe to run from any number of threads.

    Args:
        graph: What runs.
        threads: Cores that one run uses.
        provider: Where it runs; what the provider can't run is left to the processor.

    Raises:
        ModelDamaged: The graph can't be loaded.
    """

    def __init__(self, graph: Graph, threads: int, provider: str = CPU) -> None:
        options = _options(threads)
        if threads > 1:
            # Threads that spin longer than between two operators keep a core from those who work.
            options.add_session_config_entry("session.intra_op.spin_duration_us", "50")
        self._weights = graph.weights  # the session reads these arrays in place and does not keep them alive
        self._inputs = graph.inputs
        self._session = _load(graph, options, list(dict.fromkeys((provider, CPU))))

    def run(self, ids: Ids, mask: Ids) -> Rows:
        """Rows `(n, dim)` of a batch, int64 `(n, tokens)`.

        Raises:
            EncodingFailed: The runtime failed.
        """
        try:
            (rows,) = self._session.run([ROWS], dict(zip(self._inputs, (ids, mask), strict=False)))
        except Exception as error:  # onnxruntime's own exceptions have no common base but this
            n, length = ids.shape
            raise EncodingFailed(f"onnxruntime failed on {n} texts of {length} tokens: {error}") from error
        return np.asarray(rows, dtype=np.float32)


def check_graph(graph: Graph) -> None:
    """Raise ModelDamaged if onnxruntime can't load it; nothing is optimised."""
    options = _options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    _load(graph, options, [CPU])


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    options.enable_mem_pattern = False  # a plan for each of hundreds of shapes, which saves no time
    return options


def _load(graph: Graph, options: onnxruntime.SessionOptions, providers: list[str]) -> onnxruntime.InferenceSession:
    try:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in graph.weights.values()]
        options.add_external_initializers(list(graph.weights), values)
        return onnxruntime.InferenceSession(graph.content, options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions have no common base but this
        raise ModelDamaged(f"onnxruntime can't load the model: {error}") from error

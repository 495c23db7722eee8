"""onnxruntime with its own graph optimisations, or, where options say so, those of its offline optimiser for BERT."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime

from bench.encoders import worker
from bench.encoders.sorted_model import SortedModel


def load(folder: Path, threads: int, options: dict[str, Any]) -> SortedModel:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    path = folder / "onnx" / "model.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        if options.get("optimizer"):
            path = optimized(folder, path, Path(scratch))
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

    def run(tokens: Any, mask: Any) -> Any:
        return session.run(["last_hidden_state"], {"input_ids": tokens, "attention_mask": mask})[0]

    return SortedModel(folder, options["budget"], run, {"onnxruntime": onnxruntime.__version__})


def optimized(folder: Path, path: Path, scratch: Path) -> Path:
    """The graph with the fusions of onnxruntime.transformers."""
    from onnxruntime.transformers import optimizer

    config = json.loads((folder / "config.json").read_text())
    sizes = {"num_heads": config["num_attention_heads"], "hidden_size": config["hidden_size"]}
    optimizer.optimize_model(str(path), "bert", opt_level=0, **sizes).save_model_to_file(str(scratch / "model.onnx"))
    return scratch / "model.onnx"


if __name__ == "__main__":
    worker.serve(load)

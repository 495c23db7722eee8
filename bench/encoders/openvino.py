"""OpenVINO called directly; hints as the options say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from bench.encoders import worker
from bench.encoders.sorted_model import SortedModel


def load(folder: Path, threads: int, options: dict[str, Any]) -> SortedModel:
    hints = {"INFERENCE_NUM_THREADS": threads, **options["hints"]}
    model = openvino.Core().compile_model(str(folder / "onnx" / "model.onnx"), "CPU", hints)
    versions = {
        "openvino": openvino.__version__.partition("-")[0],
        "precision": model.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
    }

    def run(tokens: Any, mask: Any) -> Any:
        return model({"input_ids": tokens, "attention_mask": mask})["last_hidden_state"]

    return SortedModel(folder, options["budget"], run, versions)


if __name__ == "__main__":
    worker.serve(load)

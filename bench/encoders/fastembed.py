"""fastembed with the same ONNX file as a model of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from fastembed import TextEmbedding
from fastembed import __version__ as version
from fastembed.common.model_description import ModelSource, PoolingType

from bench.encoders import worker

NAME = "local/model"


class Model:
    def __init__(self, folder: Path, threads: int, options: dict[str, Any]) -> None:
        TextEmbedding.add_custom_model(
            model=NAME,
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf=NAME),
            dim=json.loads((folder / "config.json").read_text())["hidden_size"],
            model_file="onnx/model.onnx",
        )
        self._model = TextEmbedding(NAME, specific_model_path=str(folder), threads=threads)
        self._options = options
        self.versions = {"fastembed": version}

    def encode(self, texts: list[str]) -> Any:
        return np.array(list(self._model.embed(texts, **self._options)))

    def tokens(self, texts: list[str]) -> int:
        return sum(int(self._model.token_count([text])) for text in texts)


if __name__ == "__main__":
    worker.serve(Model)

"""sentence-transformers with the backend and precision that the options name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers import __version__ as version

from bench.encoders import worker


class Model:
    def __init__(self, folder: Path, threads: int, options: dict[str, Any]) -> None:
        torch.set_num_threads(threads)
        settings: dict[str, Any] = {}
        if "dtype" in options:
            settings["dtype"] = getattr(torch, options["dtype"])
        if options.get("backend") == "openvino":
            settings["ov_config"] = {"INFERENCE_NUM_THREADS": threads}
        self._model = SentenceTransformer(
            str(folder),
            device="cpu",
            backend=options.get("backend", "torch"),
            model_kwargs=settings,
            local_files_only=True,
        )
        self.versions = {
            "sentence-transformers": version,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }

    def encode(self, texts: list[str]) -> Any:
        rows = self._model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
        return rows.float().numpy()

    def tokens(self, texts: list[str]) -> int:
        cut = {"truncation": True, "max_length": self._model.max_seq_length}
        return sum(len(self._model.tokenizer(text, **cut)["input_ids"]) for text in texts)


if __name__ == "__main__":
    worker.serve(Model)

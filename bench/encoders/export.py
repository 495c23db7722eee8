"""Write a model's transformer as ONNX: input_ids and attention_mask in, last_hidden_state out, both axes dynamic.

python -m bench.encoders.export FOLDER FILE
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

OPSET = 17


class Body(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return self._model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def main() -> None:
    folder, target = map(Path, sys.argv[1:])
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    example = torch.ones((2, 16), dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Body(model),
        (example, example),
        target,
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "last_hidden_state": axes},
        opset_version=OPSET,
        dynamo=False,
    )


if __name__ == "__main__":
    main()

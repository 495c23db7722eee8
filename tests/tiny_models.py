"""Small random models: a BERT of two layers that is written in a moment, and the same computed in plain numpy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
import tokenizers
from numpy.typing import NDArray
from onnx import TensorProto, helper

Weights = dict[str, NDArray[np.float32]]
CONTENT = "alpha beta gamma delta epsilon query document : zeta eta theta"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *CONTENT.split()]
MERGES = [("a", "b"), ("Ġ", "ab")]
HIDDEN, LAYERS, WIDE, POSITIONS = 32, 2, 64, 40
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": WIDE,
    "max_position_embeddings": POSITIONS,
    "vocab_size": len(WORDS),
    "layer_norm_eps": 1e-12,
}


def random_weights(seed: int = 0) -> Weights:
    """Weights of a BERT encoder of two layers and 32 dimensions, with a pooler that isn't used."""
    generator = np.random.default_rng(seed)
    linear = {
        "attention.self.query": (HIDDEN, HIDDEN),
        "attention.self.key": (HIDDEN, HIDDEN),
        "attention.self.value": (HIDDEN, HIDDEN),
        "attention.output.dense": (HIDDEN, HIDDEN),
        "intermediate.dense": (WIDE, HIDDEN),
        "output.dense": (HIDDEN, WIDE),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
        "pooler.dense.weight": (HIDDEN, HIDDEN),
    }
    for layer in range(LAYERS):
        for name, shape in linear.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (HIDDEN,)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (HIDDEN,)
    return {name: generator.standard_normal(shape, dtype=np.float32) * 0.3 for name, shape in shapes.items()}


def word_tokenizer() -> tokenizers.Tokenizer:
    """One token a word, with the padding and truncation that shipped files ask for."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    made.enable_padding(length=16)
    made.enable_truncation(4)
    return made


def write_bert(
    folder: Path, weights: Weights | None = None, config: dict[str, Any] | None = None, **settings: Any
) -> Path:
    """A folder with a model; `settings` are further JSON files by name without ".json"."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(weights or random_weights()))
    (folder / "config.json").write_text(json.dumps(config or CONFIG))
    (folder / "tokenizer.json").write_text(word_tokenizer().to_str())
    for name, value in settings.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def write_pooling(folder: Path, mode: str) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))


def write_onnx(
    folder: Path,
    *,
    token_types: bool = False,
    outputs: int = 1,
    opset: int = 17,
    ids: int = TensorProto.INT64,
    states: int = TensorProto.FLOAT,
) -> Path:
    """A folder with an ONNX model whose hidden states are the embeddings of the words."""
    folder.mkdir(parents=True)
    table = np.random.default_rng(7).standard_normal((len(WORDS), 8)).astype(np.float32)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_types else [])]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["words"])]
    if token_types:
        nodes.append(helper.make_node("Gather", ["table", "token_type_ids"], ["types"]))
        nodes.append(helper.make_node("Add", ["words", "types"], ["hidden"]))
    else:
        nodes.append(helper.make_node("Cast", ["words"], ["hidden"], to=states))
    nodes.extend(helper.make_node("Identity", ["hidden"], [f"hidden{i}"]) for i in range(1, outputs))
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info(name, ids, ["b", "t"]) for name in names],
        [helper.make_tensor_value_info(f"hidden{i or ''}", states, ["b", "t", 8]) for i in range(outputs)],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), folder / "model.onnx"
    )
    (folder / "tokenizer.json").write_text(word_tokenizer().to_str())
    return folder


def reference_rows(weights: Weights, ids: list[int]) -> NDArray[np.float64]:
    """Hidden states of one text by the formulas of the paper, float64 `(tokens, 32)`."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    erf = np.vectorize(math.erf)

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(axis=1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        return np.asarray(unit * w[f"{name}.weight"] + w[f"{name}.bias"])

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"])

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{p}.attention.self.{part}").reshape(len(ids), 4, 8) for part in ("query", "key", "value")
        )
        weight = np.exp(np.einsum("qhd,khd->hqk", q, k) / np.sqrt(8))
        weight /= weight.sum(axis=2, keepdims=True)
        context = np.einsum("hqk,khd->qhd", weight, v).reshape(len(ids), HIDDEN)
        x = norm(x + linear(context, f"{p}.attention.output.dense"), f"{p}.attention.output.LayerNorm")
        wide = linear(x, f"{p}.intermediate.dense")
        x = norm(x + linear(wide * (1 + erf(wide / np.sqrt(2))) / 2, f"{p}.output.dense"), f"{p}.output.LayerNorm")
    return x

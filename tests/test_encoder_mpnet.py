"""MPNet encoders built from safetensors, beside the published formulas in double precision."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tokenizers
from numpy.typing import NDArray

from crossfade.encoder import Encoder
from crossfade.encoder.engines import EngineName
from crossfade.encoder.transformer_graph import relative_buckets
from crossfade.errors import ModelDamaged, ModelError

Weights = dict[str, NDArray[np.float32]]
WORDS = ["<s>", "<pad>", "</s>", "[UNK]", *(f"w{number}" for number in range(40))]
HIDDEN, LAYERS, HEADS, WIDE, POSITIONS, BUCKETS = 32, 2, 4, 64, 214, 32
SIZE = HIDDEN // HEADS
CONFIG: dict[str, Any] = {
    "model_type": "mpnet",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": WIDE,
    "max_position_embeddings": POSITIONS,
    "vocab_size": len(WORDS),
    "layer_norm_eps": 1e-5,
    "relative_attention_num_buckets": BUCKETS,
}
BIAS = "encoder.relative_attention_bias.weight"


def random_weights() -> Weights:
    """Weights of two layers; the bias is large enough that a wrong bucket shows."""
    generator = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
        "pooler.dense.weight": (HIDDEN, HIDDEN),
    }
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        for name in "qkvo":
            shapes[f"{prefix}.attention.attn.{name}.weight"] = (HIDDEN, HIDDEN)
            shapes[f"{prefix}.attention.attn.{name}.bias"] = (HIDDEN,)
        for name, (out, into) in {"intermediate.dense": (WIDE, HIDDEN), "output.dense": (HIDDEN, WIDE)}.items():
            shapes[f"{prefix}.{name}.weight"] = (out, into)
            shapes[f"{prefix}.{name}.bias"] = (out,)
        for name in ("attention.LayerNorm", "output.LayerNorm"):
            shapes[f"{prefix}.{name}.weight"] = (HIDDEN,)
            shapes[f"{prefix}.{name}.bias"] = (HIDDEN,)
    weights = {name: generator.standard_normal(shape, dtype=np.float32) * 0.3 for name, shape in shapes.items()}
    return weights | {BIAS: generator.standard_normal((BUCKETS, HEADS), dtype=np.float32) * 2}


def plain_tokenizer() -> tokenizers.Tokenizer:
    """One token a word and none besides; `<pad>` in a text is the token of that name."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<s>", "<pad>", "</s>"])
    return made


def write_mpnet(folder: Path, weights: Weights | None = None, **changes: Any) -> Path:
    """A folder with the model; `changes` go into its config.json."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(weights or random_weights()))
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    (folder / "tokenizer.json").write_text(plain_tokenizer().to_str())
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 200}))
    return folder


def bucket(distance: int) -> int:
    """T5's bucket of a key that stands `distance` tokens behind the query, as the paper's code computes it."""
    side, distance = (16, distance) if distance > 0 else (0, -distance)
    if distance < 8:
        return side + distance
    return side + min(15, 8 + int(math.log(distance / 8) / math.log(128 / 8) * 8))


def reference_rows(weights: Weights, ids: list[int]) -> NDArray[np.float64]:
    """Hidden states of one text, float64 `(tokens, 32)`."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    erf = np.vectorize(math.erf)
    count = len(ids)

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(axis=1, keepdims=True)
        unit = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        return np.asarray(unit * w[f"{name}.weight"] + w[f"{name}.bias"])

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"])

    real = np.array(ids) != 1
    places = np.where(real, np.cumsum(real), 0) + 1
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][places]
    x = norm(x, "embeddings.LayerNorm")
    bias = w[BIAS][[[bucket(key - query) for key in range(count)] for query in range(count)]]  # (query, key, head)
    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}"
        q, k, v = (linear(x, f"{p}.attention.attn.{part}").reshape(count, HEADS, SIZE) for part in "qkv")
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(SIZE) + np.einsum("qkh->hqk", bias)
        weight = np.exp(scores - scores.max(axis=2, keepdims=True))
        weight /= weight.sum(axis=2, keepdims=True)
        context = np.einsum("hqk,khd->qhd", weight, v).reshape(count, HIDDEN)
        x = norm(x + linear(context, f"{p}.attention.attn.o"), f"{p}.attention.LayerNorm")
        wide = linear(x, f"{p}.intermediate.dense")
        x = norm(x + linear(wide * (1 + erf(wide / np.sqrt(2))) / 2, f"{p}.output.dense"), f"{p}.output.LayerNorm")
    return x


POOLERS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "mean": lambda hidden: np.asarray(hidden.mean(axis=0)),
    "cls": lambda hidden: hidden[0],
    "max": lambda hidden: np.asarray(hidden.max(axis=0)),
}


def random_texts(lengths: list[int]) -> tuple[list[str], list[list[int]]]:
    generator = np.random.default_rng(6)
    ids = [generator.integers(4, len(WORDS), length).tolist() for length in lengths]
    return [" ".join(WORDS[token] for token in text) for text in ids], ids


def assert_close(rows: NDArray[np.float32], expected: list[NDArray[np.float64]]) -> None:
    for row, wanted in zip(rows, expected, strict=True):
        np.testing.assert_allclose(row, wanted / np.linalg.norm(wanted), atol=3e-6)


def test_graph_computes_the_published_formulas(tmp_path: Path) -> None:
    """Texts of 1 to 200 tokens, padded to each other's lengths or not, get the rows of a plain float64 MPNet."""
    weights = random_weights()
    texts, ids = random_texts([*range(1, 41), *range(41, 201, 5), 200])
    rows = Encoder.load(write_mpnet(tmp_path / "m", weights), precision="float32").encode(texts)
    assert_close(rows, [reference_rows(weights, text).mean(axis=0) for text in ids])


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("pooling", list(POOLERS))
def test_every_pooling(tmp_path: Path, pooling: str, engine: EngineName) -> None:
    """Mean, first and largest over the real tokens, in one batch with longer texts."""
    weights = random_weights()
    folder = write_mpnet(tmp_path / "m", weights)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    texts, ids = random_texts([1, 5, 17, 60])
    assert_close(
        Encoder.load(folder, precision="float32", engine=engine).encode(texts),
        [POOLERS[pooling](reference_rows(weights, text)) for text in ids],
    )


def test_a_literal_pad_has_no_position_of_its_own(tmp_path: Path) -> None:
    """`<pad>` inside a text is attended to, gets the row of padding, and the tokens after it go on counting."""
    weights = random_weights()
    ids = [5, 1, 6, 1, 1, 7]
    rows = Encoder.load(write_mpnet(tmp_path / "m", weights), precision="float32").encode(
        [" ".join(WORDS[token] for token in ids)]
    )
    assert_close(rows, [reference_rows(weights, ids).mean(axis=0)])


def test_buckets_are_those_of_the_paper() -> None:
    """Every distance of 512 positions falls into the bucket that the paper's code gives."""
    assert relative_buckets(512).tolist() == [bucket(distance) for distance in range(-511, 512)]
    assert relative_buckets(1).tolist() == [0]


def test_the_last_position_is_used(tmp_path: Path) -> None:
    """A model of 14 rows of positions encodes 12 tokens; one token more is refused when it is loaded."""
    weights = random_weights()
    name = "embeddings.position_embeddings.weight"
    weights[name] = weights[name][:14]
    folder = write_mpnet(tmp_path / "m", weights, max_position_embeddings=14)
    (folder / "sentence_bert_config.json").unlink()
    encoder = Encoder.load(folder, precision="float32")
    assert encoder.space.max_tokens == 12
    texts, ids = random_texts([12])
    assert_close(encoder.encode([texts[0] + " w1 w2"]), [reference_rows(weights, ids[0]).mean(axis=0)])
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 13}))
    with pytest.raises(ModelError, match="max_tokens is 13, but the model knows 12 positions"):
        Encoder.load(folder)


def test_names_may_carry_the_family(tmp_path: Path) -> None:
    """Weights of an `MPNetForMaskedLM`, whose names begin with "mpnet.", are the same Space."""
    weights = random_weights()
    prefixed = {f"mpnet.{name}": value for name, value in weights.items()}
    first = Encoder.load(write_mpnet(tmp_path / "a", weights))
    second = Encoder.load(write_mpnet(tmp_path / "b", prefixed))
    assert first.space.fingerprint == second.space.fingerprint


def test_the_bias_is_part_of_the_space(tmp_path: Path) -> None:
    """Another relative bias is another Space."""
    weights = random_weights()
    first = Encoder.load(write_mpnet(tmp_path / "a", weights)).space
    weights[BIAS] = weights[BIAS] + np.float32(0.5)
    assert Encoder.load(write_mpnet(tmp_path / "b", weights)).space.fingerprint != first.fingerprint


@pytest.mark.parametrize(("field", "value"), [("relative_attention_num_buckets", 16), ("hidden_act", "relu")])
def test_other_settings_are_refused(tmp_path: Path, field: str, value: object) -> None:
    """What the graph would get wrong is refused with the way out."""
    with pytest.raises(ModelError, match=f"{field}.*{value}.*ONNX"):
        Encoder.load(write_mpnet(tmp_path / "m", **{field: value}))


@pytest.mark.parametrize("shape", [None, (BUCKETS, HEADS + 1), (BUCKETS - 1, HEADS), (BUCKETS,)])
def test_a_bias_of_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...] | None) -> None:
    """A relative bias that lacks, or does not fit the heads, is named with the shape it must have."""
    weights = random_weights()
    del weights[BIAS]
    if shape is not None:
        weights[BIAS] = np.zeros(shape, np.float32)
    with pytest.raises(ModelDamaged, match=r"relative_attention_bias\.weight must have shape \(32, 4\)"):
        Encoder.load(write_mpnet(tmp_path / "m", weights))


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    """A config.json of BERT beside these weights says which tensor lacks."""
    with pytest.raises(ModelDamaged, match="token_type_embeddings"):
        Encoder.load(write_mpnet(tmp_path / "m", model_type="bert", position_embedding_type="absolute"))

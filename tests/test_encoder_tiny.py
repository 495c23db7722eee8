"""Encoders made of small random models: what they compute, how their files are read, what is refused."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

from crossfade.encoder import Encoder
from crossfade.encoder.engines import EngineName
from crossfade.encoder.tokenizer import Tokenizer
from crossfade.errors import EncodingFailed, InvalidInput, ModelDamaged, ModelError, UnknownModel
from tiny_models import (
    CONFIG,
    HIDDEN,
    MERGES,
    WORDS,
    random_weights,
    reference_rows,
    word_tokenizer,
    write_bert,
    write_onnx,
    write_pooling,
)

POOLERS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "mean": lambda hidden: np.asarray(hidden.mean(axis=0)),
    "cls": lambda hidden: hidden[0],
    "max": lambda hidden: np.asarray(hidden.max(axis=0)),
}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("pooling", list(POOLERS))
def test_graph_computes_the_published_formulas(tmp_path: Path, pooling: str, engine: EngineName) -> None:
    """A graph built from safetensors gives what a plain float64 BERT gives, for every pooling, padded (as the second
    engine has it) or not.
    """
    weights = random_weights()
    folder = write_bert(tmp_path / "m", weights)
    write_pooling(folder, "cls_token" if pooling == "cls" else f"{pooling}_tokens")
    encoder = Encoder.load(folder, precision="float32", engine=engine)
    rows = encoder.encode(["alpha beta", "gamma", "delta epsilon zeta eta theta alpha"])
    for row, ids in zip(rows, [[2, 4, 5, 3], [2, 6, 3], [2, 7, 8, 12, 13, 14, 4, 3]], strict=True):
        expected = POOLERS[pooling](reference_rows(weights, ids))
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=2e-6)


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    """float16 weights load, and give nearly the rows of float32."""
    weights = random_weights()
    halves = {name: value.astype(np.float16) for name, value in weights.items()}
    wide = Encoder.load(write_bert(tmp_path / "a", weights), precision="float32").encode(["alpha beta gamma"])
    folder = write_bert(tmp_path / "b")
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(halves))
    np.testing.assert_allclose(Encoder.load(folder, precision="float32").encode(["alpha beta gamma"]), wide, atol=5e-3)


def test_prefix_is_put_before_the_text(tmp_path: Path) -> None:
    """A query is encoded as the prefix and the text; a document without a prefix as it is."""
    plain = Encoder.load(write_bert(tmp_path / "plain"), precision="float32")
    prompts = {"prompts": {"query": "query : ", "document": ""}}
    folder = write_bert(tmp_path / "prefixed", config_sentence_transformers=prompts)
    prefixed = Encoder.load(folder, precision="float32")
    np.testing.assert_array_equal(prefixed.encode(["alpha"], "query"), plain.encode(["query : alpha"]))
    np.testing.assert_array_equal(prefixed.encode(["alpha"]), plain.encode(["alpha"]))


def test_prefix_does_not_hide_an_empty_text(tmp_path: Path) -> None:
    """A text without tokens of its own is refused though the prefix has some."""
    prompts = {"prompts": {"query": "query : "}}
    encoder = Encoder.load(write_bert(tmp_path / "m", config_sentence_transformers=prompts))
    for empty in ("", " \n\t", "\u3000"):
        with pytest.raises(InvalidInput, match="text 1"):
            encoder.encode(["alpha", empty], "query")


def test_words_fall_into_pieces_as_within_a_text(tmp_path: Path) -> None:
    """A word counts its own tokens only, with a space before it, and tells whether one of them is the unknown one."""
    encoder = Encoder.load(write_bert(tmp_path / "m"), precision="float32", engine="onnxruntime")
    pieces = encoder.split_words(["alpha", "never", ":", "beta:never"])
    assert pieces.counts.tolist() == [1, 1, 1, 3]
    assert pieces.unknown.tolist() == [False, True, False, True]
    with pytest.raises(InvalidInput, match="text 1 is empty"):
        encoder.split_words(["alpha", ""])


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
def test_unknown_words_are_told_by_any_tokenizer(kind: str) -> None:
    """One that spells every byte knows no unknown words; one that names the unknown token by its number does."""
    if kind == "BPE":
        made = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4}, MERGES))
        made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        made = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("▁ab", -1.0), ("b", -2.0)], 0))
        made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    pieces = Tokenizer(made.to_str().encode(), 40).split(["ab", "abb", "abz"])
    assert pieces.counts.tolist()[:2] == [1, 2]
    assert pieces.unknown.tolist() == [False, False, kind == "Unigram"]


def test_truncation_is_ours(tmp_path: Path) -> None:
    """Texts are cut at the Space's max_tokens, not where the tokenizer's file says, and are never padded by it."""
    encoder = Encoder.load(write_bert(tmp_path / "m", sentence_bert_config={"max_seq_length": 10}))
    assert encoder.space.max_tokens == 10
    cut = np.zeros(3, bool)
    assert encoder.count_tokens(["alpha", "alpha " * 5, "alpha " * 50], cut=cut).tolist() == [3, 7, 10]
    assert cut.tolist() == [False, False, True]
    first, second = encoder.encode(["alpha " * 8 + "beta", "alpha " * 8 + "gamma delta"])
    np.testing.assert_array_equal(first, second)


def test_lengths_are_not_rounded_beyond_the_positions(tmp_path: Path) -> None:
    """A model of 13 positions encodes 13 tokens, though lengths are rounded up to multiples of eight."""
    weights = random_weights()
    weights["embeddings.position_embeddings.weight"] = weights["embeddings.position_embeddings.weight"][:13]
    config = CONFIG | {"max_position_embeddings": 13}
    encoder = Encoder.load(write_bert(tmp_path / "m", weights, config))
    assert encoder.space.max_tokens == 13
    assert encoder.encode(["alpha " * 30, "beta"]).shape == (2, HIDDEN)


def test_dot_space_keeps_lengths(tmp_path: Path) -> None:
    """Rows of a model that neither normalises nor is compared by cosine come as the model gives them."""
    folder = write_bert(
        tmp_path / "m", config_sentence_transformers={"similarity_fn_name": "dot"}, modules=[{"type": "x.Transformer"}]
    )
    row = Encoder.load(folder, precision="float32").encode(["alpha beta"])[0]
    np.testing.assert_allclose(row, reference_rows(random_weights(), [2, 4, 5, 3]).mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("token_types", [False, True])
def test_onnx_folder(tmp_path: Path, token_types: bool) -> None:
    """An ONNX model with and without token types gives the mean of its hidden states over the real tokens."""
    encoder = Encoder.load(write_onnx(tmp_path / "m", token_types=token_types), precision="float32")
    table = np.random.default_rng(7).standard_normal((len(WORDS), 8)).astype(np.float32)
    expected = table[[2, 4, 5, 3]].mean(axis=0) + (table[0] if token_types else 0)
    rows = encoder.encode(["alpha beta", "alpha beta gamma delta epsilon zeta eta"])
    np.testing.assert_allclose(rows[0], expected / np.linalg.norm(expected), atol=1e-6)
    assert encoder.space.dim == 8
    assert encoder.name == str(tmp_path / "m")


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("pooling", list(POOLERS))
@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_onnx_of_any_version(tmp_path: Path, opset: int, pooling: str, engine: EngineName) -> None:
    """Pooling and unit length are put behind files of old and new versions of ONNX, also with ids of 32 bits and states
    of 16.
    """
    folder = write_onnx(tmp_path / "m", opset=opset, ids=TensorProto.INT32, states=TensorProto.FLOAT16)
    write_pooling(folder, "cls_token" if pooling == "cls" else f"{pooling}_tokens")
    encoder = Encoder.load(folder, precision="float32", engine=engine)
    table = np.random.default_rng(7).standard_normal((len(WORDS), 8)).astype(np.float16).astype(np.float64)
    rows = encoder.encode(["alpha beta", "gamma", "delta epsilon zeta"])
    # an engine may leave out the rounding to 16 bits
    for row, ids in zip(rows, [[2, 4, 5, 3], [2, 6, 3], [2, 7, 8, 12, 3]], strict=True):
        expected = POOLERS[pooling](table[ids])
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=2e-4)


def test_ids_beyond_the_weights_are_refused(tmp_path: Path) -> None:
    """A tokenizer with more words than the weights have rows is no part of the model, whatever texts come."""
    folder = write_bert(tmp_path / "m")
    larger = word_tokenizer()
    larger.add_tokens(["iota"])
    (folder / "tokenizer.json").write_text(larger.to_str())
    with pytest.raises(ModelDamaged, match=f"gives ids up to {len(WORDS)}, config.json has {len(WORDS)} rows"):
        Encoder.load(folder)


def test_a_failure_of_the_runtime_is_ours(tmp_path: Path) -> None:
    """An id that a ready graph has no row for fails as EncodingFailed, with the runtime's error as its cause."""
    folder = write_onnx(tmp_path / "m")
    larger = word_tokenizer()
    larger.add_tokens(["iota"])
    (folder / "tokenizer.json").write_text(larger.to_str())
    encoder = Encoder.load(folder, precision="float32", engine="onnxruntime")
    assert encoder.encode(["alpha"]).shape == (1, 8)
    with pytest.raises(EncodingFailed, match="onnxruntime failed") as failure:
        encoder.encode(["alpha iota"])
    assert failure.value.__cause__ is not None


def test_onnx_with_two_candidates_is_refused(tmp_path: Path) -> None:
    """Two outputs with one vector a token are ambiguous, and the message names them."""
    with pytest.raises(ModelError, match="hidden of rank 3, hidden1 of rank 3"):
        Encoder.load(write_onnx(tmp_path / "m", outputs=2))


def test_onnx_with_weights_elsewhere_is_refused(tmp_path: Path) -> None:
    """A model that points to other files is not followed there."""
    folder = write_onnx(tmp_path / "m")
    model = onnx.load(folder / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../outside.bin")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="single file"):
        Encoder.load(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 40, b"{}", b"[]"])
def test_damaged_folder_file_is_named(tmp_path: Path, file: str, content: bytes) -> None:
    """A file that can't be parsed is a ModelError of crossfade, never an error of the library that read it."""
    folder = write_bert(tmp_path / "m")
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError):
        Encoder.load(folder)


@settings(max_examples=30, deadline=None)
@given(position=st.integers(0, 2**16), bit=st.integers(0, 7))
@example(position=1933, bit=7)  # a name that is no UTF-8
def test_a_flipped_bit_is_another_space_or_an_error(position: int, bit: int) -> None:
    """An ONNX file with any bit flipped loads as another Space, or raises a ModelError."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_onnx(Path(scratch) / "m")
        good = Encoder.load(folder).space.fingerprint
        content = bytearray((folder / "model.onnx").read_bytes())
        content[position % len(content)] ^= 1 << bit
        (folder / "model.onnx").write_bytes(content)
        with contextlib.suppress(ModelError):
            assert Encoder.load(folder).space.fingerprint != good


@pytest.mark.parametrize(
    ("field", "value"), [("model_type", "roberta"), ("hidden_act", "relu"), ("position_embedding_type", "relative_key")]
)
def test_other_architectures_are_refused(tmp_path: Path, field: str, value: str) -> None:
    """What the graph would get wrong is refused, with the way out."""
    folder = write_bert(tmp_path / "m", config=CONFIG | {field: value})
    with pytest.raises(ModelError, match=f"{value}.*ONNX"):
        Encoder.load(folder)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    """A tensor whose shape differs from what the config says is named."""
    weights = random_weights()
    weights["encoder.layer.1.output.dense.bias"] = np.zeros(3, np.float32)
    with pytest.raises(ModelDamaged, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        Encoder.load(write_bert(tmp_path / "m", weights))


def test_missing_files_and_names(tmp_path: Path) -> None:
    """An empty folder says what it lacks; an unknown name lists the known ones."""
    with pytest.raises(ModelError, match=r"lacks tokenizer\.json, model\.safetensors, config\.json"):
        Encoder.load(tmp_path)
    with pytest.raises(UnknownModel, match="minilm-l3, minilm-l6"):
        Encoder.load("minilm-l7")


@pytest.mark.parametrize("threads", [0, -1, True, 1.5])
def test_threads_are_checked(tmp_path: Path, threads: Any) -> None:
    """A number of threads that is none is refused."""
    with pytest.raises(InvalidInput, match="threads"):
        Encoder.load(write_bert(tmp_path / "m"), threads=threads)


def test_texts_that_are_cut_are_marked(tmp_path: Path) -> None:
    """A text with more tokens than the model takes is marked, also where the tokenizer got its beginning only."""
    encoder = Encoder.load(write_bert(tmp_path / "tiny", sentence_bert_config={"max_seq_length": 8}))
    fits, longer = " ".join(["red"] * 6), " ".join(["red"] * 7)
    texts = ["blue", fits, longer, "blue", longer, " " * 9_000 + "red", "red" + " " * 9_000, "red " * 9_000]
    cut = np.ones(len(texts), np.bool_)

    rows = encoder.encode(texts, cut=cut)

    assert cut.tolist() == [False, False, True, False, True, False, False, True]
    np.testing.assert_allclose(rows[1], rows[2], atol=1e-6)

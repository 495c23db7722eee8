"""The Space of an encoder: what changes vectors changes it, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from crossfade.encoder import Encoder
from tiny_models import CONFIG, random_weights, word_tokenizer, write_bert, write_pooling


def test_equal_weights_are_one_space_whatever_they_are_called(tmp_path: Path) -> None:
    """Folder name, order and metadata of the weights, an unused tensor and the tokenizer's padding do not matter."""
    weights = random_weights()
    first = Encoder.load(write_bert(tmp_path / "first", weights))
    folder = write_bert(tmp_path / "second")
    shuffled = {f"bert.{name}": weights[name] for name in reversed(weights) if not name.startswith("pooler")}
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(shuffled, metadata={"format": "pt"}))
    plain = word_tokenizer()
    plain.no_padding()
    (folder / "tokenizer.json").write_text(plain.to_str(pretty=True))
    second = Encoder.load(folder)
    assert second.space.fingerprint == first.space.fingerprint
    assert second.space.model != first.space.model
    np.testing.assert_array_equal(first.encode(["alpha beta"]), second.encode(["alpha beta"]))


def _one_weight(folder: Path) -> None:
    weights = random_weights()
    weights["encoder.layer.1.output.dense.weight"][3, 5] += 1e-6
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(weights))


def _heads(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_attention_heads": 8}))


def _epsilon(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"layer_norm_eps": 1e-5}))


def _tokenizer(folder: Path) -> None:
    other = word_tokenizer()
    other.normalizer = tokenizers.normalizers.Lowercase()
    (folder / "tokenizer.json").write_text(other.to_str())


def _max_tokens(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))


def _query_prefix(folder: Path) -> None:
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query : "}}))


def _document_prefix(folder: Path) -> None:
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"document": "document : "}}))


def _metric(folder: Path) -> None:
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"similarity_fn_name": "dot"}))


def _normalized(folder: Path) -> None:
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Transformer"}]))


CHANGES = [
    _one_weight,
    _heads,
    _epsilon,
    _tokenizer,
    _max_tokens,
    _query_prefix,
    _document_prefix,
    _metric,
    _normalized,
]


@pytest.mark.parametrize("change", [*CHANGES, lambda folder: write_pooling(folder, "cls_token")])
def test_what_changes_vectors_changes_the_space(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """One weight, the config, tokenizer, pooling, prefix, length, metric or normalisation: each is another Space."""
    folder = write_bert(tmp_path / "m")
    before = Encoder.load(folder).space.fingerprint
    change(folder)
    assert Encoder.load(folder).space.fingerprint != before

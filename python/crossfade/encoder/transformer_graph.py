"""Graphs of the encoders in transformer.py: embeddings, layers of fused operators, and the head behind them.

The families share the layers. They differ in how a token gets its position's row, and in what is added to the attention
scores; the tables at the end say which has what.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from crossfade.space import Space

from .biases import Weights, without_residual_biases
from .graph import IDS, MASK, Graph, GraphBuilder
from .head import Dense, finish
from .transformer import BERT, MPNET, RELATIVE_BIAS, RELATIVE_BUCKETS, TOKEN_TYPES, Config, Family

OPSET = 17
IR_VERSION = 8
# Operators that the CPU provider of onnxruntime fuses: attention, bias + GELU. Not its residual + LayerNorm, which
# takes a tenth of MiniLM-L6's time where the plain operators take a fortieth.
FUSED = "com.microsoft"
NO_PAST = ""  # of tokens attended to before
# MPNet counts positions from the row behind this one, and gives this one to a token with this id.
PADDING = 1
# Distances from this one on share a bucket.
FARTHEST = 128


def transformer_graph(
    graph: GraphBuilder,
    family: Family,
    config: Config,
    weights: Weights,
    space: Space,
    dense: Sequence[Dense] = (),
) -> Graph:
    """Graph of a BERT (Devlin et al., 2019) or MPNet encoder (Song et al., 2020) with the pooling of `space`.

    Args:
        graph: Collects it; decides about padding and the arithmetic of products.
        family: Names of the tensors, kind of positions and attention.
        config: Sizes and constants of the model.
        weights: The tensors of `family.shapes(config)`, float32.
        space: Decides pooling and normalisation.
        dense: Layers between the two.
    """
    weights = without_residual_biases(weights, family, config)
    for name, value in (("zero", 0), ("one", 1)):
        graph.constant(name, np.array([value], dtype=np.int64))
    graph.node("Shape", [IDS], "length", start=1, end=2)
    words = graph.constant("words", weights["embeddings.word_embeddings.weight"])
    graph.node("Gather", [words, IDS], "word_rows")
    graph.node("Add", ["word_rows", _POSITIONS[family.name](graph, weights)], "summed")
    scale = graph.constant("embeddings.scale", weights["embeddings.LayerNorm.weight"])
    shift = graph.constant("embeddings.shift", weights["embeddings.LayerNorm.bias"])
    hidden = graph.node(
        "LayerNormalization", ["summed", scale, shift], "embedded", axis=-1, epsilon=config.layer_norm_eps
    )
    mask = graph.node("Cast", [MASK], "mask32", to=TensorProto.INT32) if MASK in graph.inputs else ""
    added = [mask, *_SCORES[family.name](graph, weights, family.known_positions(config))]
    asking = hidden
    for layer in range(config.layers):
        if layer == config.layers - 1 and space.pooling == "cls":
            asking, added = _first_token(graph, hidden, added)
        asking = hidden = _layer(graph, family, config, weights, f"encoder.layer.{layer}", hidden, asking, added)
    finish(graph, hidden, space, dense)
    return graph.graph(space.dim, [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)], IR_VERSION)


def relative_buckets(positions: int) -> NDArray[np.int64]:
    """Row of the relative attention bias for each distance, `(2 * positions - 1,)`: key behind query by up to
    `positions - 1` tokens first.

    T5's buckets for both directions (Raffel et al., 2020): a half of them for keys before the query and one for keys
    after it, in each the first half for a distance of its own, then logarithmically wider ones up to 128 tokens.

    Example:
        >>> relative_buckets(4).tolist()
        [3, 2, 1, 0, 17, 18, 19]
    """
    distance = np.arange(1 - positions, positions)
    half, near = RELATIVE_BUCKETS // 2, RELATIVE_BUCKETS // 4
    far = np.maximum(np.abs(distance), near).astype(np.float32)
    # float32 like the original: a bucket's edge may fall on either side of a rounding
    steps = np.log(far / np.float32(near)) / np.float32(np.log(FARTHEST / near)) * np.float32(half - near)
    bucket = np.where(np.abs(distance) < near, np.abs(distance), np.minimum(near + steps.astype(np.int64), half - 1))
    return np.asarray(bucket + half * (distance > 0), dtype=np.int64)


def _positions_in_order(graph: GraphBuilder, weights: Weights) -> str:
    # A single text has token type 0 everywhere, so that row is added to the positions once and for all.
    positions = weights["embeddings.position_embeddings.weight"] + weights[TOKEN_TYPES][0]
    graph.constant("positions", positions.astype(np.float32))
    return graph.node("Slice", ["positions", "zero", "length", "zero", "one"], "position_rows")


def _positions_without_padding(graph: GraphBuilder, weights: Weights) -> str:
    """A `<pad>` that stands in a text is a token like any other, but has no position of its own."""
    graph.constant("positions", weights["embeddings.position_embeddings.weight"])
    graph.constant("padding", np.array(PADDING, dtype=np.int64))
    graph.constant("token_axis", np.array(1, dtype=np.int64))
    graph.node("Equal", [IDS, "padding"], "is_padding")
    graph.node("Not", ["is_padding"], "is_token")
    graph.node("Cast", ["is_token"], "counts", to=TensorProto.INT64)
    graph.node("CumSum", ["counts", "token_axis"], "counted")
    graph.node("Mul", ["counted", "counts"], "count_or_zero")
    graph.node("Add", ["count_or_zero", "padding"], "position")
    return graph.node("Gather", ["positions", "position"], "position_rows")


def _nothing(graph: GraphBuilder, weights: Weights, positions: int) -> list[str]:
    return []


def _relative_bias(graph: GraphBuilder, weights: Weights, positions: int) -> list[str]:
    """The bias `(1, heads, tokens, tokens)` that all layers add to their scores, from a row of values a head."""
    by_distance = weights[RELATIVE_BIAS][relative_buckets(positions)].T
    graph.constant("bias_by_distance", np.ascontiguousarray(by_distance[np.newaxis]))
    graph.constant("order", np.arange(positions, dtype=np.int64))
    graph.constant("nearest", np.array(positions - 1, dtype=np.int64))
    graph.node("Slice", ["order", "zero", "length", "zero", "one"], "key")
    graph.node("Unsqueeze", ["key", "one"], "query")
    graph.node("Sub", ["key", "query"], "distance")
    graph.node("Add", ["distance", "nearest"], "place")
    return [graph.node("Gather", ["bias_by_distance", "place"], "relative_bias", axis=2)]


_POSITIONS: dict[str, Callable[[GraphBuilder, Weights], str]] = {
    BERT.name: _positions_in_order,
    MPNET.name: _positions_without_padding,
}
# Inputs of the attention behind its mask.
_SCORES: dict[str, Callable[[GraphBuilder, Weights, int], list[str]]] = {
    BERT.name: _nothing,
    MPNET.name: _relative_bias,
}


def _first_token(graph: GraphBuilder, hidden: str, added: Sequence[str]) -> tuple[str, list[str]]:
    """The states and attention inputs of a last layer of which only the first token's vector is wanted.

    All tokens are attended to, by one: of a layer's twelve products by a square, ten are made for it alone.
    """
    mask, *scores = added
    asking = graph.node("Gather", [hidden, "zero"], "first_token", axis=1)
    return asking, [mask, *(graph.node("Gather", [it, "zero"], f"{it}.first_token", axis=2) for it in scores)]


def _layer(
    graph: GraphBuilder,
    family: Family,
    config: Config,
    weights: Weights,
    prefix: str,
    hidden: str,
    asking: str,
    added: Sequence[str],
) -> str:
    """The states of the tokens `asking`, which attend to those of `hidden`."""

    def linear(part: str, source: str) -> str:
        return graph.linear(source, weights[f"{prefix}.{part}.weight"], f"{prefix}.{part}")

    def add_and_norm(part: str, norm: str, source: str, residual: str) -> str:
        scale = graph.constant(f"{prefix}.{norm}.scale", weights[f"{prefix}.{norm}.weight"])
        shift = graph.constant(f"{prefix}.{norm}.shift", weights[f"{prefix}.{norm}.bias"])
        summed = graph.node("Add", [linear(part, source), residual], f"{prefix}.{norm}.summed")
        return graph.node(
            "LayerNormalization", [summed, scale, shift], f"{prefix}.{norm}", axis=-1, epsilon=config.layer_norm_eps
        )

    context = _attention(graph, family, config, weights, prefix, hidden, asking, added)
    attended = add_and_norm(family.attended, family.attention_norm, context, asking)
    bias = graph.constant(f"{prefix}.intermediate.bias", weights[f"{prefix}.intermediate.dense.bias"])
    widened = graph.node("BiasGelu", [linear("intermediate.dense", attended), bias], f"{prefix}.gelu", domain=FUSED)
    return add_and_norm("output.dense", "output.LayerNorm", widened, attended)


def _attention(
    graph: GraphBuilder,
    family: Family,
    config: Config,
    weights: Weights,
    prefix: str,
    hidden: str,
    asking: str,
    added: Sequence[str],
) -> str:
    """What the tokens `asking` take of those of `hidden`; by one operator where they are the same."""
    parts = [f"{prefix}.{part}" for part in (family.query, family.key, family.value)]
    matrices = [weights[f"{part}.weight"] for part in parts]
    bias = graph.constant(f"{prefix}.qkv.bias", np.concatenate([weights[f"{part}.bias"] for part in parts]))
    if asking == hidden and graph.attends_by_weights:
        mask, *scores = added
        matrix = graph.constant(f"{prefix}.qkv.weight", np.concatenate(matrices).T)
        operator, inputs = "Attention", [hidden, matrix, bias, mask, NO_PAST, *scores]
    else:
        products = map(graph.linear, (asking, hidden, hidden), matrices, parts)
        operator, inputs = "MultiHeadAttention", [*products, bias, *added]
    return graph.node(operator, inputs, f"{prefix}.context", domain=FUSED, num_heads=config.heads)

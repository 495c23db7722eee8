"""What comes behind the hidden states: pooling, dense layers, unit length."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from crossfade.space import Space

from .graph import GraphBuilder

EPSILON = 1e-12
# Activations of a dense layer: the operators' names in ONNX, and those of the classes in torch.
ACTIVATIONS = ("Identity", "Tanh")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dense:
    """A linear layer behind the pooling.

    Args:
        weight: `(out, in)`.
        bias: `(out,)`, or None.
        activation: One of `ACTIVATIONS`.
    """

    weight: NDArray[np.generic]
    bias: NDArray[np.generic] | None
    activation: str


def finish(graph: GraphBuilder, hidden: str, space: Space, dense: Sequence[Dense] = ()) -> None:
    """Pool `hidden` over the mask, apply the dense layers, bring it to unit length where the Space says so."""
    pooled = _POOLINGS[space.pooling](graph, hidden)
    for number, layer in enumerate(dense):
        pooled = _dense(graph, pooled, layer, f"finish.dense{number}")
    if space.normalized or space.metric == "cos":
        graph.constant("finish.norm_floor", np.array(EPSILON, dtype=np.float32))
        graph.node("ReduceL2", [pooled], "finish.norm", axes=[1], keepdims=1)
        graph.node("Max", ["finish.norm", "finish.norm_floor"], "finish.norm_safe")
        graph.node("Div", [pooled, "finish.norm_safe"], "embedding")
    else:
        graph.node("Identity", [pooled], "embedding")


def _dense(graph: GraphBuilder, rows: str, layer: Dense, name: str) -> str:
    matrix = graph.constant(f"{name}.weight", layer.weight.astype(np.float32).T)
    rows = graph.node("MatMul", [rows, matrix], f"{name}.product")
    if layer.bias is not None:
        shift = graph.constant(f"{name}.bias", layer.bias.astype(np.float32))
        rows = graph.node("Add", [rows, shift], f"{name}.shifted")
    return graph.node(layer.activation, [rows], f"{name}.activated")


def _mask_column(graph: GraphBuilder) -> str:
    """The mask as float32 `(batch, tokens, 1)`."""
    graph.constant("finish.last", np.array([2], dtype=np.int64))
    graph.node("Cast", ["attention_mask"], "finish.mask", to=TensorProto.FLOAT)
    return graph.node("Unsqueeze", ["finish.mask", "finish.last"], "finish.mask_column")


def _mean(graph: GraphBuilder, hidden: str) -> str:
    mask = _mask_column(graph)
    graph.constant("finish.tokens", np.array([1], dtype=np.int64))
    graph.node("Mul", [hidden, mask], "finish.masked")
    graph.node("ReduceSum", ["finish.masked", "finish.tokens"], "finish.sum", keepdims=0)
    graph.node("ReduceSum", [mask, "finish.tokens"], "finish.count", keepdims=0)
    return graph.node("Div", ["finish.sum", "finish.count"], "finish.pooled")


def _first(graph: GraphBuilder, hidden: str) -> str:
    graph.constant("finish.first", np.array(0, dtype=np.int64))
    return graph.node("Gather", [hidden, "finish.first"], "finish.pooled", axis=1)


def _maximum(graph: GraphBuilder, hidden: str) -> str:
    mask = _mask_column(graph)
    graph.constant("finish.lowest", np.array(np.finfo(np.float32).min, dtype=np.float32))
    graph.node("Cast", [mask], "finish.real", to=TensorProto.BOOL)
    graph.node("Where", ["finish.real", hidden, "finish.lowest"], "finish.masked")
    return graph.node("ReduceMax", ["finish.masked"], "finish.pooled", axes=[1], keepdims=0)


_POOLINGS: dict[str, Callable[[GraphBuilder, str], str]] = {"mean": _mean, "cls": _first, "max": _maximum}

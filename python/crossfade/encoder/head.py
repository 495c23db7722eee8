"""What comes behind the hidden states: pooling, dense layers, unit length."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from crossfade.space import Space

from .graph import MASK, ROWS, GraphBuilder

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
    """Pool `hidden` over the real tokens, apply the dense layers, bring it to unit length where the Space says so.

    What follows the hidden states of somebody's file is of that file's version of ONNX: only operators that take the
    same arguments in all of them are used where there is a mask.
    """
    states = graph.node("Cast", [hidden], "finish.hidden", to=TensorProto.FLOAT)
    pooled = _POOLINGS[space.pooling, MASK in graph.inputs](graph, states)
    for number, layer in enumerate(dense):
        pooled = _dense(graph, pooled, layer, f"finish.dense{number}")
    if space.normalized or space.metric == "cos":
        graph.node("LpNormalization", [pooled], ROWS, axis=1, p=2)
    else:
        graph.node("Identity", [pooled], ROWS)


def _dense(graph: GraphBuilder, rows: str, layer: Dense, name: str) -> str:
    matrix = graph.constant(f"{name}.weight", layer.weight.astype(np.float32).T)
    rows = graph.node("MatMul", [rows, matrix], f"{name}.product")
    if layer.bias is not None:
        shift = graph.constant(f"{name}.bias", layer.bias.astype(np.float32))
        rows = graph.node("Add", [rows, shift], f"{name}.shifted")
    return graph.node(layer.activation, [rows], f"{name}.activated")


def _mask(graph: GraphBuilder, name: str, shape: tuple[int, int, int], kind: int) -> str:
    """The mask in another type and shape; 0 stands for an axis as it is."""
    graph.constant(f"{name}.shape", np.array(shape, dtype=np.int64))
    graph.node("Cast", [MASK], f"{name}.cast", to=kind)
    return graph.node("Reshape", [f"{name}.cast", f"{name}.shape"], name)


def _take_first(graph: GraphBuilder, states: str, axis: int) -> str:
    graph.constant("finish.first", np.array(0, dtype=np.int64))
    return graph.node("Gather", [states, "finish.first"], "finish.pooled", axis=axis)


def _cls(graph: GraphBuilder, states: str) -> str:
    return _take_first(graph, states, axis=1)


def _mean(graph: GraphBuilder, states: str) -> str:
    return graph.node("ReduceMean", [states], "finish.pooled", axes=[1], keepdims=0)


def _masked_mean(graph: GraphBuilder, states: str) -> str:
    row = _mask(graph, "finish.mask_row", (0, 1, -1), TensorProto.FLOAT)
    column = _mask(graph, "finish.mask_column", (0, -1, 1), TensorProto.FLOAT)
    graph.node("MatMul", [row, states], "finish.sum")
    graph.node("MatMul", [row, column], "finish.count")
    return _take_first(graph, graph.node("Div", ["finish.sum", "finish.count"], "finish.mean"), axis=1)


def _max(graph: GraphBuilder, states: str) -> str:
    return graph.node("ReduceMax", [states], "finish.pooled", axes=[1], keepdims=0)


def _masked_max(graph: GraphBuilder, states: str) -> str:
    real = _mask(graph, "finish.real", (0, -1, 1), TensorProto.BOOL)
    graph.constant("finish.lowest", np.array(np.finfo(np.float32).min, dtype=np.float32))
    graph.node("Where", [real, states, "finish.lowest"], "finish.masked")
    graph.node("Transpose", ["finish.masked"], "finish.turned", perm=[0, 2, 1])
    return _take_first(graph, graph.node("GlobalMaxPool", ["finish.turned"], "finish.highest"), axis=2)


# By the pooling of a Space, and whether the graph takes a mask.
_POOLINGS: dict[tuple[str, bool], Callable[[GraphBuilder, str], str]] = {
    ("mean", False): _mean,
    ("mean", True): _masked_mean,
    ("cls", False): _cls,
    ("cls", True): _cls,
    ("max", False): _max,
    ("max", True): _masked_max,
}

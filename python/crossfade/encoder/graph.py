"""ONNX graphs that turn token ids into finished rows: how one is put together.

Whatever the model came as, the graph that runs takes token ids, int64 `(batch, tokens)`, and gives `embedding`, float32
`(batch, dim)`: pooling and normalisation happen inside, so the hidden states, which are a hundred times larger, never
leave the runtime. A graph for padded batches takes a mask of the same shape too; without one it is faster, and takes
batches of texts of one length only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IDS, MASK, ROWS = "crossfade.ids", "crossfade.mask", "embedding"
# Tensors of this many elements and of these types are handed to the runtime as arrays. Inside the serialised graph they
# would be copied four times over: loading MiniLM-L6 took 0.6 s that way, and takes 0.1 s.
MIN_OUTSIDE = 256
OUTSIDE = (np.float32, np.uint8)


@dataclasses.dataclass(frozen=True)
class Graph:
    """A serialised ONNX model.

    Args:
        content: The model.
        weights: What it names but does not hold.
        inputs: `IDS`, and `MASK` where batches may be padded.
    """

    content: bytes
    weights: Mapping[str, NDArray[np.generic]]
    inputs: tuple[str, ...]


def single_file(graph: Graph) -> bytes:
    """The serialised model with its weights inside."""
    model = onnx.load_model_from_string(graph.content)
    for tensor in model.graph.initializer:
        if tensor.name in graph.weights:
            tensor.CopyFrom(numpy_helper.from_array(graph.weights[tensor.name], tensor.name))
    return bytes(model.SerializeToString())


class GraphBuilder:
    """Collects nodes and weights; every `node` and `constant` returns the name of its output.

    Args:
        inputs: Those of the graph: `IDS`, and `MASK` where batches may be padded.
    """

    def __init__(self, *inputs: str) -> None:
        self.inputs = inputs
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.weights: dict[str, NDArray[np.generic]] = {}

    @property
    def attends_by_weights(self) -> bool:
        """Whether attentions make their own products of rows and weights, which spares a lone text a twentieth."""
        return MASK not in self.inputs

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Store `value` as an initialiser."""
        if value.dtype in OUTSIDE and value.size >= MIN_OUTSIDE:
            self.weights[name] = np.ascontiguousarray(value)
            self.initializers.append(_placeholder(name, value))
        else:
            self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Append one operator with a single output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, domain=domain, **attributes))
        return output

    def linear(self, source: str, weight: NDArray[np.float32], name: str) -> str:
        """The product of rows and the transpose of `weight`, `(out, in)`."""
        return self.node("MatMul", [source, self.constant(f"{name}.weight", weight.T)], f"{name}.product")

    def graph(self, dim: int, opsets: Sequence[onnx.OperatorSetIdProto], ir_version: int) -> Graph:
        """What was collected, with its inputs and the output that every graph here has."""
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in self.inputs]
        output = helper.make_tensor_value_info(ROWS, TensorProto.FLOAT, ["batch", dim])
        body = helper.make_graph(self.nodes, "encoder", inputs, [output], initializer=self.initializers)
        model = helper.make_model(body, opset_imports=list(opsets), ir_version=ir_version)
        return Graph(content=bytes(model.SerializeToString()), weights=self.weights, inputs=self.inputs)


def _placeholder(name: str, value: NDArray[np.generic]) -> onnx.TensorProto:
    """An initialiser whose values are handed to the runtime beside the graph."""
    tensor = onnx.TensorProto(
        name=name,
        dims=value.shape,
        data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
        data_location=TensorProto.EXTERNAL,
    )
    for key, text in (("location", "memory"), ("offset", "0"), ("length", str(value.nbytes))):
        tensor.external_data.add(key=key, value=text)
    return tensor

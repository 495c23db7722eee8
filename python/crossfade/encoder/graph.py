"""ONNX graphs that turn token ids into finished rows: how one is put together.

Whatever the model came as, the graph that runs takes `input_ids` and `attention_mask`, both int64 `(batch,
tokens)`, and gives `embedding`, float32 `(batch, dim)`: pooling and normalisation happen inside, so the
hidden states, which are a hundred times larger, never leave the runtime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Float tensors of this many elements are handed to the runtime as arrays. Inside the serialised graph they
# would be copied four times over: loading MiniLM-L6 took 0.6 s that way, and takes 0.1 s.
MIN_OUTSIDE = 256


@dataclasses.dataclass(frozen=True)
class Graph:
    """A serialised ONNX model, and the weights it names but does not hold."""

    content: bytes
    weights: Mapping[str, NDArray[np.float32]]


class GraphBuilder:
    """Collects nodes and weights; every `node` and `constant` returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.weights: dict[str, NDArray[np.float32]] = {}

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Store `value` as an initialiser."""
        if value.dtype == np.float32 and value.size >= MIN_OUTSIDE:
            self.weights[name] = np.asarray(value, dtype=np.float32, order="C")
            self.initializers.append(_placeholder(name, value.shape, value.nbytes))
        else:
            self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Append one operator with a single output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, domain=domain, **attributes))
        return output

    def graph(self, dim: int, opsets: Sequence[onnx.OperatorSetIdProto], ir_version: int) -> Graph:
        """What was collected, with the inputs and the output that every graph here has."""
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dim])
        body = helper.make_graph(self.nodes, "encoder", inputs, [output], initializer=self.initializers)
        model = helper.make_model(body, opset_imports=list(opsets), ir_version=ir_version)
        return Graph(content=bytes(model.SerializeToString()), weights=self.weights)


def _placeholder(name: str, shape: Sequence[int], size: int) -> onnx.TensorProto:
    """An initialiser whose values are handed to the runtime beside the graph."""
    tensor = onnx.TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "memory"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor

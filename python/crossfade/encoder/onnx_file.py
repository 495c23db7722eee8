"""Ready ONNX encoders: reading one, and putting pooling behind the output that holds one vector a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from crossfade.errors import ModelDamaged, ModelError
from crossfade.space import Space

from .graph import IDS, MASK, Graph, GraphBuilder
from .head import Dense, finish


def onnx_graph(model: onnx.ModelProto, space: Space, hidden: str, dense: Sequence[Dense] = ()) -> Graph:
    """A ready ONNX encoder with the pooling of `space` put behind its hidden states.

    Args:
        model: The parsed file; its weights must lie inside it.
        space: Decides pooling and normalisation; its dim must be that of the hidden states, or of the last layer.
        hidden: Name of the output `(batch, tokens, dim)`.
        dense: Layers between pooling and normalisation.

    Raises:
        ModelError: Its inputs are not those of a text encoder, or weights lie outside the file.
    """
    elsewhere = sorted({_location(tensor) for tensor in _tensors(model.graph) if tensor.external_data})
    if elsewhere:
        raise ModelError(
            f"the ONNX model keeps weights in another file ({elsewhere[0]!r:.80}), which is never opened; save it as a "
            "single file: onnx.save_model(onnx.load(path), path)"
        )
    graph = GraphBuilder(IDS, MASK)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {it.name: it.type.tensor_type.elem_type for it in model.graph.input if it.name not in stored}
    if set(inputs) - {"input_ids", "attention_mask", "token_type_ids"} or not set(inputs) >= {
        "input_ids",
        "attention_mask",
    }:
        raise ModelError(
            "a text encoder takes input_ids and attention_mask (and token_type_ids), "
            f"this ONNX model takes {', '.join(sorted(inputs))}"
        )
    graph.node("Sub", [IDS, IDS], "crossfade.token_types")
    sources = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": "crossfade.token_types"}
    for name, kind in inputs.items():
        graph.node("Cast", [sources[name]], name, to=kind)
    graph.nodes.extend(_needed(model.graph.node, hidden))
    used = {source for node in graph.nodes for source in node.input}
    for tensor in model.graph.initializer:
        if tensor.name in used and tensor.data_type == TensorProto.FLOAT:
            graph.constant(tensor.name, _values(tensor))
        elif tensor.name in used:
            graph.initializers.append(tensor)
    finish(graph, hidden, space, dense)
    return graph.graph(space.dim, model.opset_import, model.ir_version)


def parse_onnx(content: bytes) -> onnx.ModelProto:
    """The model in `content`; ModelDamaged if there is none."""
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError is not part of onnx's interface
        raise ModelDamaged("the file is no ONNX model; fetch it again") from error
    if not model.graph.node:
        raise ModelDamaged("the ONNX model is empty; fetch it again")
    if not all(isinstance(name, str) for name in _names(model)):  # protobuf gives bytes for what is no UTF-8
        raise ModelDamaged("a name in the ONNX model is no text; fetch it again")
    return model


def _names(model: onnx.ModelProto) -> Iterator[object]:
    graph = model.graph
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    yield from (opset.domain for opset in model.opset_import)
    for node in graph.node:
        yield from (*node.input, *node.output, node.name, node.op_type, node.domain)
        yield from (attribute.name for attribute in node.attribute)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph, those of its nodes' attributes and of the graphs inside these too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors, attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _location(tensor: onnx.TensorProto) -> str:
    return next((str(entry.value) for entry in tensor.external_data if entry.key == "location"), "")


def _values(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise ModelDamaged(f"weights {tensor.name!r} of the ONNX model don't have the shape they claim") from error


def hidden_output(model: onnx.ModelProto, wanted: str | None = None) -> str:
    """Name of the output that holds one vector a token."""
    outputs = {str(value.name): len(value.type.tensor_type.shape.dim) for value in model.graph.output}
    if wanted is not None:
        if wanted not in outputs:
            raise ModelError(f"the ONNX model has no output {wanted!r}; it has {', '.join(outputs)}")
        return wanted
    candidates = [name for name, rank in outputs.items() if rank == 3]
    if len(candidates) != 1:
        raise ModelError(
            "an ONNX encoder needs exactly one output (batch, tokens, dim); "
            f"this one gives {', '.join(f'{name} of rank {rank}' for name, rank in outputs.items())}"
        )
    return candidates[0]


def _needed(nodes: Sequence[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """The nodes that `output` depends on, in their order; a subgraph may use any name, so those nodes' inputs stay."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.output):
            continue
        wanted.update(node.input)
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                wanted.update(source for inner in subgraph.node for source in inner.input)
        kept.append(node)
    return kept[::-1]

"""ONNX graphs that turn token ids into finished rows.

Whatever the model came as, the graph that runs takes `input_ids` and `attention_mask`, both int64 `(batch,
tokens)`, and gives `embedding`, float32 `(batch, dim)`: pooling and normalisation happen inside, so the
hidden states, which are a hundred times larger, never leave the runtime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from crossfade.errors import ModelDamaged, ModelError
from crossfade.space import Space

from .bert import BertConfig

OPSET = 17
IR_VERSION = 8
# Operators that the CPU provider of onnxruntime fuses: attention with its three projections, residual +
# LayerNorm, bias + GELU. Without them MiniLM-L6 is a fifth slower.
FUSED = "com.microsoft"
EPSILON = 1e-12
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


def bert_graph(config: BertConfig, weights: Mapping[str, NDArray[np.float32]], space: Space) -> Graph:
    """Graph of a BERT encoder (Devlin et al., 2019) with the pooling of `space`.

    Args:
        config: Sizes and constants of the model.
        weights: The tensors named by `bert.tensor_names`, float32.
        space: Decides pooling and normalisation.

    """
    graph = GraphBuilder()
    hidden = _embeddings(graph, config, weights)
    graph.node("Cast", ["attention_mask"], "mask32", to=TensorProto.INT32)
    for layer in range(config.layers):
        hidden = _layer(graph, config, weights, f"encoder.layer.{layer}", hidden)
    _finish(graph, hidden, space)
    return _serialise(graph, space, [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)], IR_VERSION)


def _embeddings(graph: GraphBuilder, config: BertConfig, weights: Mapping[str, NDArray[np.float32]]) -> str:
    words = graph.constant("words", weights["embeddings.word_embeddings.weight"])
    # A single text has token type 0 everywhere, so that row is added to the positions once and for all.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    graph.constant("positions", positions.astype(np.float32))
    for name, value in (("zero", 0), ("one", 1)):
        graph.constant(name, np.array([value], dtype=np.int64))
    graph.node("Gather", [words, "input_ids"], "word_rows")
    graph.node("Shape", ["input_ids"], "length", start=1, end=2)
    graph.node("Slice", ["positions", "zero", "length", "zero", "one"], "position_rows")
    graph.node("Add", ["word_rows", "position_rows"], "summed")
    scale = graph.constant("embeddings.scale", weights["embeddings.LayerNorm.weight"])
    shift = graph.constant("embeddings.shift", weights["embeddings.LayerNorm.bias"])
    return graph.node(
        "LayerNormalization", ["summed", scale, shift], "embedded", axis=-1, epsilon=config.layer_norm_eps
    )


def _layer(
    graph: GraphBuilder,
    config: BertConfig,
    weights: Mapping[str, NDArray[np.float32]],
    prefix: str,
    hidden: str,
) -> str:
    def linear(part: str, source: str) -> str:
        matrix = graph.constant(f"{prefix}.{part}.weight", weights[f"{prefix}.{part}.weight"].T)
        return graph.node("MatMul", [source, matrix], f"{prefix}.{part}.product")

    def bias(part: str) -> str:
        return graph.constant(f"{prefix}.{part}.bias", weights[f"{prefix}.{part}.bias"])

    def add_and_norm(part: str, product: str, residual: str) -> str:
        scale = graph.constant(f"{prefix}.{part}.scale", weights[f"{prefix}.{part}.LayerNorm.weight"])
        shift = graph.constant(f"{prefix}.{part}.shift", weights[f"{prefix}.{part}.LayerNorm.bias"])
        return graph.node(
            "SkipLayerNormalization",
            [product, residual, scale, shift, bias(f"{part}.dense")],
            f"{prefix}.{part}",
            domain=FUSED,
            epsilon=config.layer_norm_eps,
        )

    parts = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    fused = graph.constant(f"{prefix}.qkv.weight", np.concatenate([weights[f"{p}.weight"].T for p in parts], axis=1))
    fused_bias = graph.constant(f"{prefix}.qkv.bias", np.concatenate([weights[f"{p}.bias"] for p in parts]))
    context = graph.node(
        "Attention",
        [hidden, fused, fused_bias, "mask32"],
        f"{prefix}.context",
        domain=FUSED,
        num_heads=config.heads,
    )
    attended = add_and_norm("attention.output", linear("attention.output.dense", context), hidden)
    widened = graph.node(
        "BiasGelu",
        [linear("intermediate.dense", attended), bias("intermediate.dense")],
        f"{prefix}.gelu",
        domain=FUSED,
    )
    return add_and_norm("output", linear("output.dense", widened), attended)


def onnx_graph(model: onnx.ModelProto, space: Space, hidden: str) -> Graph:
    """A ready ONNX encoder with the pooling of `space` put behind its hidden states.

    Args:
        model: The parsed file; its weights must lie inside it.
        space: Decides pooling and normalisation; its dim must be that of the hidden states.
        hidden: Name of the output `(batch, tokens, dim)`.

    Raises:
        ModelError: Its inputs are not those of a text encoder, or weights lie outside the file.
    """
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ModelError("the ONNX model keeps weights in other files; save it as a single file")
    graph = GraphBuilder()
    inputs = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    unknown = inputs - {"input_ids", "attention_mask", "token_type_ids"}
    if unknown or not inputs >= {"input_ids", "attention_mask"}:
        raise ModelError(
            "a text encoder takes input_ids and attention_mask (and token_type_ids), "
            f"this ONNX model takes {', '.join(sorted(inputs))}"
        )
    if "token_type_ids" in inputs:
        graph.node("Sub", ["input_ids", "input_ids"], "token_type_ids")
    graph.nodes.extend(_needed(model.graph.node, hidden))
    used = {source for node in graph.nodes for source in node.input}
    for tensor in model.graph.initializer:
        if tensor.name in used and tensor.data_type == TensorProto.FLOAT:
            graph.constant(tensor.name, _values(tensor))
        elif tensor.name in used:
            graph.initializers.append(tensor)
    _finish(graph, hidden, space)
    return _serialise(graph, space, model.opset_import, model.ir_version)


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


def _finish(graph: GraphBuilder, hidden: str, space: Space) -> None:
    """Pool `hidden` over the mask and bring it to unit length where the Space says so."""
    pooled = _POOLINGS[space.pooling](graph, hidden)
    if space.normalized or space.metric == "cos":
        graph.constant("finish.norm_floor", np.array(EPSILON, dtype=np.float32))
        graph.node("ReduceL2", [pooled], "finish.norm", axes=[1], keepdims=1)
        graph.node("Max", ["finish.norm", "finish.norm_floor"], "finish.norm_safe")
        graph.node("Div", [pooled, "finish.norm_safe"], "embedding")
    else:
        graph.node("Identity", [pooled], "embedding")


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


def _placeholder(name: str, shape: Sequence[int], size: int) -> onnx.TensorProto:
    """An initialiser whose values are handed to the runtime beside the graph."""
    tensor = onnx.TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "memory"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _serialise(graph: GraphBuilder, space: Space, opsets: Sequence[onnx.OperatorSetIdProto], ir_version: int) -> Graph:
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", space.dim])
    body = helper.make_graph(graph.nodes, "encoder", inputs, [output], initializer=graph.initializers)
    model = helper.make_model(body, opset_imports=list(opsets), ir_version=ir_version)
    return Graph(content=bytes(model.SerializeToString()), weights=graph.weights)

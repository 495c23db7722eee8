"""Folders that sentence-transformers saved: what their settings say is done, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
import tokenizers
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from crossfade.encoder import Encoder
from crossfade.errors import ModelDamaged, ModelError
from tiny_models import HIDDEN, WORDS, random_weights, reference_rows, word_tokenizer, write_bert, write_onnx

IDS = [2, 4, 5, 3]
TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"


def module(kind: str, path: str = "") -> dict[str, str]:
    return {"path": path, "type": f"sentence_transformers.models.{kind}"}


def write_json(folder: Path, name: str, value: object) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(value))


def write_modules(folder: Path, *modules: dict[str, str], **pooling: object) -> Path:
    write_json(folder, "modules.json", [module("Transformer"), *modules])
    write_json(folder, "1_Pooling/config.json", pooling or {"pooling_mode_mean_tokens": True})
    return folder


def write_dense(
    folder: Path, path: str, into: int, out: int, *, bias: bool = True, **settings: Any
) -> dict[str, NDArray[np.float32]]:
    """A subfolder with a dense layer; returns its tensors."""
    generator = np.random.default_rng(out)
    tensors = {"linear.weight": generator.standard_normal((out, into), dtype=np.float32) * 0.3}
    if bias:
        tensors["linear.bias"] = generator.standard_normal(out, dtype=np.float32)
    fields = {"in_features": into, "out_features": out, "bias": bias, "activation_function": TANH}
    write_json(folder, f"{path}/config.json", fields | settings)
    (folder / path / "model.safetensors").write_bytes(safetensors.numpy.save(tensors))
    return tensors


def pooled() -> NDArray[np.float64]:
    return np.asarray(reference_rows(random_weights(), IDS).mean(axis=0))


def unit(row: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(row / np.linalg.norm(row))


def test_dense_layers_are_part_of_the_graph(tmp_path: Path) -> None:
    """Two layers behind the pooling, with tanh and bias and with neither, give what NumPy gives; rows have their
    columns."""
    folder = write_modules(
        write_bert(tmp_path / "m"),
        module("Pooling", "1_Pooling"),
        module("Dense", "2_Dense"),
        module("Dense", "3_Dense"),
    )
    first = write_dense(folder, "2_Dense", HIDDEN, 48)
    second = write_dense(folder, "3_Dense", 48, 8, bias=False, activation_function=IDENTITY)
    encoder = Encoder.load(folder, precision="float32")
    hidden = np.tanh(first["linear.weight"].astype(np.float64) @ pooled() + first["linear.bias"])
    expected = second["linear.weight"].astype(np.float64) @ hidden
    rows = encoder.encode(["alpha beta", "alpha beta gamma delta epsilon zeta"])
    assert encoder.space.dim == 8
    np.testing.assert_allclose(rows[0], unit(expected), atol=3e-6)


def test_dense_layers_behind_an_onnx_file(tmp_path: Path) -> None:
    """A ready ONNX encoder gets its dense layer too."""
    folder = write_modules(
        write_onnx(tmp_path / "m"), module("Pooling", "1_Pooling"), module("Dense", "2_Dense"), module("Normalize")
    )
    layer = write_dense(folder, "2_Dense", 8, 5)
    table = np.random.default_rng(7).standard_normal((len(WORDS), 8)).astype(np.float32)
    expected = np.tanh(layer["linear.weight"] @ table[IDS].mean(axis=0) + layer["linear.bias"]).astype(np.float64)
    rows = Encoder.load(folder, precision="float32").encode(["alpha beta"])
    np.testing.assert_allclose(rows[0], unit(expected), atol=2e-6)


def test_dense_layers_are_part_of_the_space(tmp_path: Path) -> None:
    """A layer, its weights and its activation each make another Space; equal ones make the same."""

    def fingerprint(name: str, *kinds: str, **settings: Any) -> str:
        dense = [module(kind, f"{number}_Dense") for number, kind in enumerate(kinds)]
        folder = write_modules(write_bert(tmp_path / name), module("Pooling", "1_Pooling"), *dense, module("Normalize"))
        for entry in dense:
            write_dense(folder, entry["path"], HIDDEN, HIDDEN, **settings)
        return Encoder.load(folder).space.fingerprint

    prints = [
        fingerprint("none"),
        fingerprint("one", "Dense"),
        fingerprint("two", "Dense", "Dense"),
        fingerprint("linear", "Dense", activation_function=IDENTITY),
        fingerprint("plain", "Dense", bias=False),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint("again", "Dense") == prints[1]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"activation_function": "torch.nn.modules.activation.ReLU"}, ModelError, "Identity or Tanh, .*ReLU"),
        ({"use_residual": True}, ModelError, "without residual"),
        ({"module_input_name": "token_embeddings"}, ModelError, "map sentence embeddings"),
        ({"in_features": HIDDEN + 1}, ModelDamaged, r"linear\.weight must have shape \(16, 33\)"),
        ({"out_features": "many"}, ModelDamaged, "the settings in .* got 'many'"),
    ],
)
def test_other_dense_layers_are_refused(
    tmp_path: Path, settings: dict[str, Any], error: type[ModelError], message: str
) -> None:
    """What the graph would get wrong, and weights of another size than the settings say."""
    folder = write_modules(write_bert(tmp_path / "m"), module("Pooling", "1_Pooling"), module("Dense", "2_Dense"))
    write_dense(folder, "2_Dense", HIDDEN, 16, **settings)
    with pytest.raises(error, match=message):
        Encoder.load(folder)


def test_dense_layers_must_fit_each_other(tmp_path: Path) -> None:
    """A layer that takes other columns than the one before it gives is refused."""
    folder = write_modules(write_bert(tmp_path / "m"), module("Pooling", "1_Pooling"), module("Dense", "2_Dense"))
    write_dense(folder, "2_Dense", HIDDEN + 1, 16)
    with pytest.raises(ModelDamaged, match="give 32 columns where 33 are taken"):
        Encoder.load(folder)


def test_dense_weights_in_a_pickle_are_refused(tmp_path: Path) -> None:
    """Only safetensors are read; the message says which file lacks."""
    folder = write_modules(write_bert(tmp_path / "m"), module("Pooling", "1_Pooling"), module("Dense", "2_Dense"))
    write_dense(folder, "2_Dense", HIDDEN, 16)
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"2_Dense must hold .* lacks model\.safetensors"):
        Encoder.load(folder)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            [module("Pooling", "1_Pooling"), module("Normalize"), module("Dense", "2_Dense")],
            "Transformer, Pooling, Normali",
        ),
        ([module("Pooling", "1_Pooling"), module("LSTM", "2_LSTM")], "the folder has Transformer, Pooling, LSTM"),
        ([module("WeightedLayerPooling", "1_W"), module("Pooling", "1_Pooling")], "WeightedLayerPooling"),
        ([module("Pooling", "../1_Pooling")], "a module's path must be the name of a subfolder"),
        ([module("Pooling", "1_Pooling"), module("Dense", "/etc")], "a module's path must be the name of a subfolder"),
        ([module("Transformer", "0_Transformer")], "Transformer, Transformer"),
    ],
)
def test_other_modules_are_refused(tmp_path: Path, modules: list[dict[str, str]], message: str) -> None:
    """A module that isn't known, another order, and a path that leads out of the folder."""
    with pytest.raises(ModelError, match=message):
        Encoder.load(write_modules(write_bert(tmp_path / "m"), *modules))


@pytest.mark.parametrize("modules", [{"type": "x"}, [1], [{"path": ""}], "text", 3, None])
def test_a_list_of_modules_that_is_none(tmp_path: Path, modules: object) -> None:
    """modules.json of another form is a ModelDamaged of ours."""
    with pytest.raises(ModelDamaged, match=r"modules\.json must hold a list"):
        Encoder.load(write_bert(tmp_path / "m", modules=modules))


def test_a_transformer_in_a_subfolder_is_refused(tmp_path: Path) -> None:
    """The layout of early versions, whose weights lie in 0_Transformer, is named."""
    folder = write_bert(tmp_path / "m", modules=[module("Transformer", "0_Transformer")])
    with pytest.raises(ModelError, match=r"must lie in the folder itself.*'0_Transformer'"):
        Encoder.load(folder)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["max"]}, "max"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}, "max"),
        ({"word_embedding_dimension": HIDDEN}, "mean"),
    ],
)
def test_pooling_is_that_of_the_module(tmp_path: Path, pooling: dict[str, object], expected: str) -> None:
    """The mode stands in the subfolder that modules.json names, in the old form or the new."""
    folder = write_modules(write_bert(tmp_path / "m"), module("Pooling", "pool"))
    write_json(folder, "pool/config.json", pooling)
    assert Encoder.load(folder).space.pooling == expected


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode": "lasttoken"},
        {"pooling_mode": "weightedmean"},
        {"pooling_mode": ["mean", "cls"]},
        {"pooling_mode_mean_sqrt_len_tokens": True},
        {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
    ],
)
def test_other_poolings_are_refused(tmp_path: Path, pooling: dict[str, object]) -> None:
    """A pooling that isn't one of ours, or several of them, is refused with those there are."""
    folder = write_modules(write_bert(tmp_path / "m"), module("Pooling", "1_Pooling"), **pooling)
    with pytest.raises(ModelError, match="pooling must be one of mean, cls, max, the folder asks for "):
        Encoder.load(folder)


@pytest.mark.parametrize("name", ["document", "passage", "corpus"])
def test_prompts_are_prefixes(tmp_path: Path, name: str) -> None:
    """The prompt for documents goes by any of three names; an empty one is passed over."""
    prompts = {"document": "", "query": "query : ", name: "document : ", "clustering": "theta"}
    space = Encoder.load(write_bert(tmp_path / "m", config_sentence_transformers={"prompts": prompts})).space
    assert (space.document_prefix, space.query_prefix) == ("document : ", "query : ")


@pytest.mark.parametrize("prompts", [["query"], "query", {"query": 3}])
def test_prompts_of_another_form_are_refused(tmp_path: Path, prompts: object) -> None:
    """Prompts are texts by name."""
    with pytest.raises(ModelDamaged, match="must be texts by name"):
        Encoder.load(write_bert(tmp_path / "m", config_sentence_transformers={"prompts": prompts}))


def test_a_pooling_without_the_prompt_is_refused(tmp_path: Path) -> None:
    """Leaving the prompt's tokens out of the pooling can't be done; where there is no prompt it changes nothing."""
    folder = write_modules(write_bert(tmp_path / "m"), module("Pooling", "1_Pooling"), include_prompt=False)
    Encoder.load(folder)
    write_json(folder, "config_sentence_transformers.json", {"prompts": {"query": "query : "}})
    with pytest.raises(ModelError, match="include_prompt"):
        Encoder.load(folder)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", ["dot"]])
def test_other_similarities_are_refused(tmp_path: Path, metric: object) -> None:
    """A model whose rows are compared by a distance is not taken for one of the cosine."""
    with pytest.raises(ModelError, match="compared by cosine or dot"):
        Encoder.load(write_bert(tmp_path / "m", config_sentence_transformers={"similarity_fn_name": metric}))


def test_small_letters_are_the_tokenizers_business(tmp_path: Path) -> None:
    """Settings that ask for small letters are refused unless the tokenizer makes them."""
    folder = write_bert(tmp_path / "m", sentence_bert_config={"max_seq_length": 20, "do_lower_case": True})
    with pytest.raises(ModelError, match="asks for small letters"):
        Encoder.load(folder)
    tokenizer = word_tokenizer()
    parts = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFD(), tokenizers.normalizers.Lowercase()])
    tokenizer.normalizer = parts
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    rows = Encoder.load(folder, precision="float32").encode(["Alpha BETA", "alpha beta"])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)


def test_the_export_in_a_subfolder_is_found(tmp_path: Path) -> None:
    """onnx/model.onnx is run where nothing else can be, and weights that can be built come first."""
    folder = write_onnx(tmp_path / "m")
    plain = Encoder.load(folder).space
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert Encoder.load(folder).space == plain
    write_bert(folder)
    assert Encoder.load(folder).space.dim == HIDDEN


def _in_initializer(model: onnx.ModelProto) -> onnx.TensorProto:
    return model.graph.initializer[0]


def _in_constant(model: onnx.ModelProto) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(8, np.float32), "zeros")
    model.graph.node.append(helper.make_node("Constant", [], ["zeros"], value=tensor))
    return model.graph.node[-1].attribute[0].t


def _in_branch(model: onnx.ModelProto) -> onnx.TensorProto:
    inner = numpy_helper.from_array(np.zeros(8, np.float32), "inner")
    output = helper.make_tensor_value_info("branch", TensorProto.FLOAT, [8])
    branch = helper.make_graph([helper.make_node("Identity", ["inner"], ["branch"])], "b", [], [output], [inner])
    model.graph.node.append(helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch))
    return model.graph.node[-1].attribute[0].g.initializer[0]


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/passwd", "weights.bin", "sub/weights.bin"])
@pytest.mark.parametrize("place", [_in_initializer, _in_constant, _in_branch])
def test_onnx_weights_in_other_files_are_refused(
    tmp_path: Path, place: Callable[[onnx.ModelProto], onnx.TensorProto], location: str
) -> None:
    """Wherever a tensor of the model points, outside its folder or inside, no other file is opened."""
    folder = write_onnx(tmp_path / "m")
    model = onnx.load(folder / "model.onnx")
    tensor = place(model)
    values = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "sub").mkdir()
    for path in (folder / "weights.bin", folder / "sub" / "weights.bin", tmp_path / "outside.bin"):
        path.write_bytes(values)
    with pytest.raises(ModelError, match=f"another file \\('{location}'\\).*single file"):
        Encoder.load(folder)

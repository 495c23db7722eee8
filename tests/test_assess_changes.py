"""What changes between two Spaces, and whether there is anything to do at all."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy

import crossfade as cf
from crossfade.assess.changes import Changes, changes, differences
from crossfade.assess.neighbourhoods import Neighbourhoods, neighbourhoods
from crossfade.assess.sample import draw
from crossfade.encoder.models import model_folder
from support import COUNT, OLD, bag_of_words, filled, wrapped

BASE = cf.Space(model="a", dim=32, weights="w", tokenizer="t", pooling="mean", max_tokens=256)


@pytest.mark.parametrize(
    ("field", "value", "breaks"),
    [
        ("dim", 64, "refuses 64.*2 times the space"),
        ("metric", "dot", "dot products and no longer cosines"),
        ("normalized", False, "must normalise"),
        ("document_prefix", "passage: ", "before them"),
        ("query_prefix", "query: ", "documents' vectors don't change"),
        ("max_tokens", 512, "up to 512 tokens of a text count where 256 did"),
        ("max_tokens", 128, "after 128 tokens"),
        ("max_tokens", None, "not known"),
        ("pooling", "cls", "another way"),
        ("weights", "v", "no vector of one model"),
        ("tokenizer", "u", "other tokens"),
    ],
)
def test_each_field_tells_what_breaks(field: str, value: Any, breaks: str) -> None:
    """A field that differs is named, with one line of what breaks by it; the others are not."""
    (change,) = differences(BASE, dataclasses.replace(BASE, **{field: value}))
    assert (change.field, change.old, change.new) == (field, getattr(BASE, field), value)
    assert "\n" not in change.breaks
    assert re.search(breaks, change.breaks)


def test_another_name_is_no_change_where_there_are_weights() -> None:
    """Without weights the name is all there is, and a change; with them it is a label."""
    assert differences(BASE, dataclasses.replace(BASE, model="b", version="2")) == []
    bare = cf.Space(model="a", dim=3)
    assert [change.field for change in differences(bare, dataclasses.replace(bare, model="b"))] == ["model"]


def compared(tmp_path: Path, new: cf.Encoder, old: cf.Encoder | None = None) -> tuple[Changes, Neighbourhoods]:
    with filled(tmp_path / "kb.cf", old or wrapped(*OLD), COUNT) as docs:
        sample = draw(docs._store, new, most=200)
    return changes(sample), neighbourhoods(sample)


def altered(name: str, dim: int, alter: Callable[[npt.NDArray[Any]], Any], **fields: Any) -> cf.Encoder:
    """An encoder that gives what the old one does, altered."""
    embed = bag_of_words(*OLD[1:])
    return cf.Encoder.wrap(lambda texts: alter(embed(texts)), cf.Space(model=name, dim=dim, **fields))


def test_a_renamed_service_is_the_same_model(tmp_path: Path) -> None:
    """A model under another name, without weights to compare, is known by its vectors: no document needs a new one."""
    found, near = compared(tmp_path, altered("gateway/old", 32, lambda rows: rows))
    assert (found.kinship, found.reembed, found.unchanged.value) == ("same vectors", False, 1.0)
    assert near.overlap.value is not None
    assert near.overlap.value > 0.98
    assert not near.unrelated


@pytest.mark.parametrize(
    ("dim", "alter", "kinship", "reembed"),
    [
        (16, lambda rows: rows[:, :16], "truncation", False),
        (40, lambda rows: np.pad(rows, ((0, 0), (0, 8)), constant_values=0.1), "extension", True),
        (16, lambda rows: rows[:, 16:], "another model", True),
    ],
)
def test_truncations_are_known_by_their_rows(
    tmp_path: Path, dim: int, alter: Callable[[npt.NDArray[Any]], Any], kinship: str, reembed: bool
) -> None:
    """Rows that are beginnings of the stored ones, at unit length again, need no model; longer ones do."""
    found, _ = compared(tmp_path, altered("cut", dim, alter))
    assert (found.kinship, found.reembed) == (kinship, reembed)


def test_rows_that_differ_for_some_documents_are_partly_the_same(tmp_path: Path) -> None:
    """The same model with a setting that touches a part of the documents tells how large that part is."""

    def spoilt(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.where((rows[:, :1] > 0), rows, rows[:, ::-1])

    found, _ = compared(tmp_path, altered("half", 32, spoilt))
    assert (found.kinship, found.reembed) == ("partly the same", True)
    assert found.unchanged.value is not None
    assert found.unchanged.interval is not None
    assert 0.3 < found.unchanged.interval[0] < found.unchanged.value < found.unchanged.interval[1] < 0.7


def test_lengths_count_where_rows_keep_them(tmp_path: Path) -> None:
    """Rows of twice the length are the same by cosines, and others by dot products."""
    for metric, kinship in (("cos", "same vectors"), ("dot", "another model")):
        old = altered("old", 32, lambda rows: rows, metric=metric, normalized=False)
        new = altered("new", 32, lambda rows: 2 * rows, metric=metric, normalized=False)
        found, _ = compared(tmp_path / metric, new, old)
        assert found.kinship == kinship


def test_another_model_moves_neighbourhoods_and_is_bridged(tmp_path: Path, new: cf.Encoder) -> None:
    """Two models of the same texts share neighbours beyond chance, and a Bridge tells what it would keep."""
    found, near = compared(tmp_path, new)
    assert (found.kinship, found.reembed, found.unchanged.value) == ("another model", True, 0.0)
    assert (near.documents, near.chance) == (200, pytest.approx(10 / 199))
    assert near.overlap.value is not None
    assert near.overlap.interval is not None
    assert near.chance < near.overlap.interval[0] < near.overlap.value < near.overlap.interval[1] < 1.0
    assert near.order.value is not None
    assert 0.1 < near.order.value < 0.95
    assert near.bridge is not None
    assert near.recall.value == near.bridge.quality.recall_at_10
    assert near.retention.interval == near.bridge.quality.retention_interval
    told = near.to_dict()
    assert "bridge" not in told
    assert set(told["overlap"]) == {"name", "value", "interval", "meaning"}


def test_rows_without_meaning_are_seen_at_once(tmp_path: Path) -> None:
    """A model whose rows have nothing to do with the texts has the overlap and the order of chance."""
    generator = np.random.default_rng(0)
    noise = cf.Encoder.wrap(lambda texts: generator.standard_normal((len(texts), 48)), cf.Space(model="noise", dim=48))
    _, near = compared(tmp_path, noise)
    assert near.unrelated
    assert near.overlap.interval is not None
    assert near.overlap.interval[0] < near.chance < near.overlap.interval[1]
    assert near.order.value is not None
    assert abs(near.order.value) < 0.05


def shuffled(model: Path, folder: Path) -> cf.Encoder:
    """A model of the same files whose numbers stand in another order, tensor by tensor."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    generator = np.random.default_rng(0)
    weights = safetensors.numpy.load_file(model / "model.safetensors")
    mixed = {
        name: generator.permutation(values.ravel()).reshape(values.shape) if values.dtype == np.float32 else values
        for name, values in weights.items()
    }
    safetensors.numpy.save_file(mixed, folder / "model.safetensors")
    return cf.Encoder.load(folder, precision="float32", engine="onnxruntime")


def test_shuffled_weights_are_seen_at_once(tmp_path: Path, l3: cf.Encoder, l6: cf.Encoder) -> None:
    """A trained model whose weights are shuffled knows words at best; a real one does not pass for it."""
    about = {inspect.getdoc(it) for room in (os, json, re, shutil, subprocess, tarfile) for it in vars(room).values()}
    texts = sorted({" ".join(text.split()[:12]) for text in about if text and len(text) > 100})[:64]
    broken = shuffled(model_folder("minilm-l6"), tmp_path / "broken")
    with cf.Collection.create(tmp_path / "kb.cf", l3) as docs:
        docs.upsert([cf.Document(str(number), text) for number, text in enumerate(texts)])
        found = [neighbourhoods(draw(docs._store, encoder)) for encoder in (broken, l6)]
    assert [it.unrelated for it in found] == [True, False]
    assert "plain words" in found[0].overlap.meaning


def test_too_few_documents_tell_nothing(tmp_path: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """Of a handful of documents no overlap and no Bridge is told, and why is said."""
    with filled(tmp_path / "kb.cf", old, 5) as docs:
        near = neighbourhoods(draw(docs._store, new))
    assert (near.overlap.value, near.retention.value, near.bridge, near.unrelated) == (None, None, None, False)
    assert "too few" in near.overlap.meaning
    assert "needs 10 documents, the sample has 5" in near.recall.meaning

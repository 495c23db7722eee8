"""How both tokenizers spell a collection's words, and which texts they cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tokenizers

import crossfade as cf
from crossfade.assess.sizes import sizes_of, truncated
from crossfade.assess.texts import Texts
from crossfade.assess.vocabulary import vocabulary
from support import OLD, wrapped
from tiny_models import CONFIG, WORDS, word_tokenizer, write_bert

OLDER = ["alpha beta gamma", "beta gamma delta", "gamma delta alpha"] * 10
RECENT = ["alpha zetabeta", "zetabeta gamma delta"] * 5


def texts_of(contents: list[str], updated_at: list[float] | None = None) -> Texts:
    times = np.array(updated_at or [np.nan] * len(contents))
    return Texts(len(contents), len(contents), np.arange(1, len(contents) + 1, dtype=np.uint64), tuple(contents), times)


def spelling(folder: Path) -> cf.Encoder:
    """A model whose tokenizer spells words that it does not have in pieces of those it has."""
    write_bert(folder, config={**CONFIG, "vocab_size": len(WORDS) + 2})
    vocabulary = {word: number for number, word in enumerate([*WORDS, "##beta", "##gamma"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    shipped = word_tokenizer()
    made.pre_tokenizer, made.post_processor = shipped.pre_tokenizer, shipped.post_processor
    (folder / "tokenizer.json").write_text(made.to_str())
    (folder / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": len(WORDS) + 2}))
    return cf.Encoder.load(widened(folder), precision="float32", engine="onnxruntime")


@pytest.fixture
def plain(tmp_path: Path) -> cf.Encoder:
    """A model that knows ten words, and takes every other one for unknown."""
    settings = {"sentence_bert_config": {"max_seq_length": 10}}
    return cf.Encoder.load(write_bert(tmp_path / "plain", **settings), precision="float32", engine="onnxruntime")


def widened(folder: Path) -> Path:
    """The folder, its table of tokens enlarged to the size that its config says."""
    path = folder / "model.safetensors"
    weights = safetensors.numpy.load(path.read_bytes())
    table = weights["embeddings.word_embeddings.weight"]
    weights["embeddings.word_embeddings.weight"] = np.concatenate([table, table[:2]])
    path.write_bytes(safetensors.numpy.save(weights))
    return folder


def test_unknown_words_and_pieces_are_counted_over_time(tmp_path: Path, plain: cf.Encoder) -> None:
    """Recent texts have a word that the old tokenizer does not know and the new one spells in two pieces."""
    times = [float(number) for number in range(40)]
    found = vocabulary(texts_of(OLDER + RECENT, times), plain, spelling(tmp_path / "pieces"))
    assert (found.texts, found.by) == (40, "updated_at")
    assert found.old.unknown.value == pytest.approx(10 / 115)
    assert found.new.unknown.value == 0.0
    assert found.new.fertility.value == pytest.approx(125 / 115)
    assert found.new.continued.value == pytest.approx(10 / 115)
    assert found.new.drift.value == pytest.approx(0.4)
    assert found.new.drift.interval is not None
    assert found.new.drift.interval[0] > 0
    assert "ages" in found.new.drift.meaning
    (helped,) = found.helped
    assert (helped.word, helped.old, helped.new, helped.recent) == ("zetabeta", 0, 2, 1.0)
    assert found.harmed == ()
    assert [term.word for term in found.emerging] == ["zetabeta"]
    assert found.to_dict()["helped"][0]["word"] == "zetabeta"


def test_recent_goes_by_the_order_of_adding_where_no_time_is_known(plain: cf.Encoder) -> None:
    """Without `updated_at` the documents added last are the recent ones, and the report says so."""
    found = vocabulary(texts_of(OLDER + RECENT), plain, plain)
    assert found.by == "order of adding"
    assert found.old.drift.value is not None
    assert found.old.drift.value > 0
    assert (found.helped, found.harmed) == ((), ())
    backwards = vocabulary(texts_of(RECENT + OLDER), plain, plain)
    assert backwards.old.drift.value is not None
    assert backwards.old.drift.value < 0


def test_no_tokenizer_is_said(plain: cf.Encoder) -> None:
    """Of a callable, and of an old model that isn't at hand, nothing is told but why; the other one's is."""
    for old in (wrapped(*OLD), None):
        found = vocabulary(texts_of(OLDER + RECENT), old, plain)
        assert found.old.fertility.value is None
        assert "no tokenizer" in found.old.fertility.meaning
        assert found.new.unknown.value == pytest.approx(10 / 115)
        assert [term.old for term in found.emerging] == [None]


def test_truncated_texts_are_counted_by_the_model_that_cuts_them(plain: cf.Encoder) -> None:
    """A model of 10 tokens cuts texts of nine words; a text that it can't take at all doesn't spoil the count."""
    contents = ["alpha " * words for words in (1, 8, 9, 30)] + ["\x00"]
    sizes = sizes_of(plain, contents)
    assert sizes.tokens.tolist()[:4] == [3, 10, 10, 10]
    assert sizes.cut.tolist() == [False, False, True, True, False]
    share = truncated(sizes, "m")
    assert share.value == pytest.approx(0.4)
    assert share.interval is not None
    assert 0.0 <= share.interval[0] < 0.4 < share.interval[1] <= 1.0
    unknown = truncated(sizes_of(wrapped(*OLD), contents[:4]), "m")
    assert unknown.value is None
    assert "isn't known" in unknown.meaning

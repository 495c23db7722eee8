"""How close crossfade's rows are to the reference implementation's, on 200 texts of all kinds.

The reference of minilm-l6 and mpnet is sentence-transformers in float32 (fidelity-requirements.txt); that of minilm-l3,
whose weights come as an ONNX file only, is that file's own pooled output through plain onnxruntime, one text at a time.

    python bench/fidelity.py [--model minilm-l6] [--model mpnet] [--model minilm-l3]

Exits with 1 if any cosine is below 0.99999.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossfade.encoder import Encoder, pull

Rows = NDArray[np.float32]
LOWEST = 0.99999
VOCABULARY = """
password reset account river mountain protein binds receptor cells quick brown fox jumps over lazy dog index vector
search migrate model latency throughput invoice customer refund shipment weather storm rainfall music guitar chord
transformer attention gradient kernel boundary layer shock wave turbulent flow heat transfer vaccine antibody trial
"""
ODD = [
    "a",
    "?",
    "Ünïcödé ligatures: ﬁ ﬂ ŒœÆæ ßẞ",
    "naïve café — “quotes” … dashes–and—more",
    "🙂🙃 emoji 👩‍👩‍👧‍👦 family 🏳️‍🌈 flag 🇨🇭",
    "東京は日本の首都です。人口は約1400万人。",
    "北京是中华人民共和国的首都",
    "서울은 대한민국의 수도이다",
    "Москва — столица России",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "e\u0301 combining \u0061\u0308 marks z̷a̷l̷g̷o̷",
    "def f(x: int) -> int:\n    return x ** 2  # square\n",
    "SELECT id, score FROM hits WHERE score > 0.5 ORDER BY score DESC;",
    "<html><body class='x'>&nbsp;&amp;</body></html>",
    "https://example.org/path?query=1&other=%20#fragment",
    "[CLS] [SEP] [PAD] [UNK] [MASK] literal special tokens",
    "<s> </s> <pad> those of <pad> other models <mask>",
    "1234567890 3.14159 -273.15 1e-9 0xDEADBEEF",
    "tab\tand\nnewline\r\nand\x0bvertical\x00nul",
    "x" * 150,
    "word" * 400,
    "!" * 600,
    "   leading and trailing   ",
    "MIXED case TeXt ÀÉÎ",
]


# What the models' makers say in tokenizer_config.json, a file that crossfade doesn't need.
TOKENIZERS: dict[str, dict[str, str]] = {
    "minilm-l6": {"tokenizer_class": "BertTokenizer"},
    "mpnet": {
        "tokenizer_class": "MPNetTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "cls_token": "<s>",
        "unk_token": "[UNK]",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    },
}


def texts(count: int = 200) -> list[str]:
    """The odd ones above, and random ones of 1 to 600 words."""
    choose = random.Random(0)
    made, vocabulary = list(ODD), VOCABULARY.split()
    while len(made) < count:
        words = [choose.choice(vocabulary) for _ in range(int(choose.choice((1, 3, 8, 20, 60, 150, 250, 300, 600))))]
        if choose.random() < 0.2:
            words.insert(choose.randrange(len(words) + 1), choose.choice(ODD))
        made.append(" ".join(words))
    return made


def sentence_transformers_rows(name: str, samples: list[str]) -> Rows:
    """Rows of sentence-transformers in float32, from the same files."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules as parts

    with tempfile.TemporaryDirectory() as folder:
        for path in pull(name).iterdir():
            shutil.copy(path, folder)
        settings = {"do_lower_case": True, "model_max_length": 512}
        Path(folder, "tokenizer_config.json").write_text(json.dumps(settings | TOKENIZERS[name]))
        body = parts.Transformer(folder, max_seq_length=256)
        pool = parts.Pooling(body.get_embedding_dimension(), pooling_mode="mean")
        model = SentenceTransformer(modules=[body, pool, parts.Normalize()], device="cpu")
        return np.asarray(model.encode(samples, batch_size=1, convert_to_numpy=True), dtype=np.float32)


def own_pooling_rows(name: str, samples: list[str]) -> Rows:
    """Rows of the pooled output that the ONNX file of minilm-l3 itself has."""
    import onnxruntime
    import tokenizers

    folder = pull(name)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    rows = []
    for sample in samples:
        ids = np.array([tokenizer.encode(sample).ids], dtype=np.int64)
        (pooled,) = session.run(["461"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        rows.append(pooled.reshape(-1) / np.linalg.norm(pooled))
    return np.asarray(rows, dtype=np.float32)


REFERENCES = {
    "minilm-l6": sentence_transformers_rows,
    "mpnet": sentence_transformers_rows,
    "minilm-l3": own_pooling_rows,
}


def main() -> int:
    """Print one line of JSON a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", choices=list(REFERENCES))
    samples = texts()
    failed = False
    for name in parser.parse_args().model or REFERENCES:
        encoder = Encoder.load(name)
        ours, reference = encoder.encode(samples), REFERENCES[name](name, samples)
        cosines = np.einsum("ij,ij->i", ours.astype(np.float64), reference.astype(np.float64))
        failed |= bool(cosines.min() < LOWEST)
        figures = {
            "model": name,
            "reference": REFERENCES[name].__name__,
            "texts": len(samples),
            "cosine_min": round(float(cosines.min()), 8),
            "cosine_mean": round(float(cosines.mean()), 8),
            "difference_max": float(np.abs(ours - reference).max()),
            "worst": samples[int(cosines.argmin())][:40],
            "engine": encoder.engine,
        }
        sys.stdout.write(json.dumps(figures) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

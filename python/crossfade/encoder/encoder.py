"""Encoder: texts in, rows of one Space out."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Unpack

import numpy as np
import tokenizers
from numpy.typing import NDArray

from crossfade._arrays import check_marks
from crossfade._values import check_text, one_of
from crossfade.errors import EncodingFailed, InvalidInput, ModelError
from crossfade.space import Space, checked_space

from .choice import choose, engines_named
from .cores import check_threads, usable_cores
from .engines import EngineName, Precision
from .loading import load_model
from .models import cache_folder
from .rows import Rows, checked_rows
from .runtime import Progress, Runtime
from .service import Service, ServiceOptions, Settings
from .spending import Spent
from .tokenizer import Pieces, Tokenizer, check_texts

Kind = Literal["document", "query"]
Marks = NDArray[np.bool_]
# Texts handed to a wrapped callable at a time: many services take no more, and progress shows.
WRAPPED_BATCH = 256
# Texts of a call that are tokenised, sorted by length and run together; bounds the memory of a call.
BLOCK = 8_192


class _Backend(Protocol):
    def rows(
        self, texts: list[str], prefix: str, places: list[int], progress: Progress, threads: int | None
    ) -> tuple[Any, Marks]:
        """Rows of the texts, and which of them were cut; `places` is what messages call them."""


@dataclasses.dataclass(frozen=True)
class _Onnx:
    tokenizer: Tokenizer
    runtime: Runtime

    def rows(
        self, texts: list[str], prefix: str, places: list[int], progress: Progress, threads: int | None
    ) -> tuple[Rows, Marks]:
        tokens = self.tokenizer(texts, prefix, places)
        return self.runtime.run(tokens.ids, progress, threads), tokens.cut


@dataclasses.dataclass(frozen=True)
class _Callable:
    function: Callable[[list[str]], Any]

    def rows(
        self, texts: list[str], prefix: str, places: list[int], progress: Progress, threads: int | None
    ) -> tuple[Any, Marks]:
        try:
            rows = self.function([prefix + text for text in texts])
        except Exception as error:  # the boundary to a foreign callable: whatever it raises is its failure
            raise EncodingFailed(f"the wrapped encoder raised {type(error).__name__}: {error}") from error
        progress(len(texts))
        return rows, np.zeros(len(texts), dtype=np.bool_)


class Encoder:
    """Turns texts into rows of its Space. Made by `load`, `http` or `wrap`.

    Safe to use from several threads at a time (a wrapped callable must be so itself).

    Example:
        >>> def count_letters(texts):
        ...     return [[text.count("a"), text.count("b")] for text in texts]
        >>> letters = Encoder.wrap(count_letters, Space(model="letters", dim=2))
        >>> letters.encode(["aaa", "bb"]).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, backend: _Backend, space: Space, name: str | None, engine: dict[str, Any], block: int) -> None:
        self._backend = backend
        self._space = space
        self._name = name
        self._engine = engine
        self._block = block

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        precision: Precision = "auto",
        engine: EngineName = "auto",
        threads: int | None = None,
    ) -> Encoder:
        """Load a model by its name in models/, from the Hugging Face hub, or from a folder.

        The files of a named model are fetched if the cache lacks them, and compared with its manifest before
        they are parsed. Those of a repository of the hub are fetched once at the commit that is named, compared
        with the hashes that the hub lists, and need no network from then on. A folder holds tokenizer.json and
        model.onnx, or model.safetensors and config.json of a BERT or MPNet model; the settings of
        sentence-transformers in it are followed.

        Which engine computes in which precision is chosen once for a model and a machine, and remembered in the cache:
        the fastest whose rows are as good as those of float32 on texts of several kinds and lengths (mean cosine of
        at least .999, none below .995, no difference by batch above 1e-3). `engine` of the result says what it is.

        Args:
            name_or_folder: A name, "hf:org/name@commit" with all 40 digits of the commit, or the path of a folder.
            precision: "float32", "bf16" or "int8"; "auto" for the fastest engine's.
            engine: "onnxruntime", "openvino" (the extra `crossfade[openvino]`), or a graphics card by "cuda",
                "migraphx" or "directml" where the installed onnxruntime has it; "auto" for the fastest.
            threads: Cores that a long call may use; None for all this process may run on. Rows don't depend
                on it.

        Raises:
            UnknownModel: Neither a name nor a folder.
            ModelUnavailable: Files could not be fetched.
            ModelDamaged: A file differs from its manifest, or can't be parsed.
            ModelError: The model is of a kind that can't be run.
            EngineUnavailable: The engine or precision asked for can't run here, or is not as good as float32.
            InvalidInput: `threads` is not positive, no engine has that precision, or what follows "hf:" is no
                repository and commit.

        Example:
            >>> commit = "0123456789abcdef0123456789abcdef01234567"
            >>> encoder = Encoder.load(f"hf:org/name@{commit}")  # doctest: +SKIP
        """
        threads = usable_cores() if threads is None else check_threads(threads)
        engines_named(engine, precision)  # before anything is fetched
        model, name = load_model(name_or_folder)
        runtime, fidelity = choose(model, precision, engine, threads, cache_folder() / "engines")
        facts = {
            "engine": runtime.engine.name,
            "version": runtime.engine.version,
            "tokenizers": tokenizers.__version__,
            "precision": runtime.engine.precision,
            "threads": runtime.threads,
            "asked": {"precision": precision, "engine": engine},
        }
        if fidelity is not None:
            facts["fidelity"] = {"mean": fidelity.mean, "least": fidelity.least, "drift": fidelity.drift}
        return cls(_Onnx(model.tokenizer, runtime), model.space, name, facts, BLOCK)

    @classmethod
    def wrap(cls, function: Callable[[list[str]], Any], space: Space, *, name: str | None = None) -> Encoder:
        """Make an Encoder of a callable.

        Args:
            function: From a list of at most 256 texts, prefixes of the Space put before them, to as many rows
                of `space.dim` numbers: an array, or a list of lists.
            space: The Space of its rows.
            name: What to call it in messages; the model's name where None.

        Example:
            >>> Encoder.wrap(lambda texts: [[1.0, 2.0]] * len(texts), Space(model="same", dim=2)).encode([]).shape
            (0, 2)
        """
        if not callable(function):
            raise InvalidInput(f"expected a callable from a list of texts to rows, got {type(function).__name__}")
        checked_space(space)
        if name is not None:
            check_text(name, "an encoder's name")
        engine = {"engine": "callable", "function": name or space.model, "precision": "unknown"}
        return cls(_Callable(function), space, None, engine, WRAPPED_BATCH)

    @classmethod
    def http(
        cls,
        url: str,
        model: str,
        *,
        dim: int,
        version: str = "",
        metric: str = "cos",
        document_prefix: str = "",
        query_prefix: str = "",
        **options: Unpack[ServiceOptions],
    ) -> Encoder:
        """Make an Encoder of a service that speaks OpenAI's embeddings protocol.

        There are no weights to hash, so its Space is made of the other arguments: raise `version` when the service
        changes what is behind a model's name. Nothing is sent before the first call.

        Args:
            url: The service's base, as "https://api.openai.com/v1"; "/embeddings" is added unless it ends with it.
                A query string is sent too, and may be logged by the HTTP library: no place for a key.
            model: The model, by the name the service knows.
            dim: Columns of its rows.
            version, metric, document_prefix, query_prefix: As in Space.
            options: `key_env`, limits, rates, price, repetitions: `crossfade.encoder.ServiceOptions` has them all.

        Raises:
            InvalidInput: An argument is out of its range, or the key's environment variable is empty.

        Example:
            >>> local = Encoder.http("http://localhost:8080/v1", "bge-small", dim=384, tokens_per_minute=1_000_000)
            >>> local.engine["url"], local.spent.tokens
            ('http://localhost:8080/v1/embeddings', 0)
        """
        space = Space(
            model=model,
            dim=dim,
            version=version,
            metric=metric,
            document_prefix=document_prefix,
            query_prefix=query_prefix,
        )
        service = Service(url, space, _settings(options))
        engine = {"engine": "http", "function": model, "url": service.shown, "precision": "unknown"}
        # In one piece: every text is checked before any is paid for.
        return cls(service, space, None, engine, sys.maxsize)

    @property
    def space(self) -> Space:
        """The Space of its rows."""
        return self._space

    @property
    def name(self) -> str | None:
        """What `load` takes to make it again: a name or an absolute path; None for a callable or a service."""
        return self._name

    @property
    def engine(self) -> dict[str, Any]:
        """What computes the rows: engine, versions, precision, threads. Not part of the Space."""
        return dict(self._engine)

    @property
    def spent(self) -> Spent | None:
        """What the calls of an `http` encoder have cost so far; None for others."""
        return self._backend.spent if isinstance(self._backend, Service) else None

    def encode(
        self,
        texts: Sequence[str],
        kind: Kind = "document",
        *,
        progress: Progress | None = None,
        cut: Marks | None = None,
        threads: int | None = None,
    ) -> Rows:
        """Rows of `texts`, in their order. Texts that are the same are encoded once.

        Args:
            texts: Texts that are not empty. What is beyond the model's `max_tokens` has no influence.
            kind: "document" or "query"; chooses the prefix of the Space.
            progress: Called in this thread, after every batch, with the number of texts done so far.
            cut: Where to mark the texts of which the model sees the beginning only, bool `(n,)`. Of a wrapped
                callable it isn't known, so that none is marked.
            threads: Cores to use at most, in threads that let others go first, as for work in the background; None
                for the encoder's. A callable or a service doesn't use it.

        Returns:
            float32 `(n, dim)`, C-contiguous, at unit length where the Space's metric is "cos"; `(0, dim)` for
            no texts.

        Raises:
            InvalidInput: A text is no string, empty, no valid Unicode, or gives no token; its index is named. Or
                `cut` can't take a mark for each, or `threads` is not positive.
            EncodingFailed: The model failed, or gave rows that can't be used.
            SpendLimitReached: The call would pass an `http` encoder's spend_limit.
        """
        one_of(kind, "kind", ("document", "query"))
        check_texts(texts)
        check_marks(cut, len(texts), "cut")
        if threads is not None:
            check_threads(threads)
        prefix = self._space.query_prefix if kind == "query" else self._space.document_prefix
        rows = np.empty((len(texts), self._space.dim), dtype=np.float32)
        for start in range(0, len(texts), self._block):
            part = slice(start, start + self._block)
            distinct, which = _distinct(texts[part])
            places = [start + place for place in distinct.values()]
            raw, marks = self._backend.rows(list(distinct), prefix, places, _shifted(progress, start), threads)
            rows[part] = checked_rows(raw, self._space, places)[which]
            if cut is not None:
                cut[part] = marks[which]
            if progress is not None and len(distinct) < len(which):
                progress(start + len(which))
        return rows

    def count_tokens(
        self, texts: Sequence[str], kind: Kind = "document", *, cut: Marks | None = None
    ) -> NDArray[np.int64]:
        """Tokens the model sees of every text, int64 `(n,)`: special ones included, at most `space.max_tokens`.

        Raises:
            InvalidInput: As for `encode`, whose arguments these are.
            ModelError: A callable or a service, whose tokenizer isn't known.
        """
        tokenizer = self._tokenizer()
        check_texts(texts)
        check_marks(cut, len(texts), "cut")
        tokens = tokenizer(list(texts), self._space.query_prefix if kind == "query" else self._space.document_prefix)
        if cut is not None:
            cut[:] = tokens.cut
        return np.array([len(ids) for ids in tokens.ids], dtype=np.int64)

    def split_words(self, words: Sequence[str]) -> Pieces:
        """Into how many tokens each word falls, int64 `(n,)`, and whether one of them is the unknown one, bool `(n,)`.

        Raises:
            InvalidInput: A word is no string, empty, or no valid Unicode.
            ModelError: A callable or a service, whose tokenizer isn't known.
        """
        tokenizer = self._tokenizer()
        check_texts(words)
        return tokenizer.split(words)

    def _tokenizer(self) -> Tokenizer:
        if not isinstance(self._backend, _Onnx):
            raise ModelError("the tokenizer of a callable or a service isn't known, so its tokens can't be counted")
        return self._backend.tokenizer

    def __repr__(self) -> str:
        made_by = f"{self._engine['engine']} {self._engine['precision']}"
        return f"Encoder({self._name or self._engine.get('function')!r}, {self._space!r}, {made_by})"


def _distinct(texts: Sequence[str]) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Every text once with the place where it comes first, and of every place which of these texts stands there."""
    first: dict[str, int] = {}
    order: dict[str, int] = {}
    for place, text in enumerate(texts):
        if text not in first:
            order[text] = len(first)
            first[text] = place
    return first, np.array([order[text] for text in texts], dtype=np.int64)


def _settings(options: ServiceOptions) -> Settings:
    try:
        return Settings(**options)
    except TypeError:
        unknown = sorted(set(options) - {field.name for field in dataclasses.fields(Settings)})
    raise InvalidInput(f"Encoder.http has no option {', '.join(unknown)}; see crossfade.encoder.ServiceOptions")


def _shifted(progress: Progress | None, start: int) -> Progress:
    """`progress` for one block that comes after `start` texts."""
    if progress is None:
        return lambda done: None
    return lambda done: progress(start + done)

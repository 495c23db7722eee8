"""Space: the frozen identity of a vector space."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from crossfade._forks import lazy
from crossfade._values import check_text, count_of, one_of, shown
from crossfade.errors import InvalidInput, SpaceMismatch

METRICS = ("cos", "dot")
POOLINGS = ("mean", "cls", "max", "none")
MAX_DIM = 65_536
MAX_TOKENS = 2**31 - 1

# The name is a label where there are weights to hash, and the identity where there are none.
_LABELS = ("model", "version")


def checked_space(value: object) -> Space:
    """The value, if it is a Space."""
    if not isinstance(value, Space):
        raise InvalidInput(f"expected a Space, got {shown(value)}; every encoder has one: encoder.space")
    return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space:
    """What must be equal for two vectors to be comparable.

    Args:
        model: Name of the model. A label where `weights` is given, part of the identity where it is not.
        version: Version of the model, used like `model`.
        dim: Number of columns of a row, 1 to 65,536.
        metric: "cos" (rows are kept at unit length) or "dot" (rows are kept as they come).
        normalized: Whether the model itself gives unit rows.
        pooling: How token vectors become one row: "mean", "cls", "max", or "none" where it isn't known.
        max_tokens: Where texts are cut, in tokens; None where it isn't known.
        document_prefix: Text put before every document.
        query_prefix: Text put before every query.
        weights: Hash of the weights and of what decides how they are used; None for a callable.
        tokenizer: Hash of the tokenizer; None for a callable.

    Raises:
        InvalidInput: A field is out of its range.

    Example:
        >>> Space(model="mine", dim=3).fingerprint == Space(model="other", dim=3).fingerprint
        False
        >>> Space(model="a", dim=3, weights="w").fingerprint == Space(model="b", dim=3, weights="w").fingerprint
        True
    """

    model: str
    dim: int
    version: str = ""
    metric: str = "cos"
    normalized: bool = True
    pooling: str = "none"
    max_tokens: int | None = None
    document_prefix: str = ""
    query_prefix: str = ""
    weights: str | None = None
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", count_of(self.dim, "dim", MAX_DIM))
        one_of(self.metric, "metric", METRICS)
        one_of(self.pooling, "pooling", POOLINGS)
        if self.max_tokens is not None:
            object.__setattr__(self, "max_tokens", count_of(self.max_tokens, "max_tokens", MAX_TOKENS))
        if not isinstance(self.normalized, bool):
            raise InvalidInput(f"normalized must be True or False, got {shown(self.normalized)}")
        for field in ("model", "version", "document_prefix", "query_prefix"):
            check_text(getattr(self, field), f"{field} of a Space")
        for field in ("weights", "tokenizer"):
            if getattr(self, field) is not None:
                check_text(getattr(self, field), f"{field} of a Space, a hash or None,")
        if not self.model:
            raise InvalidInput("a Space needs a model's name, got an empty one")

    @lazy
    def fingerprint(self) -> str:
        """32 hexadecimal digits; equal for two Spaces exactly if their vectors may be compared."""
        identity = dataclasses.asdict(self)
        if self.weights is not None:
            for label in _LABELS:
                del identity[label]
        canonical = json.dumps(identity, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()

    def require(self, other: Space, what: str) -> None:
        """Raise SpaceMismatch unless `other` is this Space; `what` names the offered vectors."""
        if other.fingerprint != self.fingerprint:
            raise SpaceMismatch(
                f"{what} must be of {self!r}, but {other!r} came; encode them with the model of the former, "
                "or migrate the collection"
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, as plain values for TOML or JSON."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Space:
        """The Space that `to_dict` described; unknown fields are refused."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = set(fields) - known
        if unknown:
            raise InvalidInput(
                f"a Space has no field {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
            )
        return cls(**fields)

    def __repr__(self) -> str:
        label = self.model + (f"@{self.version}" if self.version else "")
        return f"Space({label!r}, {self.dim}, {self.metric}, {self.fingerprint[:8]}…)"

"""Biases moved to where adding them costs nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .transformer import Config, Family

Weights = Mapping[str, NDArray[np.float32]]


def without_residual_biases(weights: Weights, family: Family, config: Config) -> dict[str, NDArray[np.float32]]:
    """The same encoder, in which the products that residuals are added to need no bias; theirs are left out.

    Such a sum is W c + b + h, where h comes from a LayerNorm and goes into other products W' h + b' too. With b in the
    LayerNorm's own shift, h' = h + b, the sum is W c + h', and W' h + b' = W' h' + (b' - W' b). That spares two passes
    over the hidden states in each layer.

    Args:
        weights: The tensors of `family.shapes(config)`, float32.
        family: Names of the tensors.
        config: Number of layers.
    """
    moved = dict(weights)
    norm = "embeddings.LayerNorm"
    for layer in range(config.layers):
        prefix = f"encoder.layer.{layer}"
        attending = [f"{prefix}.{part}" for part in (family.query, family.key, family.value)]
        _move(moved, f"{prefix}.{family.attended}.bias", norm, attending)
        norm = f"{prefix}.{family.attention_norm}"
        _move(moved, f"{prefix}.output.dense.bias", norm, [f"{prefix}.intermediate.dense"])
        norm = f"{prefix}.output.LayerNorm"
    return moved


def _move(weights: dict[str, NDArray[np.float32]], bias: str, norm: str, products: list[str]) -> None:
    """Take a bias out, into a LayerNorm whose rows these products take."""
    added = weights.pop(bias)
    weights[f"{norm}.bias"] = weights[f"{norm}.bias"] + added
    for product in products:
        weights[f"{product}.bias"] = weights[f"{product}.bias"] - weights[f"{product}.weight"] @ added

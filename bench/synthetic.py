"""Documents and vectors made of numbers: millions of them, the same for every process, without a model."""

from __future__ import annotations

from typing import Any

import numpy as np

import crossfade as cf

LATENT = 24


def documents(start: int, stop: int) -> list[cf.Document]:
    return [cf.Document(f"document {number}", f"document {number}") for number in range(start, stop)]


def encoder(number: int, dim: int = 384) -> cf.Encoder:
    """Text "document N" → a point of a space of 24 dims, laid into `dim`: as hard to search as real texts are.

    Models of different numbers give the same vectors, each in a Space of its own.
    """
    axes = np.random.default_rng(0).standard_normal((LATENT, dim), dtype=np.float32)

    def rows(texts: list[str]) -> np.ndarray[Any, Any]:
        return latent(np.array([int(text.split()[1]) for text in texts], dtype=np.uint64)) @ axes

    return cf.Encoder.wrap(rows, cf.Space(model=f"synthetic {number}", dim=dim))


def latent(numbers: np.ndarray[Any, Any], stream: int = 0) -> np.ndarray[Any, Any]:
    """A point of a normal distribution of `LATENT` dims for every number, the same at all times; float32."""
    cells = numbers[:, None] * np.uint64(LATENT) + np.arange(LATENT, dtype=np.uint64) + np.uint64(stream << 56)
    radius = np.sqrt(-2.0 * np.log(uniform(2 * cells)))
    return np.asarray((radius * np.cos(2.0 * np.pi * uniform(2 * cells + 1))).astype(np.float32))


def uniform(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same number in (0, 1) for a number at all times (Steele, Lea and Flood 2014, SplitMix64)."""
    z = numbers * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53 + 2.0**-54

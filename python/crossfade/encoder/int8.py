"""Products in eight bits, row by row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .graph import GraphBuilder
from .transformer_graph import FUSED

# Weights that share a scale. Smaller blocks are more exact and slower: with MiniLM-L6 the mean cosine to float32 is
# .9991 for 128 and .9996 for 32, the pace 1.09 to 1.
BLOCK = 32
BITS = 8
# What MatMulNBits calls the arithmetic that rounds each row of the other operand to eight bits too.
INTEGER_ARITHMETIC = 4


class Int8Builder(GraphBuilder):
    """Products in eight bits: weights by blocks, the rows they are multiplied with one by one as they come.

    A row's rounding depends on that row alone, so that a text's vector doesn't depend on its batch.
    """

    attends_by_weights = False  # that would be in float32

    def linear(self, source: str, weight: NDArray[np.float32], name: str) -> str:
        columns, depth = weight.shape
        values, scales = rounded(weight)
        return self.node(
            "MatMulNBits",
            [source, self.constant(f"{name}.values", values), self.constant(f"{name}.scales", scales)],
            f"{name}.product",
            domain=FUSED,
            K=depth,
            N=columns,
            bits=BITS,
            block_size=BLOCK,
            accuracy_level=INTEGER_ARITHMETIC,
        )


def rounded(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Weights `(out, in)` as uint8 `(out, blocks, BLOCK)` with 128 for zero, and the scales, float32 `(out * blocks,)`.

    The last block is filled up with zeros.
    """
    columns, depth = weight.shape
    blocks = -(-depth // BLOCK)
    filled = np.zeros((columns, blocks * BLOCK), dtype=np.float32)
    filled[:, :depth] = weight
    by_block = filled.reshape(columns, blocks, BLOCK)
    scales = np.abs(by_block).max(axis=2) / 127
    steps = np.divide(by_block, scales[:, :, None], out=np.zeros_like(by_block), where=scales[:, :, None] > 0)
    return (np.rint(steps) + 128).astype(np.uint8), scales.reshape(-1)

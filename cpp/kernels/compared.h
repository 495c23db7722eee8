// Rows that are compared with each other, by the cosines of what they have beyond a center.
#pragma once

#include <stddef.h>

#include "elements.h"

namespace crossfade {

struct ComparedRows {
    const void* data;  // rows of d elements, `stride` elements apart
    ptrdiff_t stride;
    Element element;       // float32 or float16
    const size_t* places;  // (m) which rows they are, or null for the first m
    size_t m;
    size_t d;
    const float* center;  // (d), or null for zeros
};

// Whole vectors of every level fit into it, four at a time.
constexpr size_t compared_block = 64;
static inline size_t compared_padded(size_t n) { return (n + compared_block - 1) / compared_block * compared_block; }

// Number of floats that the rows take once they have length one: with a tile more of them. Internal linkage, since every
// level includes this.
static inline size_t compared_size(const ComparedRows& rows) { return (rows.m + 4) * compared_padded(rows.d); }

}  // namespace crossfade

// Dot products of chosen rows with queries.
//
// Products are summed in float over fixed partial sums: the order depends on the instruction set and d alone, so a
// score depends on neither the other rows nor the other queries. Narrower elements are converted in registers.
// Memory is read inside the given rows only (they may end where a memory map ends). No memory is allocated, nothing
// throws, no state.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "elements.h"

namespace crossfade {

// out[j * out_stride + i] = vectors[rows[i]] · queries[j], for i < m and j < q.
//   vectors: rows of d elements of the kind the table says, `stride` elements apart.
//   rows: m indices, not checked here; null means 0, 1, … m-1.
//   queries: q rows of d floats, `query_stride` apart.
//   NaN and infinity follow IEEE arithmetic. d = 0 gives zeros. `out` must not overlap the inputs.
using Rescore = void(const void* vectors, ptrdiff_t stride, const int64_t* rows, size_t m, const float* queries, size_t q,
                     ptrdiff_t query_stride, size_t d, float* out, ptrdiff_t out_stride) noexcept;

}  // namespace crossfade

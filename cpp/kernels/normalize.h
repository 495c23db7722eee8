// Unit rows, in one pass over the memory.
#pragma once

#include <stddef.h>

#include "elements.h"

namespace crossfade {

// Scales n rows of d floats, consecutive within a row and `stride` floats apart (any stride, also negative or zero), to
// Euclidean length one, and writes them to rows `out_stride` elements apart. Bad rows (all zeros, or holding NaN or
// infinity; also d = 0) are counted, and their place in `out` stays as it is. Of every row, `bad` says whether it is one,
// unless it is null.
//   Squares are summed in double precision, in which no row of finite floats overflows or vanishes. Each product is rounded
//   to float once, and to a narrower element from there, to nearest, ties to even; int8 is int8_unit times the value.
//   `out` has the elements the table says; it may be `x` itself with the same stride, otherwise they must not overlap.
//   `past_caches`: write around the caches, which pays for outputs larger than them; what is written is the same.
//   Pointers need the alignment of their element only. No memory is allocated, nothing throws, no state.
using Normalize = size_t(const float* x, ptrdiff_t stride, size_t n, size_t d, void* out, ptrdiff_t out_stride,
                         bool past_caches, bool* bad) noexcept;

}  // namespace crossfade

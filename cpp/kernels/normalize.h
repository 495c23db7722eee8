// Unit rows. Two steps, so that a caller learns of bad rows before anything is written:
//   1. measure: the reciprocal of every row's Euclidean norm;
//   2. scale: every row times its reciprocal.
//
// Common to both: `x` has n rows of d floats, consecutive within a row, rows `stride` floats apart (any stride, also
// negative or zero). Pointers need the alignment of their element only. No memory is allocated, nothing throws, no state.
// Squares are summed in double precision, in which no row of finite floats overflows or vanishes.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace crossfade {

// Rows that can't be used. `first` is the lowest index of such a row, or n where there is none.
struct BadRows {
    size_t count;
    size_t first;
};

// Writes n reciprocals. A bad row (all zeros, or holding NaN or infinity; also d = 0) is counted, its reciprocal is 0.
using NormalizeMeasure = BadRows(const float* x, ptrdiff_t stride, size_t n, size_t d, double* reciprocals) noexcept;

// Writes rows of d elements, `out_stride` apart. Each product is rounded to float once (and to half from there, to nearest,
// ties to even). `out` may be `x` itself with the same stride, otherwise they must not overlap.
template <typename Out>
using NormalizeScale = void(const float* x, ptrdiff_t stride, size_t n, size_t d, const double* reciprocals, Out* out,
                            ptrdiff_t out_stride) noexcept;

}  // namespace crossfade

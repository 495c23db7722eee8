// normalize.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "normalize.h"

namespace crossfade {
namespace {

// Two sums at a time: one alone would wait for the previous multiply-add, about four cycles each.
inline double sum_of_squares(const float* x, size_t d) {
    Wide even = wide_zero();
    Wide odd = wide_zero();
    size_t i = 0;
    for (; i + 2 * lanes <= d; i += 2 * lanes) {
        const Wide a = widen(load(x + i));
        const Wide b = widen(load(x + i + lanes));
        even = multiply_add(a, a, even);
        odd = multiply_add(b, b, odd);
    }
    for (; i < d; i += lanes) {
        const Wide a = widen(i + lanes <= d ? load(x + i) : load_first(x + i, d - i));
        even = multiply_add(a, a, even);
    }
    return sum(add(even, odd));
}

// 0 for a row that has no direction: no squares, or NaN or infinity among them.
inline double reciprocal_norm(double squares) {
    const bool usable = squares > 0.0 && squares < __builtin_huge_val();
    return usable ? 1.0 / __builtin_sqrt(squares) : 0.0;
}

template <typename Out>
inline void scale_row(const float* x, size_t d, double factor, Out* out) {
    size_t i = 0;
    for (; i + lanes <= d; i += lanes) store(out + i, narrow(multiply(widen(load(x + i)), factor)));
    if (i < d) store_first(out + i, narrow(multiply(widen(load_first(x + i, d - i)), factor)), d - i);
}

inline void note_bad(BadRows& bad, size_t row) {
    if (bad.count++ == 0) bad.first = row;
}

BadRows normalize_measure(const float* x, ptrdiff_t stride, size_t n, size_t d, double* reciprocals) noexcept {
    BadRows bad = {0, n};
    for (size_t i = 0; i < n; ++i, x += stride) {
        reciprocals[i] = reciprocal_norm(sum_of_squares(x, d));
        if (reciprocals[i] == 0.0) note_bad(bad, i);
    }
    return bad;
}

template <typename Out>
void normalize_scale(const float* x, ptrdiff_t stride, size_t n, size_t d, const double* reciprocals, Out* out,
                     ptrdiff_t out_stride) noexcept {
    for (size_t i = 0; i < n; ++i, x += stride, out += out_stride) scale_row(x, d, reciprocals[i], out);
}

}  // namespace
}  // namespace crossfade

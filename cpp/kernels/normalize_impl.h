// normalize.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "normalize.h"

namespace crossfade {
namespace {

constexpr size_t cache_line = 64;

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

inline double unit_of(const int8_t*) { return int8_unit; }
inline double unit_of(const void*) { return 1.0; }

// Elements until the next address at which `stream` may write.
template <typename Out>
inline size_t until_aligned(const Out* out) {
    constexpr size_t bytes = lanes * sizeof(Out);
    return (bytes - reinterpret_cast<uintptr_t>(out) % bytes) % bytes / sizeof(Out);
}

template <typename Out>
inline void scale_row(const float* x, size_t d, double factor, Out* out) {
    size_t i = 0;
    for (; i + lanes <= d; i += lanes) store(out + i, narrow(multiply(widen(load(x + i)), factor)));
    if (i < d) store_first(out + i, narrow(multiply(widen(load_first(x + i, d - i)), factor)), d - i);
}

// The same past the caches: whole vectors at aligned addresses, what stands before and after them as above.
template <typename Out>
inline void stream_row(const float* x, size_t d, double factor, Out* out) {
    const size_t before = until_aligned(out) < d ? until_aligned(out) : d;
    scale_row(x, before, factor, out);
    size_t i = before;
    for (; i + lanes <= d; i += lanes) stream(out + i, narrow(multiply(widen(load(x + i)), factor)));
    scale_row(x + i, d - i, factor, out + i);
}

inline void note_bad(BadRows& bad, size_t row) {
    if (bad.count++ == 0) bad.first = row;
}

template <typename Out>
BadRows normalize(const float* x, ptrdiff_t stride, size_t n, size_t d, void* out_rows, ptrdiff_t out_stride,
                  bool past_caches) noexcept {
    Out* out = static_cast<Out*>(out_rows);
    BadRows bad = {0, n};
    for (size_t i = 0; i < n; ++i, x += stride, out += out_stride) {
        const double reciprocal = reciprocal_norm(sum_of_squares(x, d));
        if (reciprocal == 0.0) {
            note_bad(bad, i);
        } else if (past_caches) {
            stream_row(x, d, reciprocal * unit_of(out), out);
        } else {
            scale_row(x, d, reciprocal * unit_of(out), out);
        }
    }
    if (past_caches) stream_end();
    return bad;
}

}  // namespace
}  // namespace crossfade

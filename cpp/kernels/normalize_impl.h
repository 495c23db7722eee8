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
        const Wide a = load_wide(x + i);
        const Wide b = load_wide(x + i + lanes);
        even = multiply_add(a, a, even);
        odd = multiply_add(b, b, odd);
    }
    for (; i < d; i += lanes) {
        const Wide a = i + lanes <= d ? load_wide(x + i) : widen(load_first(x + i, d - i));
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

// Elements until the next address aligned to a vector of them; fewer than lanes.
template <typename Out>
inline size_t until_aligned(const Out* out) {
    constexpr size_t bytes = lanes * sizeof(Out);
    return (bytes - reinterpret_cast<uintptr_t>(out) % bytes) % bytes / sizeof(Out);
}

// A factor of a row in double precision.
struct WideFactor {
    double value;

    Vec times(Vec x) const { return narrow(multiply(widen(x), value)); }
};

#ifdef CROSSFADE_FUSED
// The same factor as the sum of two floats: one fused multiply-add rounds the product once, as `narrow` does, but for a
// relative 2^-48, at a third of the work. Only where neither part nor product can leave the range of float.
struct SplitFactor {
    Vec high;
    Vec low;

    Vec times(Vec x) const { return multiply_add(x, high, multiply(x, low)); }
};

inline bool splits(double factor) { return factor > 0x1p-60 && factor < 0x1p60; }

inline SplitFactor split(double factor) {
    const float high = static_cast<float>(factor);
    return {broadcast(high), broadcast(static_cast<float>(factor - static_cast<double>(high)))};
}
#endif

// Whole vectors are written at aligned addresses only: each that spans two cache lines would count as two, and past the
// caches there is no other way.
template <bool past_caches, typename Factor, typename Out>
inline void scale_aligned(const float* x, size_t d, const Factor& factor, Out* out) {
    const size_t before = until_aligned(out) < d ? until_aligned(out) : d;
    if (before > 0) store_first(out, factor.times(load_first(x, before)), before);
    size_t i = before;
    for (; i + lanes <= d; i += lanes) {
        // A row that is scaled was read to be summed: meanwhile the next ones can be on their way.
        if (read_ahead > 0) __builtin_prefetch(reinterpret_cast<const char*>(x + i) + read_ahead);
        if (past_caches) {
            stream(out + i, factor.times(load(x + i)));
        } else {
            store(out + i, factor.times(load(x + i)));
        }
    }
    if (i < d) store_first(out + i, factor.times(load_first(x + i, d - i)), d - i);
}

template <typename Factor, typename Out>
inline void scale_by(const float* x, size_t d, const Factor& factor, Out* out, bool past_caches) {
    if (past_caches) {
        scale_aligned<true>(x, d, factor, out);
    } else {
        scale_aligned<false>(x, d, factor, out);
    }
}

template <typename Out>
inline void scale_row(const float* x, size_t d, double factor, Out* out, bool past_caches) {
#ifdef CROSSFADE_FUSED
    if (splits(factor)) return scale_by(x, d, split(factor), out, past_caches);
#endif
    scale_by(x, d, WideFactor{factor}, out, past_caches);
}

template <typename Out>
size_t normalize(const float* x, ptrdiff_t stride, size_t n, size_t d, void* out_rows, ptrdiff_t out_stride,
                 bool past_caches, bool* bad) noexcept {
    Out* out = static_cast<Out*>(out_rows);
    size_t bad_rows = 0;
    for (size_t i = 0; i < n; ++i, x += stride, out += out_stride) {
        const double reciprocal = reciprocal_norm(sum_of_squares(x, d));
        const bool good = reciprocal != 0.0;
        if (good) scale_row(x, d, reciprocal * unit_of(out), out, past_caches);
        if (bad) bad[i] = !good;
        bad_rows += !good;
    }
    if (past_caches) stream_end();
    return bad_rows;
}

}  // namespace
}  // namespace crossfade

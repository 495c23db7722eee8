// rescore.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "normalize_impl.h"
#include "rescore.h"

namespace crossfade {
namespace {

// Four sums at a time hide the latency of the multiply-add.
template <typename In>
inline float dot(const In* x, const float* query, size_t d) {
    Vec totals[4] = {zero(), zero(), zero(), zero()};
    size_t i = 0;
    for (; i + 4 * lanes <= d; i += 4 * lanes) {
        for (size_t v = 0; v < 4; ++v) {
            totals[v] = multiply_add(load(x + i + v * lanes), load(query + i + v * lanes), totals[v]);
        }
    }
    for (; i + lanes <= d; i += lanes) totals[0] = multiply_add(load(x + i), load(query + i), totals[0]);
    if (i < d) totals[1] = multiply_add(load_first(x + i, d - i), load_first(query + i, d - i), totals[1]);
    return sum(add(add(totals[0], totals[1]), add(totals[2], totals[3])));
}

// Gathered rows are rarely in a cache: the next ones are asked for while this one is summed. Many into the second-level
// cache, which waits for more lines at once than the first; few, as a walk scores them, are needed at once.
constexpr size_t few_rows = 32;
constexpr size_t few_ahead = 4;
constexpr size_t many_ahead = 8;

template <typename In>
inline void prefetch_row(const In* x, size_t d, bool many) {
    const char* bytes = reinterpret_cast<const char*>(x);
    for (size_t i = 0; i < d * sizeof(In); i += cache_line) {
        many ? __builtin_prefetch(bytes + i, 0, 2) : __builtin_prefetch(bytes + i);
    }
}

template <typename In>
void rescore(const void* stored, ptrdiff_t stride, const int64_t* rows, size_t m, const float* queries, size_t q,
             ptrdiff_t query_stride, size_t d, float* out, ptrdiff_t out_stride) noexcept {
    const In* vectors = static_cast<const In*>(stored);
    const bool many = m > few_rows;
    const size_t ahead = many ? many_ahead : few_ahead;
    for (size_t i = 0; rows && many && i < ahead; ++i) prefetch_row(vectors + rows[i] * stride, d, many);
    for (size_t i = 0; i < m; ++i, ++out) {
        if (rows && i + ahead < m) prefetch_row(vectors + rows[i + ahead] * stride, d, many);
        const In* x = vectors + (rows ? static_cast<ptrdiff_t>(rows[i]) : static_cast<ptrdiff_t>(i)) * stride;
        for (size_t j = 0; j < q; ++j) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(j);
            out[at * out_stride] = dot(x, queries + at * query_stride, d);
        }
    }
}

}  // namespace
}  // namespace crossfade

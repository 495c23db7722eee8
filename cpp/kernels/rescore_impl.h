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

// Gathered rows are rarely in a cache. They are asked for in two steps while others are summed: early into the second-level
// cache, which waits for more lines at once than the first, and from there when their turn comes.
constexpr size_t rows_to_second_level = 12;
constexpr size_t rows_to_first_level = 2;
enum Locality { second_level = 2, first_level = 3 };

template <Locality locality, typename In>
inline void prefetch_row(const In* x, size_t d) {
    const char* bytes = reinterpret_cast<const char*>(x);
    for (size_t i = 0; i < d * sizeof(In); i += cache_line) __builtin_prefetch(bytes + i, 0, locality);
}

template <typename In>
void rescore(const void* stored, ptrdiff_t stride, const int64_t* rows, size_t m, const float* queries, size_t q,
             ptrdiff_t query_stride, size_t d, float* out, ptrdiff_t out_stride) noexcept {
    const In* vectors = static_cast<const In*>(stored);
    const size_t gathered = rows ? m : 0;
    for (size_t i = 0; i < gathered && i < rows_to_second_level; ++i)
        prefetch_row<second_level>(vectors + rows[i] * stride, d);
    for (size_t i = 0; i < m; ++i, ++out) {
        const size_t early = i + rows_to_second_level;
        const size_t soon = i + rows_to_first_level;
        if (early < gathered) prefetch_row<second_level>(vectors + rows[early] * stride, d);
        if (soon < gathered) prefetch_row<first_level>(vectors + rows[soon] * stride, d);
        const In* x = vectors + (rows ? static_cast<ptrdiff_t>(rows[i]) : static_cast<ptrdiff_t>(i)) * stride;
        for (size_t j = 0; j < q; ++j) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(j);
            out[at * out_stride] = dot(x, queries + at * query_stride, d);
        }
    }
}

}  // namespace
}  // namespace crossfade

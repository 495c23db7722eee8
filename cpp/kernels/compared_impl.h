// compared.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "compared.h"
#include "normalize_impl.h"

namespace crossfade {
namespace {

// 12 accumulators, four vectors of others and one of the row's own.
constexpr size_t cosine_tile_rows = 3;
constexpr size_t cosine_tile_columns = 4;

// A row less the center, of length one; zeros where it has no direction, and beyond its end.
template <typename In>
inline void unit_row(const In* x, const float* center, size_t d, size_t depth, float* out) {
    size_t j = 0;
    for (; j < d; j += lanes) {
        const size_t count = d - j < lanes ? d - j : lanes;
        const Vec value = load_first(x + j, count);
        store(out + j, center ? subtract(value, load_first(center + j, count)) : value);
    }
    for (; j < depth; j += lanes) store(out + j, zero());
    scale_row(out, d, reciprocal_norm(sum_of_squares(out, d)), out, false);
}

// All of them, the i-th at `place_of(i)`; zeros beyond their end.
template <typename In, typename PlaceOf>
inline void unit_rows_of(const ComparedRows& rows, float* unit, size_t depth, PlaceOf place_of) {
    const In* x = static_cast<const In*>(rows.data);
    for (size_t j = 0; j < cosine_tile_columns * depth; j += lanes) store(unit + rows.m * depth + j, zero());
    for (size_t i = 0; i < rows.m; ++i) {
        const ptrdiff_t row = static_cast<ptrdiff_t>(rows.places ? rows.places[i] : i);
        unit_row(x + row * rows.stride, rows.center, rows.d, depth, unit + place_of(i) * depth);
    }
}

template <typename PlaceOf>
inline void unit_rows(const ComparedRows& rows, float* unit, size_t depth, PlaceOf place_of) {
    rows.element == Element::float16 ? unit_rows_of<Half>(rows, unit, depth, place_of)
                                     : unit_rows_of<float>(rows, unit, depth, place_of);
}

inline void cosine_tile(const float* some, const float* others, size_t depth,
                        float (&cosines)[cosine_tile_rows][cosine_tile_columns]) {
    Vec totals[cosine_tile_rows][cosine_tile_columns];
    UNROLL for (auto& row : totals) { UNROLL for (Vec& total : row) total = zero(); }
    for (size_t i = 0; i < depth; i += lanes) {
        Vec columns[cosine_tile_columns];
        UNROLL for (size_t c = 0; c < cosine_tile_columns; ++c) columns[c] = load(others + c * depth + i);
        UNROLL for (size_t r = 0; r < cosine_tile_rows; ++r) {
            const Vec row = load(some + r * depth + i);
            UNROLL for (size_t c = 0; c < cosine_tile_columns; ++c) totals[r][c] =
                multiply_add(row, columns[c], totals[r][c]);
        }
    }
    for (size_t r = 0; r < cosine_tile_rows; ++r) {
        for (size_t c = 0; c < cosine_tile_columns; ++c) cosines[r][c] = sum(totals[r][c]);
    }
}

// visit(p, q, cosine) of the first `known` rows with themselves and all after them, tile by tile.
template <typename Visit>
inline void cosines_of(const float* unit, size_t known, size_t m, size_t depth, Visit visit) {
    float cosines[cosine_tile_rows][cosine_tile_columns];
    for (size_t p = 0; p < known; p += cosine_tile_rows) {
        const size_t below = known - p < cosine_tile_rows ? known - p : cosine_tile_rows;
        for (size_t q = p; q < m; q += cosine_tile_columns) {
            const size_t right = m - q < cosine_tile_columns ? m - q : cosine_tile_columns;
            cosine_tile(unit + p * depth, unit + q * depth, depth, cosines);
            for (size_t r = 0; r < below; ++r) {
                for (size_t c = 0; c < right; ++c) visit(p + r, q + c, cosines[r][c]);
            }
        }
    }
}

}  // namespace
}  // namespace crossfade

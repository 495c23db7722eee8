// krige.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "compared_impl.h"
#include "krige.h"

namespace crossfade {
namespace {

// Least a pivot can be but for rounding: two rows that are the same share all but this much where shared is near 1.
constexpr float krige_least_pivot = 1e-6f;

inline bool is_unknown(float error) { return error != error; }

// Of length one, the known ones first.
inline void unit_rows_of_errors(const KrigeRows& rows, float* unit, size_t depth) {
    size_t next[2] = {0, rows.known};
    unit_rows(rows, unit, depth, [&](size_t i) { return next[is_unknown(rows.errors[i])]++; });
}

// On and right of the diagonal: the covariances of every known row with all rows.
inline void covariances(const float* unit, const KrigeRows& rows, size_t depth, KrigeModel model, float* equations,
                        size_t width) {
    cosines_of(unit, rows.known, rows.m, depth, [=](size_t p, size_t q, float cosine) {
        equations[p * width + q] = model.shared * cosine * cosine + model.common;
    });
    for (size_t p = 0; p < rows.known; ++p) equations[p * width + p] = model.common + 1.0f;
}

// Two right sides more: the errors, and ones. What is beyond is zeros.
inline void right_sides(const KrigeRows& rows, float* equations, size_t width) {
    float* row = equations;
    for (size_t i = 0; i < rows.m; ++i) {
        if (is_unknown(rows.errors[i])) continue;
        row[rows.m] = rows.errors[i];
        row[rows.m + 1] = 1.0f;
        for (size_t q = rows.m + 2; q < width; ++q) row[q] = 0.0f;
        row += width;
    }
}

// Row p of L⁻¹ [K | right sides], where K = L Lᵀ (Cholesky): the rows before it are taken off, four vectors at a time.
inline void eliminate(float* equations, size_t known, size_t width, float* factors) {
    constexpr size_t step = 4 * lanes;
    for (size_t p = 0; p < known; ++p) {
        float* row = equations + p * width;
        const size_t begin = p / step * step;
        for (size_t e = 0; e < p; ++e) factors[e] = -equations[e * width + p];
        for (size_t i = begin; i < width; i += step) {
            Vec totals[4];
            UNROLL for (size_t v = 0; v < 4; ++v) totals[v] = load(row + i + v * lanes);
            for (size_t e = 0; e < p; ++e) {
                const Vec factor = broadcast(factors[e]);
                const float* above = equations + e * width + i;
                UNROLL for (size_t v = 0; v < 4; ++v) totals[v] = multiply_add(factor, load(above + v * lanes), totals[v]);
            }
            UNROLL for (size_t v = 0; v < 4; ++v) store(row + i + v * lanes, totals[v]);
        }
        const float pivot = row[p] > krige_least_pivot ? row[p] : krige_least_pivot;
        const Vec reciprocal = broadcast(1.0f / __builtin_sqrtf(pivot));
        for (size_t i = begin; i < width; i += lanes) store(row + i, multiply_add(reciprocal, load(row + i), zero()));
    }
}

// Sums over the rows: of every column times that of the errors, and of its squares.
inline void fold(const float* equations, size_t known, size_t width, size_t errors, float* products, float* squares) {
    for (size_t i = 0; i < width; i += lanes) {
        Vec product = zero();
        Vec square = zero();
        for (size_t p = 0; p < known; ++p) {
            const float* row = equations + p * width;
            const Vec value = load(row + i);
            product = multiply_add(broadcast(row[errors]), value, product);
            square = multiply_add(value, value, square);
        }
        store(products + i, product);
        store(squares + i, square);
    }
}

// Where rows alike share nothing the equations have one solution for all unknown errors, and nobody looks at the rows.
inline float krige_common(const KrigeRows& rows, float common, float* expected, float* left) {
    double sum = 0.0;
    for (size_t i = 0; i < rows.m; ++i) sum += is_unknown(rows.errors[i]) ? 0.0 : static_cast<double>(rows.errors[i]);
    const double wide = static_cast<double>(common);
    const auto mean = static_cast<float>(wide * sum / (1.0 + wide * static_cast<double>(rows.known)));
    for (size_t i = 0; i < rows.m; ++i) {
        expected[i] = is_unknown(rows.errors[i]) ? mean : 0.0f;
        left[i] = is_unknown(rows.errors[i]) ? 1.0f : 0.0f;
    }
    return mean;
}

float krige(const KrigeRows& rows, KrigeModel model, float* expected, float* left, float* scratch) noexcept {
    if (model.shared == 0.0f) return krige_common(rows, model.common, expected, left);
    const size_t depth = compared_padded(rows.d);
    const size_t width = compared_padded(rows.m + 2);
    float* const unit = scratch;
    float* const equations = unit + compared_size(rows);
    float* const products = equations + rows.known * width;
    float* const squares = products + width;
    unit_rows_of_errors(rows, unit, depth);
    covariances(unit, rows, depth, model, equations, width);
    right_sides(rows, equations, width);
    eliminate(equations, rows.known, width, squares + width);
    fold(equations, rows.known, width, rows.m, products, squares);
    size_t column = rows.known;
    for (size_t i = 0; i < rows.m; ++i) {
        const bool unknown = is_unknown(rows.errors[i]);
        const float open = unknown ? 1.0f + model.common - squares[column] : 0.0f;
        expected[i] = unknown ? products[column] : 0.0f;
        left[i] = open < 0.0f ? 0.0f : open > 1.0f ? 1.0f : open;
        column += unknown;
    }
    return model.common * products[rows.m + 1];
}

}  // namespace
}  // namespace crossfade

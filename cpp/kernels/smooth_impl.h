// smooth.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "compared_impl.h"
#include "smooth.h"

namespace crossfade {
namespace {

void smooth(const ComparedRows& rows, const double* evidence, double* out, float* scratch) noexcept {
    const size_t depth = compared_padded(rows.d);
    double totals[most_smoothed];
    for (size_t i = 0; i < rows.m; ++i) out[i] = totals[i] = 0.0;
    unit_rows(rows, scratch, depth, [](size_t i) { return i; });
    cosines_of(scratch, rows.m, rows.m, depth, [&](size_t p, size_t q, float cosine) {
        if (q <= p || !(cosine > 0.0f)) return;
        const double square = static_cast<double>(cosine) * static_cast<double>(cosine);
        const double weight = square * square;
        totals[p] += weight;
        totals[q] += weight;
        out[p] += weight * evidence[q];
        out[q] += weight * evidence[p];
    });
    for (size_t i = 0; i < rows.m; ++i) out[i] = totals[i] > 0.0 ? out[i] / totals[i] : evidence[i];
}

}  // namespace
}  // namespace crossfade

// Gaussian process regression over a few hundred rows: what known errors say about unknown ones.
//
// In units of the errors' variance, two rows' errors have the covariance common + shared · cos², and a row's own
// common + 1 (Rasmussen and Williams 2006, eq. 2.23 and 2.24). Cosines are those of rows less a center.
// NaN and infinity follow IEEE arithmetic. No memory is allocated (scratch comes from the caller), nothing throws, no state.
#pragma once

#include "compared.h"

namespace crossfade {

constexpr size_t most_kriged = 1 << 12;

struct KrigeRows : ComparedRows {
    const float* errors;  // (m), NaN where it is unknown
    size_t known;         // how many are known
};

// What is known of a row's error.
struct KrigeModel {
    float shared;  // 0 to 1
    float common;  // 0 or more
};

// expected[i] is the error that row i must be expected to have, left[i] the share of its variance that is still open, 0 to
// 1; both are 0 where the error is known. Gives what must be expected of a row that is like none of these.
using Krige = float(const KrigeRows& rows, KrigeModel model, float* expected, float* left, float* scratch) noexcept;

// Number of floats in `scratch`: the rows, the equations with two right sides of their own, and three
// vectors; none are needed where nothing is shared. Internal linkage, since every level includes this.
static inline size_t krige_scratch_size(const KrigeRows& rows) {
    const size_t width = compared_padded(rows.m + 2);
    return compared_size(rows) + (rows.known + 3) * width;
}

}  // namespace crossfade

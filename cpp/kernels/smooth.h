// What rows alike have is evidence for each of them (regularised scores; Diaz, CIKM 2005).
// No memory is allocated (scratch comes from the caller), nothing throws, no state.
#pragma once

#include "compared.h"

namespace crossfade {

constexpr size_t most_smoothed = 512;

// out[i] = Σ w(i, j) evidence[j] / Σ w(i, j) over the other rows, with w = max(0, cos)⁴; evidence[i] where nothing is like
// it. At most `most_smoothed` rows, their evidence finite; `scratch` is compared_size(rows) floats.
using Smooth = void(const ComparedRows& rows, const double* evidence, double* out, float* scratch) noexcept;

}  // namespace crossfade

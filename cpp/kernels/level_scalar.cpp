#include "simd_scalar.h"

#include "level_impl.h"

namespace crossfade {

const Kernels kernels_scalar = level_kernels("scalar");

}  // namespace crossfade

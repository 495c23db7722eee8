#include "simd_neon.h"

#include "level_impl.h"

namespace crossfade {

const Kernels kernels_neon = level_kernels("neon");

}  // namespace crossfade

#include "simd_avx2.h"

#include "level_impl.h"

namespace crossfade {

const Kernels kernels_avx2 = level_kernels("avx2");

}  // namespace crossfade

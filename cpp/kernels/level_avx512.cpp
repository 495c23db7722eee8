#include "simd_avx512.h"

#include "level_impl.h"

namespace crossfade {

const Kernels kernels_avx512 = level_kernels("avx512");

}  // namespace crossfade

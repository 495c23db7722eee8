#include "simd_avx512.h"

#include "level_impl.h"

namespace crossfade {

const Kernels kernels_avx512bf16 = level_kernels("avx512bf16");

}  // namespace crossfade

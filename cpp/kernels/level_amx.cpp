#include "simd_avx512.h"
#include "tiles_amx.h"

#include "level_impl.h"

namespace crossfade {

const Kernels kernels_amx = level_kernels("amx");

}  // namespace crossfade

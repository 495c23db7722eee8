// The amx level with its instructions emulated.
#include "../../cpp/kernels/simd_avx512.h"
#include "tiles_emulated.h"

#include "../../cpp/kernels/level_impl.h"

namespace crossfade {

extern const Kernels kernels_amx_emulated;
const Kernels kernels_amx_emulated = level_kernels("amx-emulated");

}  // namespace crossfade

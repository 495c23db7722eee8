// The table of the level whose simd_*.h was included before.
#pragma once

#include "dispatch.h"
#include "normalize_impl.h"
#include "project_impl.h"
#include "rescore_impl.h"

namespace crossfade {
namespace {

constexpr Kernels level_kernels(const char* name) {
    return {
        name,
        normalize_measure,
        normalize_scale<float>,
        normalize_scale<uint16_t>,
        project_packed_size,
        project_pack,
        project_rows<float>,
        project_rows<uint16_t>,
        rescore<float>,
        rescore<uint16_t>,
    };
}

}  // namespace
}  // namespace crossfade

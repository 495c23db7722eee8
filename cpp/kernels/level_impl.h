// The table of the level whose simd_*.h was included before.
#pragma once

#include "covariance_impl.h"
#include "dispatch.h"
#include "hamming_impl.h"
#include "krige_impl.h"
#include "normalize_impl.h"
#include "project_impl.h"
#include "rescore_impl.h"
#include "smooth_impl.h"

namespace crossfade {
namespace {

constexpr Kernels level_kernels(const char* name) {
    return {
        name,
        {normalize<float>, normalize<Half>, normalize<Bfloat>, normalize<int8_t>},
        project_packed_size,
        project_pack,
        project_scratch_size,
        {project_rows<float>, project_rows<Half>, project_rows<Bfloat>, project_rows<int8_t>},
        {rescore<float>, rescore<Half>, rescore<Bfloat>, rescore<int8_t>},
        column_sums,
        add_products,
        krige,
        smooth,
        hamming,
    };
}

}  // namespace
}  // namespace crossfade

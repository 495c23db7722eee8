// Vocabulary of the NEON level: four lanes, with nothing beyond the first AArch64 (ARMv8.0-A).
#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "elements.h"

// multiply_add rounds once.
#define CROSSFADE_FUSED

namespace crossfade {
namespace {

using Vec = float32x4_t;
struct Wide {
    float64x2_t low;
    float64x2_t high;
};

constexpr size_t lanes = 4;
constexpr size_t panel_vectors = 4;  // with 6 rows: 24 accumulators of 32 registers
constexpr size_t panel_depth = 192;  // 12 KB of the matrix: they stay in the first-level cache for all rows
constexpr size_t read_ahead = 0;

inline Vec zero() { return vdupq_n_f32(0.0f); }
inline Vec broadcast(float value) { return vdupq_n_f32(value); }
inline Vec load(const float* p) { return vld1q_f32(p); }
inline Vec load(const Half* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits))); }
inline Vec load(const Bfloat* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16)); }
inline Vec load(const int8_t* p) {
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const int8x8_t bytes = vreinterpret_s8_u32(vdup_n_u32(four));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}
template <typename In>
inline Vec load_first(const In* p, size_t count) {
    In whole[lanes] = {};
    for (size_t i = 0; i < count; ++i) whole[i] = p[i];
    return load(whole);
}

// To the narrower elements: to nearest, ties to even; for int8 the value must be within its range.
inline void store(float* p, Vec value) { vst1q_f32(p, value); }
inline void store(Half* p, Vec value) { vst1_u16(&p->bits, vreinterpret_u16_f16(vcvt_f16_f32(value))); }
// What is below the upper half is unspecified.
inline uint32x4_t rounded_to_upper_half(Vec value) {
    const uint32x4_t bits = vreinterpretq_u32_f32(value);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vbslq_u32(vceqq_f32(value, value), rounded, vdupq_n_u32(0x7fc00000));
}
inline void store(Bfloat* p, Vec value) { vst1_u16(&p->bits, vshrn_n_u32(rounded_to_upper_half(value), 16)); }
inline void store(int8_t* p, Vec value) {
    const int16x4_t words = vmovn_s32(vcvtnq_s32_f32(value));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);
    memcpy(p, &four, sizeof four);
}
template <typename Out>
inline void store_first(Out* p, Vec value, size_t count) {
    Out whole[lanes];
    store(whole, value);
    for (size_t i = 0; i < count; ++i) p[i] = whole[i];
}
// The compilers share no intrinsic for stores past the caches.
template <typename Out>
inline void stream(Out* p, Vec value) {
    store(p, value);
}
inline void stream_end() {}

inline Vec rounded_to_bfloat(Vec value) {
    return vreinterpretq_f32_u32(vandq_u32(rounded_to_upper_half(value), vdupq_n_u32(0xffff0000)));
}

inline Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
inline Vec subtract(Vec a, Vec b) { return vsubq_f32(a, b); }
inline Vec multiply(Vec a, Vec b) { return vmulq_f32(a, b); }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline float sum(Vec value) { return vaddvq_f32(value); }

inline Wide wide_zero() { return {vdupq_n_f64(0.0), vdupq_n_f64(0.0)}; }
inline Wide widen(Vec value) { return {vcvt_f64_f32(vget_low_f32(value)), vcvt_high_f64_f32(value)}; }
inline Wide load_wide(const float* p) { return widen(load(p)); }
inline Vec narrow(Wide value) { return vcvt_high_f32_f64(vcvt_f32_f64(value.low), value.high); }
inline void add_first(double* p, Wide value, size_t count) {
    double whole[lanes] = {};
    for (size_t i = 0; i < count; ++i) whole[i] = p[i];
    vst1q_f64(whole, vaddq_f64(vld1q_f64(whole), value.low));
    vst1q_f64(whole + 2, vaddq_f64(vld1q_f64(whole + 2), value.high));
    for (size_t i = 0; i < count; ++i) p[i] = whole[i];
}
inline Wide add(Wide a, Wide b) { return {vaddq_f64(a.low, b.low), vaddq_f64(a.high, b.high)}; }
inline Wide multiply(Wide a, double b) { return {vmulq_n_f64(a.low, b), vmulq_n_f64(a.high, b)}; }
inline Wide multiply_add(Wide a, Wide b, Wide c) {
    return {vfmaq_f64(c.low, a.low, b.low), vfmaq_f64(c.high, a.high, b.high)};
}
inline double sum(Wide value) { return vaddvq_f64(vaddq_f64(value.low, value.high)); }

}  // namespace
}  // namespace crossfade

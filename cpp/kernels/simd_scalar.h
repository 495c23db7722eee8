// Vocabulary of the scalar level: one lane, no instruction beyond the platform's baseline.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "elements.h"

namespace crossfade {
namespace {

using Vec = float;
using Wide = double;

constexpr size_t lanes = 1;
constexpr size_t panel_vectors = 8;
constexpr size_t panel_depth = 192;
constexpr size_t read_ahead = 0;

inline float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The half's exponent is moved to the float's bias; infinities, NaN and subnormals need one more adjustment.
inline float half_to_float(uint16_t half) {
    const uint32_t exponent_mask = 0x7c00u << 13;
    const uint32_t sign = (half & 0x8000u) << 16;
    uint32_t bits = (half & 0x7fffu) << 13;
    const uint32_t exponent = bits & exponent_mask;
    bits += (127u - 15u) << 23;
    if (exponent == exponent_mask) {
        bits += (128u - 16u) << 23;
    } else if (exponent == 0) {
        bits = to_bits(from_bits(bits + (1u << 23)) - from_bits(113u << 23));
    }
    return from_bits(bits | sign);
}

// Rounds to nearest, ties to even. Subnormals are rounded by the addition of a float whose last bit is the half's last bit.
inline uint16_t float_to_half(float value) {
    const uint32_t subnormal_magic = ((127u - 15u) + (23u - 10u) + 1u) << 23;
    uint32_t bits = to_bits(value);
    const uint32_t sign = bits & 0x80000000u;
    bits ^= sign;
    if (bits >= (127u + 16u) << 23) {
        bits = bits > 0x7f800000u ? 0x7e00u : 0x7c00u;
    } else if (bits < (113u << 23)) {
        bits = to_bits(from_bits(bits) + from_bits(subnormal_magic)) - subnormal_magic;
    } else {
        const uint32_t odd = (bits >> 13) & 1u;
        bits = (bits - ((127u - 15u) << 23) + 0xfffu + odd) >> 13;
    }
    return static_cast<uint16_t>(bits | (sign >> 16));
}

inline Vec zero() { return 0.0f; }
inline Vec broadcast(float value) { return value; }
// To nearest, ties to even.
inline uint16_t float_to_bfloat(float value) {
    if (value != value) return 0x7fc0u;
    const uint32_t bits = to_bits(value);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline Vec load(const float* p) { return *p; }
inline Vec load(const Half* p) { return half_to_float(p->bits); }
inline Vec load(const Bfloat* p) { return from_bits(static_cast<uint32_t>(p->bits) << 16); }
inline Vec load(const int8_t* p) { return *p; }
template <typename In>
inline Vec load_first(const In* p, size_t count) {
    return count ? load(p) : 0.0f;
}
inline void store(float* p, Vec value) { *p = value; }
inline void store(Half* p, Vec value) { p->bits = float_to_half(value); }
inline void store(Bfloat* p, Vec value) { p->bits = float_to_bfloat(value); }
inline void store(int8_t* p, Vec value) { *p = static_cast<int8_t>(__builtin_nearbyintf(value)); }
template <typename Out>
inline void store_first(Out* p, Vec value, size_t count) {
    if (count) store(p, value);
}
template <typename Out>
inline void stream(Out* p, Vec value) {
    store(p, value);
}
inline void stream_end() {}
inline Vec rounded_to_bfloat(Vec value) { return from_bits(static_cast<uint32_t>(float_to_bfloat(value)) << 16); }

inline Vec add(Vec a, Vec b) { return a + b; }
inline Vec subtract(Vec a, Vec b) { return a - b; }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return a * b + c; }
inline float sum(Vec value) { return value; }

inline Wide wide_zero() { return 0.0; }
inline Wide widen(Vec value) { return static_cast<double>(value); }
inline Wide load_wide(const float* p) { return widen(load(p)); }
inline Vec narrow(Wide value) { return static_cast<float>(value); }
inline void add_first(double* p, Wide value, size_t count) {
    if (count) *p += value;
}
inline Wide add(Wide a, Wide b) { return a + b; }
inline Wide multiply(Wide a, double b) { return a * b; }
inline Wide multiply_add(Wide a, Wide b, Wide c) { return a * b + c; }
inline double sum(Wide value) { return value; }

}  // namespace
}  // namespace crossfade

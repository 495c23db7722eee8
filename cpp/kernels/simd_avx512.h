// Vocabulary of the AVX-512 level: sixteen lanes, with F, BW, DQ and VL.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "elements.h"

// multiply_add rounds once.
#define CROSSFADE_FUSED

namespace crossfade {
namespace {

using Vec = __m512;
struct Wide {
    __m512d low;
    __m512d high;
};

constexpr size_t lanes = 16;
constexpr size_t panel_vectors = 4;  // with 6 rows: 24 accumulators of 32 registers
constexpr size_t panel_depth = 128;  // 32 KB of the matrix: they stay in the first-level cache for all rows
constexpr size_t read_ahead = 0;     // the processor does so by itself; asked for, rows come later

// The first `count` of sixteen lanes, 0 ≤ count ≤ 16.
inline __mmask16 first_lanes(size_t count) { return static_cast<__mmask16>((1u << count) - 1u); }

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline Vec load(const Half* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Vec from_upper_half(__m256i bits) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)); }
inline Vec load(const Bfloat* p) { return from_upper_half(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Vec from_int8(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }
inline Vec load(const int8_t* p) { return from_int8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline Vec load_first(const float* p, size_t count) { return _mm512_maskz_loadu_ps(first_lanes(count), p); }
inline Vec load_first(const Half* p, size_t count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), p));
}
inline Vec load_first(const Bfloat* p, size_t count) {
    return from_upper_half(_mm256_maskz_loadu_epi16(first_lanes(count), p));
}
inline Vec load_first(const int8_t* p, size_t count) { return from_int8(_mm_maskz_loadu_epi8(first_lanes(count), p)); }

// The value in the bits of a narrower element, to nearest, ties to even; for int8 it must be within its range.
inline __m512 bits_of(Vec value, const float*) { return value; }
inline __m256i bits_of(Vec value, const Half*) { return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT); }
// What is below the upper half is unspecified.
inline __m512i rounded_to_upper_half(Vec value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    return _mm512_mask_blend_epi32(nan, rounded, _mm512_set1_epi32(0x7fc00000));
}
inline __m256i bits_of(Vec value, const Bfloat*) {
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded_to_upper_half(value), 16));
}
inline __m128i bits_of(Vec value, const int8_t*) { return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(value)); }

inline void write(float* p, __m512 bits) { _mm512_storeu_ps(p, bits); }
inline void write(void* p, __m256i bits) { _mm256_storeu_si256(static_cast<__m256i*>(p), bits); }
inline void write(void* p, __m128i bits) { _mm_storeu_si128(static_cast<__m128i*>(p), bits); }
inline void write_first(float* p, __m512 bits, size_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), bits); }
inline void write_first(void* p, __m256i bits, size_t count) { _mm256_mask_storeu_epi16(p, first_lanes(count), bits); }
inline void write_first(void* p, __m128i bits, size_t count) { _mm_mask_storeu_epi8(p, first_lanes(count), bits); }
inline void write_past_caches(float* p, __m512 bits) { _mm512_stream_ps(p, bits); }
inline void write_past_caches(void* p, __m256i bits) { _mm256_stream_si256(static_cast<__m256i*>(p), bits); }
inline void write_past_caches(void* p, __m128i bits) { _mm_stream_si128(static_cast<__m128i*>(p), bits); }
template <typename Out>
inline void store(Out* p, Vec value) {
    write(p, bits_of(value, p));
}
template <typename Out>
inline void store_first(Out* p, Vec value, size_t count) {
    write_first(p, bits_of(value, p), count);
}
// `p` is aligned to what is written: lanes elements.
template <typename Out>
inline void stream(Out* p, Vec value) {
    write_past_caches(p, bits_of(value, p));
}
inline void stream_end() { _mm_sfence(); }

inline Vec rounded_to_bfloat(Vec value) {
    return _mm512_castsi512_ps(_mm512_maskz_mov_epi16(0xaaaaaaaa, rounded_to_upper_half(value)));
}

inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec subtract(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec multiply(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
#ifdef __AVX512BF16__
// Lanes can hold two bfloat16 each, which are multiplied together.
#define CROSSFADE_PAIRS
inline Vec pair(Vec low, Vec high) {
    const __m512i lower = _mm512_srli_epi32(rounded_to_upper_half(low), 16);
    return _mm512_castsi512_ps(_mm512_mask_blend_epi16(0xaaaaaaaa, lower, rounded_to_upper_half(high)));
}
inline Vec multiply_add_pairs(Vec a, Vec b, Vec c) {
    return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
#endif
inline float sum(Vec value) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(value), _mm512_extractf32x8_ps(value, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline Wide wide_zero() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
inline Wide widen(Vec value) {
    return {_mm512_cvtps_pd(_mm512_castps512_ps256(value)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(value, 1))};
}
// The same values, widened on the way: no shuffle takes part.
inline Wide load_wide(const float* p) {
    return {_mm512_cvtps_pd(_mm256_loadu_ps(p)), _mm512_cvtps_pd(_mm256_loadu_ps(p + 8))};
}
inline Vec narrow(Wide value) {
    const __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps(value.low));
    return _mm512_insertf32x8(low, _mm512_cvtpd_ps(value.high), 1);
}
inline void add_first(double* p, Wide value, size_t count) {
    const auto mask = first_lanes(count);
    const auto low = static_cast<__mmask8>(mask);
    const auto high = static_cast<__mmask8>(mask >> 8);
    _mm512_mask_storeu_pd(p, low, _mm512_add_pd(_mm512_maskz_loadu_pd(low, p), value.low));
    _mm512_mask_storeu_pd(p + 8, high, _mm512_add_pd(_mm512_maskz_loadu_pd(high, p + 8), value.high));
}
inline Wide add(Wide a, Wide b) { return {_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)}; }
inline Wide multiply(Wide a, double b) {
    const __m512d factor = _mm512_set1_pd(b);
    return {_mm512_mul_pd(a.low, factor), _mm512_mul_pd(a.high, factor)};
}
inline Wide multiply_add(Wide a, Wide b, Wide c) {
    return {_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}
inline double sum(Wide value) {
    const __m512d eight = _mm512_add_pd(value.low, value.high);
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

}  // namespace
}  // namespace crossfade

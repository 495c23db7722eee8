// Vocabulary of the AVX2 level: eight lanes, with FMA and F16C.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "elements.h"

// multiply_add rounds once.
#define CROSSFADE_FUSED

namespace crossfade {
namespace {

using Vec = __m256;
struct Wide {
    __m256d low;
    __m256d high;
};

constexpr size_t lanes = 8;
constexpr size_t panel_vectors = 2;  // with 6 rows: 12 accumulators of 16 registers
constexpr size_t panel_depth = 192;  // 12 KB of the matrix: they stay in the first-level cache for all rows
constexpr size_t read_ahead = 6144;  // bytes asked for ahead where rows that follow one another are scaled

// The first `count` of eight lanes, 0 ≤ count ≤ 8.
inline __m256i first_lanes(size_t count) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
}

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline Vec load(const Half* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline Vec load_first(const float* p, size_t count) {
    return count == lanes ? load(p) : _mm256_maskload_ps(p, first_lanes(count));
}
inline Vec load(const Bfloat* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline Vec load(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
template <typename In>
inline Vec load_first(const In* p, size_t count) {
    if (count == lanes) return load(p);
    In whole[lanes] = {};
    for (size_t i = 0; i < count; ++i) whole[i] = p[i];
    return load(whole);
}

// The value in the bits of a narrower element, to nearest, ties to even; for int8 it must be within its range.
inline __m128i bits_of(Vec value, const Half*) { return _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT); }
inline __m128i to_16_bits(__m256i whole) {
    return _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
}
// What is below the upper half is unspecified.
inline __m256i rounded_to_upper_half(Vec value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256 nan = _mm256_cmp_ps(value, value, _CMP_UNORD_Q);
    return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc00000), _mm256_castps_si256(nan));
}
inline __m128i bits_of(Vec value, const Bfloat*) { return to_16_bits(_mm256_srli_epi32(rounded_to_upper_half(value), 16)); }
inline __m128i bits_of(Vec value, const int8_t*) {
    const __m256i whole = _mm256_cvtps_epi32(value);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    return _mm_packs_epi16(words, words);
}
inline void store(float* p, Vec value) { _mm256_storeu_ps(p, value); }
inline void store(int8_t* p, Vec value) { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bits_of(value, p)); }
template <typename Out>
inline void store(Out* p, Vec value) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bits_of(value, p));
}
// Not with a mask: some processors take a hundred cycles for such a store.
inline void store_first(float* p, Vec value, size_t count) {
    if (count == lanes) return store(p, value);
    __m128 rest = _mm256_castps256_ps128(value);
    if (count & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(value, 1);
        p += 4;
    }
    if (count & 2) {
        _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (count & 1) _mm_store_ss(p, rest);
}
template <typename Out>
inline void store_first(Out* p, Vec value, size_t count) {
    if (count == lanes) return store(p, value);
    Out whole[lanes];
    store(whole, value);
    for (size_t i = 0; i < count; ++i) p[i] = whole[i];
}
// `p` is aligned to what is written: lanes elements. Eight bytes have no such instruction.
inline void stream(float* p, Vec value) { _mm256_stream_ps(p, value); }
inline void stream(int8_t* p, Vec value) { store(p, value); }
template <typename Out>
inline void stream(Out* p, Vec value) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), bits_of(value, p));
}
inline void stream_end() { _mm_sfence(); }

inline Vec rounded_to_bfloat(Vec value) {
    return _mm256_castsi256_ps(_mm256_and_si256(rounded_to_upper_half(value), _mm256_set1_epi32(-65536)));
}

inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec subtract(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec multiply(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec multiply_add(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline float sum(Vec value) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline Wide wide_zero() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
inline Wide widen(Vec value) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(value)), _mm256_cvtps_pd(_mm256_extractf128_ps(value, 1))};
}
// The same values, widened on the way: no shuffle takes part.
inline Wide load_wide(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))}; }
inline Vec narrow(Wide value) { return _mm256_set_m128(_mm256_cvtpd_ps(value.high), _mm256_cvtpd_ps(value.low)); }
inline void add_wide(double* p, Wide value) {
    _mm256_storeu_pd(p, _mm256_add_pd(_mm256_loadu_pd(p), value.low));
    _mm256_storeu_pd(p + 4, _mm256_add_pd(_mm256_loadu_pd(p + 4), value.high));
}
inline void add_first(double* p, Wide value, size_t count) {
    if (count == lanes) return add_wide(p, value);
    double whole[lanes] = {};
    for (size_t i = 0; i < count; ++i) whole[i] = p[i];
    add_wide(whole, value);
    for (size_t i = 0; i < count; ++i) p[i] = whole[i];
}
inline Wide add(Wide a, Wide b) { return {_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)}; }
inline Wide multiply(Wide a, double b) {
    const __m256d factor = _mm256_set1_pd(b);
    return {_mm256_mul_pd(a.low, factor), _mm256_mul_pd(a.high, factor)};
}
inline Wide multiply_add(Wide a, Wide b, Wide c) {
    return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}
inline double sum(Wide value) {
    const __m256d four = _mm256_add_pd(value.low, value.high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

}  // namespace
}  // namespace crossfade

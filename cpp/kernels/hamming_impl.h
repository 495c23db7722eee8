// hamming.h: eight codes at a time, in one register where the processor counts the bits of its lanes; in two, counted by
// looking up every half byte (Muła, Kurz and Lemire, 2018); else one by one.
#pragma once

#if defined(__AVX512VPOPCNTDQ__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#include "hamming.h"

namespace crossfade {
namespace {

#ifdef __AVX512VPOPCNTDQ__
struct Differing {
    __m512i counts = _mm512_setzero_si512();

    void add(const uint64_t* words, uint64_t word) {
        const __m512i differing =
            _mm512_xor_si512(_mm512_loadu_si512(words), _mm512_set1_epi64(static_cast<long long>(word)));
        counts = _mm512_add_epi64(counts, _mm512_popcnt_epi64(differing));
    }
    void store(uint32_t* out) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi64_epi32(counts)); }
};
#elif defined(__AVX2__)
struct Differing {
    __m256i counts[2] = {};
    __m256i bytes[2] = {};  // what is not in `counts` yet
    size_t words_in_bytes = 0;

    void add(const uint64_t* words, uint64_t word) {
        const __m256i same = _mm256_set1_epi64x(static_cast<long long>(word));
        for (size_t half = 0; half < 2; ++half) {
            const __m256i those = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + 4 * half));
            bytes[half] = _mm256_add_epi8(bytes[half], bits_of_bytes(_mm256_xor_si256(those, same)));
        }
        if (++words_in_bytes == most_words_in_bytes) count_bytes();
    }
    void store(uint32_t* out) {
        count_bytes();
        const __m256i picked = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
        for (size_t half = 0; half < 2; ++half) {
            const __m128i four = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(counts[half], picked));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4 * half), four);
        }
    }

private:
    static constexpr size_t most_words_in_bytes = 255 / 8;

    static __m256i bits_of_bytes(__m256i value) {
        const __m256i bits =
            _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
        const __m256i four_bits = _mm256_set1_epi8(15);
        const __m256i low = _mm256_and_si256(value, four_bits);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(value, 4), four_bits);
        return _mm256_add_epi8(_mm256_shuffle_epi8(bits, low), _mm256_shuffle_epi8(bits, high));
    }
    void count_bytes() {
        for (size_t half = 0; half < 2; ++half) {
            counts[half] = _mm256_add_epi64(counts[half], _mm256_sad_epu8(bytes[half], _mm256_setzero_si256()));
            bytes[half] = _mm256_setzero_si256();
        }
        words_in_bytes = 0;
    }
};
#else
struct Differing {
    uint64_t counts[codes_abreast] = {};

    void add(const uint64_t* words, uint64_t word) {
        for (size_t i = 0; i < codes_abreast; ++i) {
            counts[i] += static_cast<uint64_t>(__builtin_popcountll(words[i] ^ word));
        }
    }
    void store(uint32_t* out) const {
        for (size_t i = 0; i < codes_abreast; ++i) out[i] = static_cast<uint32_t>(counts[i]);
    }
};
#endif

void hamming(const uint64_t* codes, size_t blocks, size_t words, const uint64_t* code, uint32_t* out) noexcept {
    for (size_t b = 0; b < blocks; ++b, codes += codes_abreast * words, out += codes_abreast) {
        Differing differing;
        for (size_t w = 0; w < words; ++w) differing.add(codes + codes_abreast * w, code[w]);
        differing.store(out);
    }
}

}  // namespace
}  // namespace crossfade

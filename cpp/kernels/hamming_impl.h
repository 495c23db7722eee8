// hamming.h: eight codes at a time, in one register where the processor counts the bits of its lanes, else one by one.
#pragma once

#ifdef __AVX512VPOPCNTDQ__
#include <immintrin.h>
#endif

#include "hamming.h"

namespace crossfade {
namespace {

#ifdef __AVX512VPOPCNTDQ__
struct Differing {
    __m512i counts = _mm512_setzero_si512();

    void add(const uint64_t* words, uint64_t word) {
        const __m512i differing = _mm512_xor_si512(_mm512_loadu_si512(words), _mm512_set1_epi64(static_cast<long long>(word)));
        counts = _mm512_add_epi64(counts, _mm512_popcnt_epi64(differing));
    }
    void store(uint32_t* out) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi64_epi32(counts));
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

// Vocabulary of matrix tiles: eight registers of 16 rows of 64 bytes, which the AMX unit multiplies.
//
// In assembly, since a register's number is part of an instruction, and since the compiler has to know that memory is read.
// Strides are in floats.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CROSSFADE_TILES

namespace crossfade {
namespace {

struct alignas(64) TileConfiguration {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Before the first use on a thread; what the registers held is lost.
inline void tiles_begin() {
    const TileConfiguration configuration;
    asm volatile("ldtilecfg %0" ::"m"(configuration));
}

// After the last use: with registers in use, every switch to another thread would save 8 KB.
inline void tiles_end() { asm volatile("tilerelease"); }

template <int tile>
inline void tile_zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(tile));
}

template <int tile>
inline void tile_load(const float* p, ptrdiff_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride * 4), "i"(tile) : "memory");
}

template <int tile>
inline void tile_store(float* p, ptrdiff_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride * 4), "i"(tile) : "memory");
}

// total[i][j] += Σ a[i][k] · b[k][j] over pairs k of bfloat16.
template <int total, int a, int b>
inline void tile_multiply_add() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(total), "i"(a), "i"(b));
}

}  // namespace
}  // namespace crossfade

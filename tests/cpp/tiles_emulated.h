// The vocabulary of tiles_amx.h without the instructions, so that what is made of them is tested on every machine with
// AVX-512.
//
// TDPBF16PS (Intel, Architecture Instruction Set Extensions Programming Reference): the products of the pairs' first and
// second halves are summed apart in float32, then both sums are added, and to what was there. Registers hold rows of 16
// floats.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CROSSFADE_TILES

namespace crossfade {
namespace {

constexpr int emulated_side = 16;
thread_local float emulated_tiles[8][emulated_side][emulated_side];
thread_local bool emulated_in_use = false;

inline void tiles_begin() {
    if (emulated_in_use) __builtin_trap();
    emulated_in_use = true;
    memset(emulated_tiles, 0xff, sizeof emulated_tiles);
}

inline void tiles_end() {
    if (!emulated_in_use) __builtin_trap();
    emulated_in_use = false;
}

template <int tile>
inline void tile_zero() {
    memset(emulated_tiles[tile], 0, sizeof emulated_tiles[tile]);
}

template <int tile>
inline void tile_load(const float* p, ptrdiff_t stride) {
    if (!emulated_in_use) __builtin_trap();
    for (int i = 0; i < emulated_side; ++i) memcpy(emulated_tiles[tile][i], p + i * stride, sizeof emulated_tiles[tile][i]);
}

template <int tile>
inline void tile_store(float* p, ptrdiff_t stride) {
    if (!emulated_in_use) __builtin_trap();
    for (int i = 0; i < emulated_side; ++i) memcpy(p + i * stride, emulated_tiles[tile][i], sizeof emulated_tiles[tile][i]);
}

inline float half_of(float pair, bool second) {
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    bits = second ? bits & 0xffff0000u : bits << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <int total, int a, int b>
inline void tile_multiply_add() {
    for (int i = 0; i < emulated_side; ++i) {
        for (int j = 0; j < emulated_side; ++j) {
            float sums[2] = {0.0f, 0.0f};
            for (int k = 0; k < emulated_side; ++k) {
                for (int half = 0; half < 2; ++half) {
                    const float left = half_of(emulated_tiles[a][i][k], half != 0);
                    sums[half] += left * half_of(emulated_tiles[b][k][j], half != 0);
                }
            }
            emulated_tiles[total][i][j] += sums[0] + sums[1];
        }
    }
}

}  // namespace
}  // namespace crossfade

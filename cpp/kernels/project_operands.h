// The operands of a projection as its inner loops take them: the packed matrix, and rows of the same depth.
#pragma once

#include "project.h"

namespace crossfade {
namespace {

// Accumulators in arrays stay in registers only where the loops over them are unrolled.
#define UNROLL _Pragma("GCC unroll 32")

constexpr size_t panel_width = panel_vectors * lanes;

constexpr size_t round_up(size_t size, size_t step) { return (size + step - 1) / step * step; }

// Whether two bfloat16 stand in the place of a float. Where nothing multiplies them so, one is a float that needs few bits,
// and the sum of two of them is a float as it is.
#ifdef CROSSFADE_PAIRS
inline bool in_pairs(const Projection& p) { return p.arithmetic != Arithmetic::float32; }
#else
constexpr bool in_pairs(const Projection&) { return false; }
#endif
inline bool as_they_are(const Projection& p) { return !in_pairs(p) && p.arithmetic != Arithmetic::bfloat16; }

#ifdef CROSSFADE_TILES
// Matrix tiles are 16 rows of 16 floats or pairs; in pairs, all sizes are rounded up to whole ones.
constexpr size_t tile_side = 16;
inline size_t whole_tiles(const Projection& p, size_t size) { return in_pairs(p) ? round_up(size, tile_side) : size; }
// Rows a power of two apart would all fall into the same few places of the cache: an odd number of lines keeps them apart.
inline size_t row_stride(const Projection& p, size_t size) {
    return in_pairs(p) ? (size / tile_side | 1) * tile_side : size;
}
#else
inline size_t whole_tiles(const Projection&, size_t size) { return size; }
inline size_t row_stride(const Projection&, size_t size) { return size; }
#endif

// Input columns, or pairs of them: what one multiply-add takes. Both have the size of a float.
inline size_t part_depth(const Projection& p) { return in_pairs(p) ? whole_tiles(p, (p.d_in + 1) / 2) : p.d_in; }

// With bfloat16x3 in pairs the three products are one product of three times the depth, the smallest terms first: rows are
// low, high, high; the matrix is high, low, high.
inline size_t parts_of(const Projection& p) { return in_pairs(p) && p.arithmetic == Arithmetic::bfloat16x3 ? 3 : 1; }
inline bool row_part_is_low(const Projection& p, size_t part) { return parts_of(p) == 3 && part == 0; }
inline bool matrix_part_is_low(const Projection& p, size_t part) { return parts_of(p) == 3 && part == 1; }
inline size_t depth_of(const Projection& p) { return parts_of(p) * part_depth(p); }

size_t project_packed_size(const Projection& p) noexcept { return round_up(p.d_out, panel_width) * depth_of(p); }

inline size_t block_rows(const Projection& p) { return whole_tiles(p, project_block_rows(p.d_in, p.d_out)); }
inline size_t operand_stride(const Projection& p) { return row_stride(p, depth_of(p)); }
inline size_t operands_size(const Projection& p) { return block_rows(p) * operand_stride(p); }
// Of two neighbouring tiles, both are written.
inline size_t mapped_stride(const Projection& p) {
    return row_stride(p, in_pairs(p) && whole_tiles(p, 1) > 1 ? round_up(p.d_out, 2 * whole_tiles(p, 1)) : p.d_out);
}

size_t project_scratch_size(const Projection& p) noexcept { return operands_size(p) + block_rows(p) * mapped_stride(p); }

// What rounding to bfloat16 leaves of a value.
inline Vec low_part(Vec value) { return subtract(value, rounded_to_bfloat(value)); }

// The part of an operand that is multiplied; in pairs, it is still to be rounded.
inline Vec part_of(const Projection& p, Vec value, bool low) {
    const Vec part = low ? low_part(value) : value;
    return as_they_are(p) || in_pairs(p) ? part : rounded_to_bfloat(part);
}

// A part of a row of the matrix; zeros beyond its last row and column.
template <typename Weight>
inline Vec weights_at(const Projection& p, size_t row, size_t column) {
    if (row >= p.d_in || column >= p.d_out) return zero();
    const Weight* w = static_cast<const Weight*>(p.matrix) + static_cast<ptrdiff_t>(row) * p.matrix_stride + column;
    return load_first(w, p.d_out - column < lanes ? p.d_out - column : lanes);
}

// What stands at depth k: a row of the matrix, or a pair of them.
template <typename Weight>
inline Vec packed_at(const Projection& p, size_t part, size_t k, size_t column) {
    const auto weights = [&](size_t row) {
        return part_of(p, weights_at<Weight>(p, row, column), matrix_part_is_low(p, part));
    };
#ifdef CROSSFADE_PAIRS
    if (in_pairs(p)) return pair(weights(2 * k), weights(2 * k + 1));
#endif
    return weights(k);
}

template <typename Weight>
inline void pack_weights(const Projection& p, float* packed) {
    for (size_t column = 0; column < p.d_out; column += panel_width) {
        for (size_t part = 0; part < parts_of(p); ++part) {
            for (size_t k = 0; k < part_depth(p); ++k) {
                for (size_t v = 0; v < panel_vectors; ++v, packed += lanes) {
                    store(packed, packed_at<Weight>(p, part, k, column + v * lanes));
                }
            }
        }
    }
}

void project_pack(const Projection& p, float* packed) noexcept {
    switch (p.matrix_element) {
        case Element::float16:
            return pack_weights<Half>(p, packed);
        case Element::bfloat16:
            return pack_weights<Bfloat>(p, packed);
        default:
            return pack_weights<float>(p, packed);
    }
}

struct Operands {
    const float* rows;
    ptrdiff_t stride;
};

constexpr bool is_float(const float*) { return true; }
constexpr bool is_float(const void*) { return false; }

template <typename In>
inline Vec centered_at(const In* x, const float* center, size_t i, size_t count) {
    const Vec value = load_first(x + i, count);
    return center ? subtract(value, load_first(center + i, count)) : value;
}

// Pairs of bfloat16 are what bfloat16 one after the other are; a part is filled up with zeros.
template <typename In, typename Operand>
inline void prepare_part(const Projection& p, const In* x, bool low, Operand* out) {
    for (size_t i = 0; i < p.d_in; i += lanes) {
        const size_t count = p.d_in - i < lanes ? p.d_in - i : lanes;
        store_first(out + i, part_of(p, centered_at(x, p.center, i, count), low), count);
    }
    const size_t size = part_depth(p) * sizeof(float) / sizeof(Operand);
    for (size_t i = p.d_in; i < size; ++i) out[i] = {};
}

template <typename In>
inline void prepare_row(const Projection& p, const In* x, float* out) {
    for (size_t part = 0; part < parts_of(p); ++part, out += part_depth(p)) {
        if (in_pairs(p)) {
            prepare_part(p, x, row_part_is_low(p, part), reinterpret_cast<Bfloat*>(out));
        } else {
            prepare_part(p, x, row_part_is_low(p, part), out);
        }
    }
}

// Rows of a block, and zeros up to whole tiles: in the scratch memory, unless they can be used where they lie.
template <typename In>
inline Operands operands_of(const Projection& p, const In* x, ptrdiff_t stride, size_t n, float* scratch) {
    if (is_float(x) && !p.center && as_they_are(p)) return {reinterpret_cast<const float*>(x), stride};
    const size_t to_next = operand_stride(p);
    float* row = scratch;
    for (size_t i = 0; i < n; ++i, x += stride, row += to_next) prepare_row(p, x, row);
    for (size_t i = n * to_next; i < whole_tiles(p, n) * to_next; ++i) scratch[i] = 0.0f;
    return {scratch, static_cast<ptrdiff_t>(to_next)};
}

}  // namespace
}  // namespace crossfade

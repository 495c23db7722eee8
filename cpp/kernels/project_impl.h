// project.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "normalize_impl.h"
#include "project.h"

namespace crossfade {
namespace {

constexpr size_t panel_width = panel_vectors * lanes;
constexpr size_t tile_rows = 6;

size_t project_packed_size(size_t d_in, size_t d_out) noexcept {
    return (d_out + panel_width - 1) / panel_width * panel_width * d_in;
}

void project_pack(const Projection& p, float* packed) noexcept {
    for (size_t column = 0; column < p.d_out; column += panel_width) {
        const float* row = p.matrix + column;
        for (size_t k = 0; k < p.d_in; ++k, row += p.matrix_stride) {
            for (size_t j = 0; j < panel_width; ++j) *packed++ = column + j < p.d_out ? row[j] : 0.0f;
        }
    }
}

// The columns of one panel: where they are, and how many count. `whole` panels may be read up to panel_width.
struct Panel {
    const float* columns;
    ptrdiff_t stride;
    size_t width;
    bool whole;
};

inline Panel panel_at(const Projection& p, size_t column) {
    const size_t left = p.d_out - column;
    const size_t width = left < panel_width ? left : panel_width;
    if (p.packed) return {p.packed + column * p.d_in, static_cast<ptrdiff_t>(panel_width), width, true};
    return {p.matrix + column, p.matrix_stride, width, width == panel_width};
}

// How many of the panel's columns fall into its v-th vector.
inline size_t columns_in(size_t width, size_t v) {
    const size_t before = v * lanes;
    if (width <= before) return 0;
    return width - before < lanes ? width - before : lanes;
}

// `rows` × `vectors` · lanes products, all kept in registers until the last input column.
template <size_t rows, size_t vectors, bool whole>
inline void multiply_tile(const Panel& panel, const float* x, size_t d_in, float* out, ptrdiff_t out_stride) {
    Vec totals[rows][vectors];
    for (size_t r = 0; r < rows; ++r) {
        for (size_t v = 0; v < vectors; ++v) totals[r][v] = zero();
    }
    const float* w = panel.columns;
    for (size_t k = 0; k < d_in; ++k, w += panel.stride) {
        Vec weights[vectors];
        for (size_t v = 0; v < vectors; ++v) {
            const float* part = w + v * lanes;
            weights[v] = whole ? load(part) : load_first(part, columns_in(panel.width, v));
        }
        for (size_t r = 0; r < rows; ++r) {
            const Vec factor = broadcast(x[r * d_in + k]);
            for (size_t v = 0; v < vectors; ++v) totals[r][v] = multiply_add(factor, weights[v], totals[r][v]);
        }
    }
    for (size_t r = 0; r < rows; ++r, out += out_stride) {
        for (size_t v = 0; v < vectors; ++v) {
            store_first(out + v * lanes, totals[r][v], columns_in(panel.width, v));
        }
    }
}

template <bool whole>
inline void multiply_rows(const Panel& panel, const float* x, size_t n, size_t d_in, float* out, ptrdiff_t out_stride) {
    size_t i = 0;
    for (; i + tile_rows <= n; i += tile_rows) {
        multiply_tile<tile_rows, panel_vectors, whole>(panel, x + i * d_in, d_in, out, out_stride);
        out += static_cast<ptrdiff_t>(tile_rows) * out_stride;
    }
    for (; i < n; ++i, out += out_stride) multiply_tile<1, panel_vectors, whole>(panel, x + i * d_in, d_in, out, out_stride);
}

template <typename In>
inline void center_row(const In* x, const float* center, size_t d, float* out) {
    size_t i = 0;
    for (; i < d; i += lanes) {
        const size_t count = d - i < lanes ? d - i : lanes;
        Vec value = load_first(x + i, count);
        if (center) value = subtract(value, load_first(center + i, count));
        store_first(out + i, value, count);
    }
}

inline void add_offset(const float* offset, size_t d, float* row) {
    for (size_t i = 0; i < d; i += lanes) {
        const size_t count = d - i < lanes ? d - i : lanes;
        store_first(row + i, add(load_first(row + i, count), load_first(offset + i, count)), count);
    }
}

// False for a bad row.
inline bool finish_row(const Projection& p, float* row) {
    if (p.offset) add_offset(p.offset, p.d_out, row);
    const double squares = sum_of_squares(row, p.d_out);
    if (!p.unit) return squares < __builtin_huge_val();
    const double reciprocal = reciprocal_norm(squares);
    scale_row(row, p.d_out, reciprocal, row);
    return reciprocal != 0.0;
}

// A single row against the first row_vectors · lanes columns from `w` on, where the matrix lies: as many columns at a time as
// there are registers, since the matrix is read once, and best in long runs.
inline void multiply_row(const float* w, ptrdiff_t stride, const float* x, size_t d_in, float* out) {
    Vec totals[row_vectors];
    for (size_t v = 0; v < row_vectors; ++v) totals[v] = zero();
    for (size_t k = 0; k < d_in; ++k, w += stride) {
        const Vec factor = broadcast(x[k]);
        for (size_t v = 0; v < row_vectors; ++v) totals[v] = multiply_add(factor, load(w + v * lanes), totals[v]);
    }
    for (size_t v = 0; v < row_vectors; ++v) store(out + v * lanes, totals[v]);
}

inline void multiply_block(const Projection& p, const float* x, size_t n, float* out, ptrdiff_t out_stride) {
    constexpr size_t row_width = row_vectors * lanes;
    size_t column = 0;
    if (n == 1 && !p.packed) {
        for (; column + row_width <= p.d_out; column += row_width) {
            multiply_row(p.matrix + column, p.matrix_stride, x, p.d_in, out + column);
        }
    }
    for (; column < p.d_out; column += panel_width) {
        const Panel panel = panel_at(p, column);
        const auto multiply = panel.whole ? multiply_rows<true> : multiply_rows<false>;
        multiply(panel, x, n, p.d_in, out + column, out_stride);
    }
}

template <typename In>
BadRows project_rows(const Projection& p, const void* stored, ptrdiff_t stride, size_t n, float* out,
                     ptrdiff_t out_stride, float* scratch) noexcept {
    const In* x = static_cast<const In*>(stored);
    BadRows bad = {0, n};
    for (size_t begin = 0; begin < n; begin += project_block_rows) {
        const size_t rows = n - begin < project_block_rows ? n - begin : project_block_rows;
        for (size_t i = 0; i < rows; ++i, x += stride) center_row(x, p.center, p.d_in, scratch + i * p.d_in);
        multiply_block(p, scratch, rows, out, out_stride);
        for (size_t i = 0; i < rows; ++i, out += out_stride) {
            if (!finish_row(p, out)) note_bad(bad, begin + i);
        }
    }
    return bad;
}

}  // namespace
}  // namespace crossfade

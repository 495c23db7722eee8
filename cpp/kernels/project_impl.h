// project.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "normalize_impl.h"
#include "project.h"

namespace crossfade {
namespace {

// Accumulators in arrays stay in registers only where the loops over them are unrolled.
#define UNROLL _Pragma("GCC unroll 32")

constexpr size_t panel_width = panel_vectors * lanes;
constexpr size_t tile_rows = 6;
// Input columns at a time: with 64 output columns 32 KB of the matrix, which stay in the first-level cache for all rows.
constexpr size_t depth_step = 192;

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

// The columns of one panel: where they are, and how many count.
struct Panel {
    const float* columns;
    ptrdiff_t stride;
    size_t width;
};

inline Panel panel_at(const Projection& p, size_t column) {
    const size_t left = p.d_out - column;
    const size_t width = left < panel_width ? left : panel_width;
    if (p.packed) return {p.packed + column * p.d_in, static_cast<ptrdiff_t>(panel_width), width};
    return {p.matrix + column, p.matrix_stride, width};
}

template <bool full>
inline Vec load_part(const float* p, size_t count) {
    return full ? load(p) : load_first(p, count);
}

// How many of the panel's columns fall into its v-th vector.
inline size_t columns_in(size_t width, size_t v) {
    const size_t before = v * lanes;
    if (width <= before) return 0;
    return width - before < lanes ? width - before : lanes;
}

// The input columns of one step: those before have been added up in the output already.
struct Depth {
    size_t begin;
    size_t end;
};

// `rows` × panel_width products, all kept in registers until the last input column of the step. Only the `full` panel is
// read and written without a look at its width.
template <size_t rows, bool full>
inline void multiply_tile(const Panel& panel, const float* x, size_t d_in, Depth depth, float* out,
                          ptrdiff_t out_stride) {
    Vec totals[rows][panel_vectors];
    UNROLL for (size_t r = 0; r < rows; ++r) {
        const float* row = out + static_cast<ptrdiff_t>(r) * out_stride;
        UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
            const size_t count = full ? lanes : columns_in(panel.width, v);
            totals[r][v] = depth.begin > 0 ? load_part<full>(row + v * lanes, count) : zero();
        }
    }
    const float* w = panel.columns + static_cast<ptrdiff_t>(depth.begin) * panel.stride;
    for (size_t k = depth.begin; k < depth.end; ++k, w += panel.stride) {
        Vec weights[panel_vectors];
        UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
            weights[v] = load_part<full>(w + v * lanes, full ? lanes : columns_in(panel.width, v));
        }
        UNROLL for (size_t r = 0; r < rows; ++r) {
            const Vec factor = broadcast(x[r * d_in + k]);
            UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
                totals[r][v] = multiply_add(factor, weights[v], totals[r][v]);
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; ++r) {
        float* row = out + static_cast<ptrdiff_t>(r) * out_stride;
        UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
            if (full) {
                store(row + v * lanes, totals[r][v]);
            } else {
                store_first(row + v * lanes, totals[r][v], columns_in(panel.width, v));
            }
        }
    }
}

// Memory that will be needed soon, asked for a piece at a time while something else is computed.
struct Ahead {
    const char* row;
    ptrdiff_t stride;
    size_t rows;
    size_t bytes;
    size_t done;

    void fetch(size_t lines) {
        for (; lines > 0 && rows > 0; --lines) {
            __builtin_prefetch(row + done, 0, 2);
            done += cache_line;
            if (done >= bytes) {
                done = 0;
                row += stride;
                --rows;
            }
        }
    }
};

// Lines asked for with every tile: enough for the next block of rows to have come when this one is done.
constexpr size_t lines_per_tile = 16;

template <bool full>
inline void multiply_rows(const Panel& panel, const float* x, size_t n, size_t d_in, Depth depth, float* out,
                          ptrdiff_t out_stride, Ahead& next_rows) {
    size_t i = 0;
    for (; i + tile_rows <= n; i += tile_rows) {
        next_rows.fetch(lines_per_tile);
        multiply_tile<tile_rows, full>(panel, x + i * d_in, d_in, depth, out, out_stride);
        out += static_cast<ptrdiff_t>(tile_rows) * out_stride;
    }
    for (; i < n; ++i, out += out_stride) multiply_tile<1, full>(panel, x + i * d_in, d_in, depth, out, out_stride);
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

// Writes a row that is mapped already; false for a bad one.
template <typename Out>
inline bool finish_row(const Projection& p, float* row, Out* out, bool past_caches) {
    if (p.offset) add_offset(p.offset, p.d_out, row);
    const double squares = sum_of_squares(row, p.d_out);
    const bool finite = squares < __builtin_huge_val();
    const double factor = p.unit ? reciprocal_norm(squares) : 1.0;
    if (past_caches) {
        stream_row(row, p.d_out, factor, out);
    } else {
        scale_row(row, p.d_out, factor, out);
    }
    return finite && factor != 0.0;
}

// The rows of a block; returns how many are bad, and notes them.
template <typename Out>
inline void finish_rows(const Projection& p, float* rows, size_t n, size_t begin, void* out, ptrdiff_t out_stride,
                        bool past_caches, BadRows& bad) {
    Out* to = static_cast<Out*>(out) + static_cast<ptrdiff_t>(begin) * out_stride;
    for (size_t i = 0; i < n; ++i, rows += p.d_out, to += out_stride) {
        if (!finish_row(p, rows, to, past_caches)) note_bad(bad, begin + i);
    }
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

inline void multiply_block(const Projection& p, const float* x, size_t n, float* out, Ahead& next_rows) {
    constexpr size_t row_width = row_vectors * lanes;
    const auto stride = static_cast<ptrdiff_t>(p.d_out);
    size_t column = 0;
    if (n == 1 && !p.packed) {
        for (; column + row_width <= p.d_out; column += row_width) {
            multiply_row(p.matrix + column, p.matrix_stride, x, p.d_in, out + column);
        }
    }
    for (; column < p.d_out; column += panel_width) {
        const Panel panel = panel_at(p, column);
        const auto multiply = panel.width == panel_width ? multiply_rows<true> : multiply_rows<false>;
        for (size_t k = 0; k < p.d_in || k == 0; k += depth_step) {
            const Depth depth = {k, k + depth_step < p.d_in ? k + depth_step : p.d_in};
            multiply(panel, x, n, p.d_in, depth, out + column, stride, next_rows);
        }
    }
}

template <typename In>
BadRows project_rows(const Projection& p, const void* stored, ptrdiff_t stride, size_t n, void* out,
                     ptrdiff_t out_stride, Element out_element, bool past_caches, float* scratch) noexcept {
    const size_t block = project_block_rows(p.d_in, p.d_out);
    const In* x = static_cast<const In*>(stored);
    float* mapped = scratch + block * p.d_in;
    BadRows bad = {0, n};
    for (size_t begin = 0; begin < n; begin += block) {
        const size_t rows = n - begin < block ? n - begin : block;
        for (size_t i = 0; i < rows; ++i, x += stride) center_row(x, p.center, p.d_in, scratch + i * p.d_in);
        const size_t after = n - begin - rows;
        Ahead next_rows = {reinterpret_cast<const char*>(x), stride * static_cast<ptrdiff_t>(sizeof(In)),
                           after < block ? after : block, p.d_in * sizeof(In), 0};
        multiply_block(p, scratch, rows, mapped, next_rows);
        switch (out_element) {
            case Element::float16:
                finish_rows<Half>(p, mapped, rows, begin, out, out_stride, past_caches, bad);
                break;
            case Element::bfloat16:
                finish_rows<Bfloat>(p, mapped, rows, begin, out, out_stride, past_caches, bad);
                break;
            default:
                finish_rows<float>(p, mapped, rows, begin, out, out_stride, past_caches, bad);
        }
    }
    if (past_caches) stream_end();
    return bad;
}

}  // namespace
}  // namespace crossfade

// project.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "normalize_impl.h"
#include "project.h"
#include "project_operands.h"

namespace crossfade {
namespace {

constexpr size_t tile_rows = 6;
// The columns of one panel: where they are, and how many count.
struct Panel {
    const float* columns;
    ptrdiff_t stride;
    size_t width;
};

inline Panel panel_at(const Projection& p, size_t column) {
    const size_t left = p.d_out - column;
    const size_t width = left < panel_width ? left : panel_width;
    if (p.packed) return {p.packed + column * depth_of(p), static_cast<ptrdiff_t>(panel_width), width};
    return {static_cast<const float*>(p.matrix) + column, p.matrix_stride, width};
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

// The input columns or pairs of one step: those before have been added up in the output already.
struct Depth {
    size_t begin;
    size_t end;
};

// What stands at one depth: an element or a pair of them.
template <bool pairs>
inline Vec multiply_add_depth(Vec a, Vec b, Vec c) {
#ifdef CROSSFADE_PAIRS
    if (pairs) return multiply_add_pairs(a, b, c);
#endif
    return multiply_add(a, b, c);
}

// `rows` × panel_width products, all kept in registers until the last input column of the step. Only the `full` panel is
// read and written without a look at its width.
template <size_t rows, bool full, bool pairs>
inline void multiply_tile(const Panel& panel, const float* x, ptrdiff_t x_stride, Depth depth, float* out,
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
            const Vec factor = broadcast(x[static_cast<ptrdiff_t>(r) * x_stride + static_cast<ptrdiff_t>(k)]);
            UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
                totals[r][v] = multiply_add_depth<pairs>(factor, weights[v], totals[r][v]);
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

template <bool full, bool pairs>
inline void multiply_rows(const Panel& panel, const float* x, ptrdiff_t x_stride, size_t n, Depth depth, float* out,
                          ptrdiff_t out_stride, Ahead& next_rows) {
    const ptrdiff_t tile_stride = static_cast<ptrdiff_t>(tile_rows) * x_stride;
    size_t i = 0;
    for (; i + tile_rows <= n; i += tile_rows, x += tile_stride) {
        next_rows.fetch(lines_per_tile);
        multiply_tile<tile_rows, full, pairs>(panel, x, x_stride, depth, out, out_stride);
        out += static_cast<ptrdiff_t>(tile_rows) * out_stride;
    }
    for (; i < n; ++i, x += x_stride, out += out_stride) {
        multiply_tile<1, full, pairs>(panel, x, x_stride, depth, out, out_stride);
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
    scale_row(row, p.d_out, factor, out, past_caches);
    return finite && factor != 0.0;
}

// The rows of a block; returns how many are bad.
template <typename Out>
inline size_t finish_rows(const Projection& p, float* rows, size_t n, size_t begin, void* out, ptrdiff_t out_stride,
                          bool past_caches, bool* bad) {
    Out* to = static_cast<Out*>(out) + static_cast<ptrdiff_t>(begin) * out_stride;
    size_t bad_rows = 0;
    for (size_t i = 0; i < n; ++i, rows += mapped_stride(p), to += out_stride) {
        const bool good = finish_row(p, rows, to, past_caches);
        if (bad) bad[begin + i] = !good;
        bad_rows += !good;
    }
    return bad_rows;
}

// Rows of the matrix that are taken together where a single row is mapped: that many runs of memory are read side by side,
// and the sums are read and written that much less often.
constexpr size_t rows_together = 4;
constexpr size_t vectors_together = 4;

// Adds x[0], x[1], … times as many rows of the matrix, from `w` on, to the sums in `out`.
template <size_t rows, typename Weight>
inline void add_matrix_rows(const Projection& p, const Weight* w, const float* x, float* out) {
    Vec factors[rows];
    UNROLL for (size_t r = 0; r < rows; ++r) factors[r] = broadcast(x[r]);
    size_t column = 0;
    for (; column + vectors_together * lanes <= p.d_out; column += vectors_together * lanes) {
        Vec totals[vectors_together];
        UNROLL for (size_t v = 0; v < vectors_together; ++v) totals[v] = load(out + column + v * lanes);
        UNROLL for (size_t r = 0; r < rows; ++r) {
            const Weight* row = w + static_cast<ptrdiff_t>(r) * p.matrix_stride + column;
            __builtin_prefetch(row + static_cast<ptrdiff_t>(rows) * p.matrix_stride, 0, 2);
            UNROLL for (size_t v = 0; v < vectors_together; ++v) {
                totals[v] = multiply_add(factors[r], load(row + v * lanes), totals[v]);
            }
        }
        UNROLL for (size_t v = 0; v < vectors_together; ++v) store(out + column + v * lanes, totals[v]);
    }
    for (; column < p.d_out; column += lanes) {
        const size_t count = p.d_out - column < lanes ? p.d_out - column : lanes;
        Vec total = load_first(out + column, count);
        for (size_t r = 0; r < rows; ++r) {
            const Weight* row = w + static_cast<ptrdiff_t>(r) * p.matrix_stride + column;
            total = multiply_add(factors[r], load_first(row, count), total);
        }
        store_first(out + column, total, count);
    }
}

// A single row, by the matrix where it lies.
template <typename Weight>
inline void multiply_one(const Projection& p, const float* x, float* out) {
    const Weight* w = static_cast<const Weight*>(p.matrix);
    for (size_t j = 0; j < p.d_out; ++j) out[j] = 0.0f;
    size_t k = 0;
    for (; k + rows_together <= p.d_in; k += rows_together, w += static_cast<ptrdiff_t>(rows_together) * p.matrix_stride) {
        add_matrix_rows<rows_together>(p, w, x + k, out);
    }
    for (; k < p.d_in; ++k, w += p.matrix_stride) add_matrix_rows<1>(p, w, x + k, out);
}

inline void multiply_one(const Projection& p, const float* x, float* out) {
    switch (p.matrix_element) {
        case Element::float16:
            return multiply_one<Half>(p, x, out);
        case Element::bfloat16:
            return multiply_one<Bfloat>(p, x, out);
        default:
            return multiply_one<float>(p, x, out);
    }
}

template <bool pairs>
inline void multiply_block(const Projection& p, const Operands& x, size_t n, float* out, Ahead& next_rows) {
    const size_t all = depth_of(p);
    for (size_t column = 0; column < p.d_out; column += panel_width) {
        const Panel panel = panel_at(p, column);
        const auto multiply = panel.width == panel_width ? multiply_rows<true, pairs> : multiply_rows<false, pairs>;
        for (size_t k = 0; k < all || k == 0; k += panel_depth) {
            const Depth depth = {k, k + panel_depth < all ? k + panel_depth : all};
            multiply(panel, x.rows, x.stride, n, depth, out + column, static_cast<ptrdiff_t>(mapped_stride(p)), next_rows);
        }
    }
}

#ifdef CROSSFADE_TILES
// Pairs of one step: with half a panel 32 KB of the matrix, which stay in the first-level cache for all rows.
constexpr size_t tiles_depth_step = 256;

// One or two tiles of rows × two of columns: every tile that is loaded is multiplied as often as there are registers for.
template <size_t row_tiles>
inline void multiply_tiles(const Operands& x, const float* w, Depth depth, float* out, ptrdiff_t out_stride) {
    const float* below = x.rows + static_cast<ptrdiff_t>(tile_side) * x.stride;
    float* out_below = out + static_cast<ptrdiff_t>(tile_side) * out_stride;
    if (depth.begin > 0) {
        tile_load<0>(out, out_stride);
        tile_load<1>(out + tile_side, out_stride);
        if (row_tiles == 2) tile_load<2>(out_below, out_stride);
        if (row_tiles == 2) tile_load<3>(out_below + tile_side, out_stride);
    } else {
        tile_zero<0>();
        tile_zero<1>();
        tile_zero<2>();
        tile_zero<3>();
    }
    for (size_t k = depth.begin; k < depth.end; k += tile_side) {
        tile_load<4>(w + k * panel_width, panel_width);
        tile_load<5>(w + k * panel_width + tile_side, panel_width);
        tile_load<6>(x.rows + k, x.stride);
        tile_multiply_add<0, 6, 4>();
        tile_multiply_add<1, 6, 5>();
        if (row_tiles == 2) {
            tile_load<7>(below + k, x.stride);
            tile_multiply_add<2, 7, 4>();
            tile_multiply_add<3, 7, 5>();
        }
    }
    tile_store<0>(out, out_stride);
    tile_store<1>(out + tile_side, out_stride);
    if (row_tiles == 2) tile_store<2>(out_below, out_stride);
    if (row_tiles == 2) tile_store<3>(out_below + tile_side, out_stride);
}

// Operands and output have room for whole tiles in every direction.
inline void multiply_pairs(const Projection& p, Operands x, size_t n, float* out, Ahead& next_rows) {
    const auto stride = static_cast<ptrdiff_t>(mapped_stride(p));
    const size_t all = depth_of(p);
    constexpr size_t pass = 2 * tile_side;
    tiles_begin();
    for (size_t k = 0; k < all || k == 0; k += tiles_depth_step) {
        const Depth depth = {k, k + tiles_depth_step < all ? k + tiles_depth_step : all};
        for (size_t column = 0; column < p.d_out; column += pass) {
            const float* w = p.packed + column / panel_width * panel_width * all + column % panel_width;
            Operands rows = x;
            float* to = out + column;
            for (size_t i = 0; i < n;
                 i += pass, rows.rows += static_cast<ptrdiff_t>(pass) * rows.stride, to += pass * stride) {
                next_rows.fetch(lines_per_tile);
                const auto multiply = n - i > tile_side ? multiply_tiles<2> : multiply_tiles<1>;
                multiply(rows, w, depth, to, stride);
            }
        }
    }
    tiles_end();
}
#elif defined(CROSSFADE_PAIRS)
inline void multiply_pairs(const Projection& p, const Operands& x, size_t n, float* out, Ahead& next_rows) {
    multiply_block<true>(p, x, n, out, next_rows);
}
#endif

inline void multiply(const Projection& p, const Operands& x, size_t n, float* out, Ahead& next_rows) {
    if (n == 1 && !p.packed) return multiply_one(p, x.rows, out);
#ifdef CROSSFADE_PAIRS
    if (in_pairs(p)) return multiply_pairs(p, x, n, out, next_rows);
#endif
    multiply_block<false>(p, x, n, out, next_rows);
}

template <typename In>
size_t project_rows(const Projection& p, const void* stored, ptrdiff_t stride, size_t n, void* out, ptrdiff_t out_stride,
                    Element out_element, bool past_caches, bool* bad, float* scratch) noexcept {
    const size_t block = project_block_rows(p.d_in, p.d_out);
    const In* x = static_cast<const In*>(stored);
    float* mapped = scratch + operands_size(p);
    size_t bad_rows = 0;
    for (size_t begin = 0; begin < n; begin += block) {
        const size_t rows = n - begin < block ? n - begin : block;
        const Operands operands = operands_of(p, x, stride, rows, scratch);
        x += static_cast<ptrdiff_t>(rows) * stride;
        const size_t after = n - begin - rows;
        Ahead next_rows = {reinterpret_cast<const char*>(x), stride * static_cast<ptrdiff_t>(sizeof(In)),
                           after < block ? after : block, p.d_in * sizeof(In), 0};
        multiply(p, operands, rows, mapped, next_rows);
        switch (out_element) {
            case Element::float16:
                bad_rows += finish_rows<Half>(p, mapped, rows, begin, out, out_stride, past_caches, bad);
                break;
            case Element::bfloat16:
                bad_rows += finish_rows<Bfloat>(p, mapped, rows, begin, out, out_stride, past_caches, bad);
                break;
            default:
                bad_rows += finish_rows<float>(p, mapped, rows, begin, out, out_stride, past_caches, bad);
        }
    }
    if (past_caches) stream_end();
    return bad_rows;
}

}  // namespace
}  // namespace crossfade

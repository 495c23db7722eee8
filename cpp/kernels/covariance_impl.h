// covariance.h in the vocabulary of whichever simd_*.h was included before.
#pragma once

#include "covariance.h"
#include "project_impl.h"

namespace crossfade {
namespace {

// Rows whose sums are added up in registers before they are added to those in memory.
constexpr size_t rows_at_once = 4;

template <size_t rows_taken, typename In>
inline void add_to_sums(const In* row, ptrdiff_t stride, size_t begin, size_t end, double* sums) {
    for (size_t j = begin; j < end; j += lanes) {
        const size_t count = end - j < lanes ? end - j : lanes;
        Wide sum = wide_zero();
        UNROLL for (size_t r = 0; r < rows_taken; ++r) {
            const In* values = row + static_cast<ptrdiff_t>(r) * stride + j;
            __builtin_prefetch(values + static_cast<ptrdiff_t>(rows_taken) * stride);
            sum = add(sum, widen(load_first(values, count)));
        }
        add_first(sums + j, sum, count);
    }
}

template <typename In>
inline void sum_columns(const ShiftedRows& rows, size_t n, size_t begin, size_t end, double* sums) {
    const In* row = static_cast<const In*>(rows.data);
    for (size_t j = begin; j < end; ++j) sums[j] = 0.0;
    size_t i = 0;
    for (; i + rows_at_once <= n; i += rows_at_once, row += static_cast<ptrdiff_t>(rows_at_once) * rows.stride) {
        add_to_sums<rows_at_once>(row, rows.stride, begin, end, sums);
    }
    for (; i < n; ++i, row += rows.stride) add_to_sums<1>(row, rows.stride, begin, end, sums);
}

void column_sums(const ShiftedRows& rows, size_t n, size_t begin, size_t end, double* sums) noexcept {
    switch (rows.element) {
        case Element::float16:
            return sum_columns<Half>(rows, n, begin, end, sums);
        case Element::bfloat16:
            return sum_columns<Bfloat>(rows, n, begin, end, sums);
        case Element::int8:
            return sum_columns<int8_t>(rows, n, begin, end, sums);
        default:
            return sum_columns<float>(rows, n, begin, end, sums);
    }
}

// Rows that are packed before the next columns are, so that memory is read in its order; so many rows ahead are asked for.
constexpr size_t rows_packed_together = 8;

// `width` columns from `begin` on, of n rows, shifted, one row after the other; zeros beyond the last column.
template <typename In>
inline void pack_columns(const ShiftedRows& rows, size_t first, size_t n, size_t begin, size_t width, float* packed) {
    const In* row = static_cast<const In*>(rows.data) + static_cast<ptrdiff_t>(first) * rows.stride;
    for (size_t i = 0; i < n; ++i, row += rows.stride, packed += width) {
        for (size_t j = 0; j < width; j += lanes) {
            const size_t column = begin + j;
            const size_t count = rows.d <= column ? 0 : rows.d - column < lanes ? rows.d - column : lanes;
            __builtin_prefetch(row + static_cast<ptrdiff_t>(rows_packed_together) * rows.stride + column);
            store(packed + j, subtract(load_first(row + column, count), load_first(rows.shift + column, count)));
        }
    }
}

inline void pack(const ShiftedRows& rows, size_t first, size_t n, size_t begin, size_t width, float* packed) {
    switch (rows.element) {
        case Element::float16:
            return pack_columns<Half>(rows, first, n, begin, width, packed);
        case Element::bfloat16:
            return pack_columns<Bfloat>(rows, first, n, begin, width, packed);
        case Element::int8:
            return pack_columns<int8_t>(rows, first, n, begin, width, packed);
        default:
            return pack_columns<float>(rows, first, n, begin, width, packed);
    }
}

// Columns of x that are packed together: the fewest that are whole tiles and whole vectors, so that a tile's are near one
// another in the first cache.
constexpr size_t group_width = lanes % 2 ? lanes * tile_rows : lanes / 2 * tile_rows;
static_assert(group_width % tile_rows == 0 && group_width % lanes == 0 && group_width <= covariance_widest_group,
              "a group is made of whole tiles and vectors, and scratch has room for one");

inline void pack_groups(const ShiftedRows& x, size_t first, size_t n, float* packed) {
    for (size_t i = 0; i < n; i += rows_packed_together) {
        const size_t rows = n - i < rows_packed_together ? n - i : rows_packed_together;
        for (size_t column = 0; column < x.d; column += group_width) {
            pack(x, first + i, rows, column, group_width, packed + column * covariance_block_rows + i * group_width);
        }
    }
}

// tile_rows columns of a group of x by panel_width columns of y, over n rows of both as `pack` has laid them; `rows` and
// `width` of them are there. Inlined, its totals would compete for registers with what is around it.
__attribute__((noinline)) void add_tile(const float* x, const float* y, size_t n, size_t rows, size_t width,
                                        double* products, size_t d_y) {
    Vec totals[tile_rows][panel_vectors];
    UNROLL for (size_t r = 0; r < tile_rows; ++r) {
        UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
            totals[r][v] = zero();
            __builtin_prefetch(products + r * d_y + v * lanes, 1);
        }
    }
    for (size_t k = 0; k < n; ++k, x += group_width, y += panel_width) {
        Vec columns[panel_vectors];
        UNROLL for (size_t v = 0; v < panel_vectors; ++v) columns[v] = load(y + v * lanes);
        UNROLL for (size_t r = 0; r < tile_rows; ++r) {
            const Vec factor = broadcast(x[r]);
            UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
                totals[r][v] = multiply_add(factor, columns[v], totals[r][v]);
            }
        }
    }
    UNROLL for (size_t r = 0; r < tile_rows; ++r) {
        UNROLL for (size_t v = 0; v < panel_vectors; ++v) {
            if (r < rows) add_first(products + r * d_y + v * lanes, widen(totals[r][v]), columns_in(width, v));
        }
    }
}

// One panel of panel_width columns, over one block of rows, against all columns of x, which are packed already.
inline void add_panel(const float* packed_x, size_t d_x, const ShiftedRows& y, size_t first, size_t rows, size_t column,
                      bool upper, double* products, float* packed_y) {
    pack(y, first, rows, column, panel_width, packed_y);
    const size_t width = y.d - column < panel_width ? y.d - column : panel_width;
    const size_t needed = upper && column + width < d_x ? column + width : d_x;
    for (size_t i = 0; i < needed; i += tile_rows) {
        const size_t there = d_x - i < tile_rows ? d_x - i : tile_rows;
        const float* tile = packed_x + i / group_width * group_width * covariance_block_rows + i % group_width;
        add_tile(tile, packed_y, rows, there, width, products + i * y.d + column, y.d);
    }
}

void add_products(const ShiftedRows& x, const ShiftedRows& y, size_t n, const size_t* panels, size_t count, bool upper,
                  double* products, float* scratch) noexcept {
    float* packed_x = scratch + covariance_block_rows * covariance_columns;
    const size_t block = n < covariance_few_rows ? covariance_short_block_rows : covariance_block_rows;
    for (size_t first = 0; first < n; first += block) {
        const size_t rows = n - first < block ? n - first : block;
        pack_groups(x, first, rows, packed_x);
        for (size_t i = 0; i < count; ++i) {
            const size_t begin = panels[i] * covariance_columns;
            const size_t end = y.d - begin < covariance_columns ? y.d : begin + covariance_columns;
            for (size_t column = begin; column < end; column += panel_width) {
                add_panel(packed_x, x.d, y, first, rows, column, upper, products, scratch);
            }
        }
    }
}

}  // namespace
}  // namespace crossfade

// Sums over rows from which means and (cross-)covariances are made.
//
// Rows are shifted by a fixed vector near their mean before they are multiplied, so that single precision loses nothing to
// cancellation: products are summed in float over covariance_block_rows rows, and from block to block in double.
// A column's sums, and an element's products, don't depend on which other columns a call covers.
// NaN and infinity follow IEEE arithmetic. No memory is allocated (scratch comes from the caller), nothing throws, no state.
#pragma once

#include <stddef.h>

#include "elements.h"

namespace crossfade {

constexpr size_t covariance_block_rows = 256;

// Of few rows blocks are shorter: there are too few of them for their rounding errors to average out, and time does not
// matter.
constexpr size_t covariance_few_rows = 8 * covariance_block_rows;
constexpr size_t covariance_short_block_rows = 16;

struct ShiftedRows {
    const void* data;  // rows of d elements of the kind named, `stride` elements apart
    ptrdiff_t stride;
    Element element;
    size_t d;
    const float* shift;  // (d)
};

// sums[j] = Σ row[j] over n rows, as they are without the shift, for the columns begin ≤ j < end.
using ColumnSums = void(const ShiftedRows& rows, size_t n, size_t begin, size_t end, double* sums) noexcept;

// products[i * y.d + j] = Σ (x[i] - x.shift[i]) (y[j] - y.shift[j]) over n rows is added to what is there, for all i and the
// columns j of `count` panels: covariance_columns columns each, or what is left of them, from multiples of it on.
// With `upper`, y is x, and elements with i > j may be left out.
constexpr size_t covariance_columns = 64;
using Products = void(const ShiftedRows& x, const ShiftedRows& y, size_t n, const size_t* panels, size_t count, bool upper,
                      double* products, float* scratch) noexcept;

// Most columns of x that a level packs together.
constexpr size_t covariance_widest_group = 48;

// Number of floats in `scratch`: a block of a panel of y, and of x in whole groups. Internal linkage, since every level
// includes this.
static inline size_t products_scratch_size(size_t d_x) {
    return covariance_block_rows * (covariance_columns + d_x + covariance_widest_group);
}

}  // namespace crossfade

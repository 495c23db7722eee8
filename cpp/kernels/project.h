// Rows mapped between two vector spaces: out = (x - center) · matrix + offset, then unit rows.
//
// Every output element is one sum over the input columns (or pairs of them), in an order that only the instruction set
// decides, so a row's result never depends on the other rows, their number, or whether the matrix was packed.
//
// No memory is allocated (scratch comes from the caller), nothing throws, no state.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "normalize.h"

namespace crossfade {

// Rows worked on together: what they are mapped from and to, as floats, stays in the second-level cache, beside the part of
// the matrix that is in use. Internal linkage, since every level includes this.
static inline size_t project_block_rows(size_t d_in, size_t d_out) {
    constexpr size_t most_floats = 160 * 1024;
    constexpr size_t most = 96;
    constexpr size_t step = 6;
    const size_t rows = most_floats / (d_in + d_out + 1) / step * step;
    return rows < step ? step : rows > most ? most : rows;
}

// How operands are multiplied; sums are float32 in every case.
enum class Arithmetic : uint8_t {
    float32,     // as they are
    bfloat16,    // rounded to bfloat16, of which two are multiplied at a time
    bfloat16x3,  // at least as nearly as in sums of two bfloat16, high + low, of whose four products low · low is left out
};

struct Projection {
    const void* matrix;      // (d_in, d_out), rows `matrix_stride` elements apart
    Element matrix_element;  // not int8
    ptrdiff_t matrix_stride;
    const float* packed;  // what ProjectPack wrote, or null: then the matrix is used where it lies
    const float* center;  // (d_in), or null for none
    const float* offset;  // (d_out), or null for none
    size_t d_in;
    size_t d_out;
    Arithmetic arithmetic;  // float32 unless packed
    bool unit;              // whether rows are scaled to length one
};

// Without a packed matrix: one row at a time of any matrix, or any number of rows of a float one.
static inline bool project_needs_packing(const Projection& projection, size_t n) {
    return projection.arithmetic != Arithmetic::float32 || (n > 1 && projection.matrix_element != Element::float32);
}

// Number of floats ProjectPack writes.
using ProjectPackedSize = size_t(const Projection& projection) noexcept;

// Copies the matrix into panels of consecutive columns, the last one filled up with zeros; two bfloat16 stand in the place
// of a float. `packed` is ignored.
using ProjectPack = void(const Projection& projection, float* packed) noexcept;

// Number of floats ProjectRows works in, for any number of rows.
using ProjectScratchSize = size_t(const Projection& projection) noexcept;

// Maps n rows of `x`, whose elements are of the kind the table says and `stride` elements apart, to `out`, whose elements
// are `out_element` (not int8) and whose rows are `out_stride` elements apart.
//
// `scratch` holds as many floats as ProjectScratchSize says. `out` must not overlap any input.
//
// `past_caches`: write around the caches, which pays for outputs larger than them; what is written is the same.
//
// Bad rows: the result holds NaN or infinity, or is all zeros where unit rows were asked for; they are counted and their
// output is unspecified, the others are written. Of every row, `bad` says whether it is one, unless it is null.
using ProjectRows = size_t(const Projection& projection, const void* x, ptrdiff_t stride, size_t n, void* out,
                           ptrdiff_t out_stride, Element out_element, bool past_caches, bool* bad, float* scratch) noexcept;

}  // namespace crossfade

// The kernels of one instruction set as a table, and the choice between the tables.
//
// A level is one translation unit `level_<name>.cpp`, compiled with its own flags, and one vocabulary `simd_<name>.h`.
// Everything in it has internal linkage and nothing of the standard library is included: a function with external linkage
// (also an inline template) would be compiled once per level, and the linker could keep the copy that an older CPU can't
// run.
#pragma once

#include <stddef.h>

#include "covariance.h"
#include "elements.h"
#include "hamming.h"
#include "krige.h"
#include "normalize.h"
#include "project.h"
#include "rescore.h"
#include "smooth.h"

namespace crossfade {

// What reads or writes rows stands once for each Element, in its order.
struct Kernels {
    const char* name;
    Normalize* normalize[element_kinds];
    ProjectPackedSize* project_packed_size;
    ProjectPack* project_pack;
    ProjectScratchSize* project_scratch_size;
    ProjectRows* project[element_kinds];
    Rescore* rescore[element_kinds];
    ColumnSums* column_sums;
    Products* add_products;
    Krige* krige;
    Smooth* smooth;
    Hamming* hamming;
};

// Defined by the translation units that CMakeLists.txt builds for the processor.
extern const Kernels kernels_scalar;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx512bf16;
extern const Kernels kernels_amx;
extern const Kernels kernels_neon;

// The i-th table this machine can run, slowest first; null from the end of the list on.
const Kernels* available_kernels(size_t i) noexcept;

// The table in use: the fastest available one, until another is forced.
const Kernels& active_kernels() noexcept;

// Makes the named table the one in use, for the whole process; false, and no change, where it isn't available.
bool force_kernels(const char* name) noexcept;

}  // namespace crossfade

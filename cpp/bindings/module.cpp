// The module crossfade._core. Only crossfade.kernels uses it: arguments are expected to be checked, errors are terse.
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/dispatch.h"
#include "../kernels/merge.h"
#include "arrays.h"
#include "parallel.h"

namespace crossfade::bindings {
namespace {

// What Python gets of BadRows: the count and the index of the first.
using BadRowsPair = std::pair<std::size_t, std::size_t>;

BadRowsPair pair_of(const BadRows& bad) { return {bad.count, bad.first}; }

// Below this number of rows the matrix is used where it lies: packing it costs about as much as mapping four rows.
constexpr std::size_t rows_worth_packing = 24;

template <typename Out>
BadRowsPair normalize(const Array<float>& x_array, Array<Out>& out_array, std::size_t threads,
                        NormalizeScale<Out>* Kernels::* scale) {
    const auto x = input_rows(x_array);
    const auto out = output_rows(out_array);
    require(x.n == out.n && x.d == out.d, "out must have the shape of x");
    const Kernels& kernels = active_kernels();
    const auto work = static_cast<double>(x.d);
    std::vector<double> reciprocals(x.n);
    BadRowCount bad(x.n);
    for_ranges(x.n, work, threads, [&](std::size_t begin, std::size_t end) {
        bad.add(kernels.normalize_measure(x.at(begin), x.stride, end - begin, x.d, reciprocals.data() + begin), begin);
    });
    if (bad.total().count > 0) return pair_of(bad.total());
    for_ranges(x.n, work, threads, [&](std::size_t begin, std::size_t end) {
        (kernels.*scale)(x.at(begin), x.stride, end - begin, x.d, reciprocals.data() + begin, out.at(begin), out.stride);
    });
    return pair_of(bad.total());
}

template <typename In>
BadRowsPair project(const Array<In>& x_array, const Array<float>& matrix_array,
                      const std::optional<Array<float>>& center, const std::optional<Array<float>>& offset, bool unit,
                      Array<float>& out_array, std::size_t threads, ProjectRows<In>* Kernels::* project_rows) {
    const auto x = input_rows(x_array);
    const auto matrix = input_rows(matrix_array);
    const auto out = output_rows(out_array);
    require(x.d == matrix.n, "x must have as many columns as matrix has rows");
    require(out.n == x.n && out.d == matrix.d, "out must have the rows of x and the columns of matrix");
    const Kernels& kernels = active_kernels();
    Projection projection{matrix.data,
                          matrix.stride,
                          nullptr,
                          optional_vector(center, x.d, "center must have a value for every column of x"),
                          optional_vector(offset, matrix.d, "offset must have a value for every column of matrix"),
                          x.d,
                          matrix.d,
                          unit};
    std::vector<float> packed;
    if (x.n >= rows_worth_packing) {
        packed.resize(kernels.project_packed_size(x.d, matrix.d));
        kernels.project_pack(projection, packed.data());
        projection.packed = packed.data();
    }
    BadRowCount bad(x.n);
    for_ranges(x.n, static_cast<double>(x.d) * static_cast<double>(matrix.d), threads,
               [&](std::size_t begin, std::size_t end) {
                   const auto scratch = std::make_unique<float[]>(std::min(end - begin, project_block_rows) * x.d);
                   bad.add((kernels.*project_rows)(projection, x.at(begin), x.stride, end - begin, out.at(begin),
                                                   out.stride, scratch.get()),
                           begin);
               });
    return pair_of(bad.total());
}

// The place of the first index outside the vectors, or -1.
std::int64_t misplaced(const std::int64_t* rows, std::size_t m, std::size_t n) {
    for (std::size_t i = 0; i < m; ++i) {
        if (rows[i] < 0 || static_cast<std::uint64_t>(rows[i]) >= n) return static_cast<std::int64_t>(i);
    }
    return -1;
}

template <typename In>
std::int64_t rescore(const Array<In>& vectors_array, const std::optional<Array<std::int64_t>>& rows_array,
                     const Array<float>& queries_array, Array<float>& out_array, std::size_t threads,
                     Rescore<In>* Kernels::* kernel) {
    const auto vectors = input_rows(vectors_array);
    const auto queries = input_rows(queries_array);
    const auto out = output_rows(out_array);
    const std::int64_t* rows = optional_vector(rows_array, out.d, "rows must have a value for every column of out");
    require(queries.d == vectors.d, "queries must have the columns of vectors");
    require(out.n == queries.n && (rows || out.d == vectors.n), "out must have a row per query and a column per row");
    if (rows) {
        const std::int64_t place = misplaced(rows, out.d, vectors.n);
        if (place >= 0) return place;
    }
    const Kernels& kernels = active_kernels();
    const double work = static_cast<double>(vectors.d) * static_cast<double>(queries.n);
    for_ranges(out.d, work, threads, [&](std::size_t begin, std::size_t end) {
        (kernels.*kernel)(rows ? vectors.data : vectors.at(begin), vectors.stride, rows ? rows + begin : nullptr, end - begin,
                          queries.data, queries.n, queries.stride, vectors.d, out.data + begin, out.stride);
    });
    return -1;
}

void merge(const Array<std::uint64_t>& keys_array, const Array<float>& scores_array, Array<std::uint64_t>& out_keys_array,
           Array<float>& out_scores_array) {
    const auto keys = input_rows(keys_array);
    const auto scores = input_rows(scores_array);
    const auto out_keys = output_rows(out_keys_array);
    const auto out_scores = output_rows(out_scores_array);
    require(keys.n == scores.n && keys.d == scores.d, "keys and scores must have the same shape");
    require(out_keys.n == keys.n && out_scores.n == keys.n && out_keys.d == out_scores.d,
            "the outputs must have a row per query and the same shape");
    require(keys.d < UINT32_MAX, "too many candidates");
    std::vector<Candidate> heap(keys.d);
    std::vector<std::uint32_t> table(merge_table_size(keys.d, out_keys.d));
    for (std::size_t i = 0; i < keys.n; ++i) {
        merge_topk(keys.at(i), scores.at(i), keys.d, out_keys.d, heap.data(), table.data(), out_keys.at(i),
                   out_scores.at(i));
    }
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    while (const Kernels* kernels = available_kernels(names.size())) names.emplace_back(kernels->name);
    return names;
}

// Each function is defined for float and for half; the arrays' dtypes choose, since none is converted.
template <typename T>
void define_kernels(py::module_& module, NormalizeScale<T>* Kernels::* scale, ProjectRows<T>* Kernels::* project_rows,
                    Rescore<T>* Kernels::* dots) {
    using free_gil = py::call_guard<py::gil_scoped_release>;
    module.def(
        "normalize",
        [scale](const Array<float>& x, Array<T>& out, std::size_t threads) { return normalize(x, out, threads, scale); },
        py::arg("x").noconvert(), py::arg("out").noconvert(), py::arg("threads"), free_gil());
    module.def(
        "project",
        [project_rows](const Array<T>& x, const Array<float>& matrix, const std::optional<Array<float>>& center,
                       const std::optional<Array<float>>& offset, bool unit, Array<float>& out, std::size_t threads) {
            return project(x, matrix, center, offset, unit, out, threads, project_rows);
        },
        py::arg("x").noconvert(), py::arg("matrix").noconvert(), py::arg("center").noconvert(),
        py::arg("offset").noconvert(), py::arg("unit"), py::arg("out").noconvert(), py::arg("threads"), free_gil());
    module.def(
        "rescore",
        [dots](const Array<T>& vectors, const std::optional<Array<std::int64_t>>& rows, const Array<float>& queries,
               Array<float>& out, std::size_t threads) { return rescore(vectors, rows, queries, out, threads, dots); },
        py::arg("vectors").noconvert(), py::arg("rows").noconvert(), py::arg("queries").noconvert(),
        py::arg("out").noconvert(), py::arg("threads"), free_gil());
}

}  // namespace
}  // namespace crossfade::bindings

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
    namespace py = pybind11;
    using namespace crossfade;
    using namespace crossfade::bindings;

    module.doc() = "The compiled kernels. Use crossfade.kernels, which checks what comes here.";
    define_kernels<float>(module, &Kernels::normalize_scale_float, &Kernels::project_float, &Kernels::rescore_float);
    define_kernels<std::uint16_t>(module, &Kernels::normalize_scale_half, &Kernels::project_half, &Kernels::rescore_half);
    module.def("merge_topk", &merge, py::arg("keys").noconvert(), py::arg("scores").noconvert(),
               py::arg("out_keys").noconvert(), py::arg("out_scores").noconvert(),
               py::call_guard<py::gil_scoped_release>());
    module.def("instruction_set", [] { return std::string(active_kernels().name); });
    module.def("instruction_sets", &instruction_sets);
    module.def("force_instruction_set", [](const std::string& name) { return force_kernels(name.c_str()); }, py::arg("name"));
}

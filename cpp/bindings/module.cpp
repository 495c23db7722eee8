// The module crossfade._core. Only crossfade.kernels uses it: errors are terse.
#include <pybind11/stl.h>

#include <atomic>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "../kernels/dispatch.h"
#include "../kernels/merge.h"
#include "arrays.h"
#include "blending.h"
#include "candidates.h"
#include "lookup.h"
#include "parallel.h"
#include "scratch.h"
#include "walking.h"

namespace crossfade::bindings {
namespace {

constexpr std::size_t most_threads = 1024;

// Below this number of rows the matrix is used where it lies: packing it costs about as much as mapping four rows.
constexpr std::size_t rows_worth_packing = 24;

// Bytes of output from which it is written past the caches: they would not hold it.
constexpr double bytes_past_caches = 16e6;

double product(std::size_t a, std::size_t b, std::size_t c = 1) {
    return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}

template <typename T>
py::array_t<T> array_like(const Rows& rows, std::size_t columns) {
    if (rows.single) return py::array_t<T>(static_cast<py::ssize_t>(columns));
    return py::array_t<T>({static_cast<py::ssize_t>(rows.n), static_cast<py::ssize_t>(columns)});
}

// Number of bad rows, and of good ones before the first of them.
std::tuple<std::size_t, std::size_t> bad_rows(std::size_t count, const bool* marks, std::size_t n) {
    return {count, count == 0 || !marks ? 0 : std::find(marks, marks + n, true) - marks};
}

// Memory for the marks of several rows that the caller doesn't want; a single one needs none.
Scratch<bool> own_marks(const bool* wanted, std::size_t n) {
    return wanted || n < 2 ? Scratch<bool>() : scratch_of<bool>(n);
}

std::tuple<std::size_t, std::size_t> normalize(const py::object& x_array, const py::object& out_array,
                                               const py::object& bad_array, const py::object& thread_count) {
    const Rows x = rows_of(x_array, Dtype::float32);
    const Rows out = output_rows(out_array);
    require(is_element(out.dtype), "out must be float32, float16, bfloat16 or int8");
    require(x.n == out.n && x.d == out.d, "out must have the shape of x");
    const bool in_place = out.data == x.data && out.stride == x.stride && out.dtype == x.dtype;
    require(in_place || !share_memory(x, out), "out must not share memory with x");
    const std::size_t threads = count_of(thread_count, most_threads);
    Normalize* const kernel = active_kernels().normalize[out.element()];
    const bool past_caches = !in_place && product(x.n, x.d, out.item) > bytes_past_caches;
    bool* const wanted = marks_of(bad_array, x.n);
    const Scratch<bool> own = own_marks(wanted, x.n);
    bool* const marks = wanted ? wanted : own.get();
    std::atomic<std::size_t> bad = 0;
    without_gil(product(x.n, x.d), [&] {
        for_ranges(x.n, static_cast<double>(x.d), threads, [&](std::size_t begin, std::size_t end) {
            bad += kernel(x.as<float>(begin), x.stride, end - begin, x.d, out.at(begin), out.stride, past_caches,
                          marks ? marks + begin : nullptr);
        });
    });
    return bad_rows(bad, marks, x.n);
}

std::tuple<py::array, std::size_t, std::size_t> project(const py::object& x_array, const py::object& matrix_array,
                                                        const py::object& center_array, const py::object& offset_array,
                                                        std::size_t arithmetic, bool unit, const py::object& out_array,
                                                        const py::object& bad_array, const py::object& thread_count) {
    require(arithmetic <= static_cast<std::size_t>(Arithmetic::bfloat16x3), "arithmetic is out of range");
    const Rows x = element_rows_of(x_array);
    const Rows map = matrix(element_rows_of(matrix_array));
    require(map.dtype != Dtype::int8, "matrix must be float32, float16 or bfloat16");
    require(x.d == map.n, "x must have as many columns as matrix has rows");
    const Rows center = optional_vector(center_array, Dtype::float32, map.n);
    const Rows offset = optional_vector(offset_array, Dtype::float32, map.d);
    const std::size_t threads = count_of(thread_count, most_threads);
    py::array result = out_array.is_none() ? array_like<float>(x, map.d) : array_of(out_array);
    const Rows out = output_rows(result);
    require(is_element(out.dtype) && out.dtype != Dtype::int8, "out must be float32, float16 or bfloat16");
    require(out.n == x.n && out.d == map.d && out.single == x.single, "out must have rows like x, as wide as matrix");
    for (const Rows& input : {x, map, center, offset}) require(!share_memory(out, input), "out must not share memory");

    const bool past_caches = product(out.n, out.d, out.item) > bytes_past_caches;
    const Kernels& kernels = active_kernels();
    Projection projection{
        map.data, static_cast<Element>(map.dtype),     map.stride, nullptr, center.as<float>(), offset.as<float>(), x.d,
        map.d,    static_cast<Arithmetic>(arithmetic), unit,
    };
    bool* const wanted = marks_of(bad_array, x.n);
    const Scratch<bool> own = own_marks(wanted, x.n);
    bool* const marks = wanted ? wanted : own.get();
    std::atomic<std::size_t> bad = 0;
    without_gil(product(x.n, x.d, map.d), [&] {
        Scratch<float> packed;
        if (x.n >= rows_worth_packing || project_needs_packing(projection, x.n)) {
            packed = scratch_of<float>(kernels.project_packed_size(projection));
            kernels.project_pack(projection, packed.get());
            projection.packed = packed.get();
        }
        for_ranges(
            x.n, product(x.d, map.d), threads,
            [&](std::size_t begin, std::size_t end) {
                const auto scratch = scratch_of<float>(kernels.project_scratch_size(projection));
                bad += kernels.project[x.element()](projection, x.at(begin), x.stride, end - begin, out.at(begin),
                                                    out.stride, static_cast<Element>(out.dtype), past_caches,
                                                    marks ? marks + begin : nullptr, scratch.get());
            },
            project_block_rows(x.d, map.d));
    });
    return std::tuple_cat(std::make_tuple(py::array(result)), bad_rows(bad, marks, x.n));
}

// The place of the first index outside the vectors, or -1.
std::int64_t misplaced(const std::int64_t* rows, std::size_t m, std::size_t n) {
    for (std::size_t i = 0; i < m; ++i) {
        if (rows[i] < 0 || static_cast<std::uint64_t>(rows[i]) >= n) return static_cast<std::int64_t>(i);
    }
    return -1;
}

// The place of the first score that isn't finite, or -1. A sum of zero times each score is NaN where there is one.
std::int64_t infinite(const float* scores, std::size_t m) {
    for (std::size_t i = 0; i < m; ++i) {
        if (!(scores[i] - scores[i] == 0.0f)) return static_cast<std::int64_t>(i);
    }
    return -1;
}

std::tuple<py::array, std::int64_t, std::int64_t> rescore(const py::object& vectors_array, const py::object& rows_array,
                                                          const py::object& query_array, const py::object& thread_count) {
    const Rows vectors = matrix(element_rows_of(vectors_array));
    const Rows queries = rows_of(query_array, Dtype::float32);
    require(queries.d == vectors.d, "a query must have the columns of vectors");
    const bool all = rows_array.is_none();
    const Rows chosen = all ? Rows{nullptr, 1, vectors.n, 0, 0, Dtype::int64, true} : rows_of(rows_array, Dtype::int64);
    require(chosen.single, "rows must have one dimension");
    const std::size_t threads = count_of(thread_count, most_threads);
    const std::size_t m = chosen.d;
    const std::int64_t* rows = chosen.as<std::int64_t>();
    py::array_t<float> scores = array_like<float>(queries, m);
    const std::int64_t wrong = all ? -1 : misplaced(rows, m, vectors.n);
    if (wrong >= 0) return {scores, wrong, -1};

    float* const out = scores.mutable_data();
    Rescore* const kernel = active_kernels().rescore[vectors.element()];
    std::int64_t unusable = -1;
    without_gil(product(m, queries.n, vectors.d), [&] {
        for_ranges(m, product(vectors.d, queries.n), threads, [&](std::size_t begin, std::size_t end) {
            kernel(all ? vectors.at(begin) : vectors.data, vectors.stride, all ? nullptr : rows + begin, end - begin,
                   queries.as<float>(), queries.n, queries.stride, vectors.d, out + begin, static_cast<std::ptrdiff_t>(m));
        });
        for (std::size_t i = 0; i < queries.n && unusable < 0; ++i) unusable = infinite(out + i * m, m);
    });
    return {scores, -1, unusable};
}

ShiftedRows shifted(const Rows& rows, const Rows& shift) {
    return {rows.data, rows.stride, static_cast<Element>(rows.dtype), rows.d, shift.as<float>()};
}

// The columns of a triangle in an order in which any consecutive share has about its share of the work.
std::size_t evenly(std::size_t i, std::size_t count) { return i % 2 ? count - 1 - i / 2 : i / 2; }

py::array_t<double> column_sums_of(const ShiftedRows& rows, std::size_t n, std::size_t threads) {
    py::array_t<double> sums(static_cast<py::ssize_t>(rows.d));
    double* const out = sums.mutable_data();
    const std::size_t groups = (rows.d + covariance_columns - 1) / covariance_columns;
    const Kernels& kernels = active_kernels();
    without_gil(product(n, rows.d), [&] {
        for_ranges(groups, product(n, covariance_columns), threads, [&](std::size_t begin, std::size_t end) {
            kernels.column_sums(rows, n, begin * covariance_columns, std::min(end * covariance_columns, rows.d), out);
        });
    });
    return sums;
}

// Sums (d) of both, and products of what is shifted (d_x, d_y); below the diagonal they are unspecified where y is None.
std::tuple<py::array, py::array, py::array> comoment(const py::object& x_array, const py::object& y_array,
                                                     const py::object& shift_x_array, const py::object& shift_y_array,
                                                     const py::object& thread_count) {
    const bool upper = y_array.is_none();
    const Rows x_rows = matrix(element_rows_of(x_array));
    const Rows y_rows = upper ? x_rows : matrix(element_rows_of(y_array));
    require(x_rows.n == y_rows.n, "x and y must have as many rows");
    const Rows shift_x = optional_vector(shift_x_array, Dtype::float32, x_rows.d);
    const Rows shift_y = upper ? shift_x : optional_vector(shift_y_array, Dtype::float32, y_rows.d);
    require(shift_x.data && shift_y.data, "a shift is needed");
    const std::size_t threads = count_of(thread_count, most_threads);
    const ShiftedRows x = shifted(x_rows, shift_x);
    const ShiftedRows y = shifted(y_rows, shift_y);
    const std::size_t n = x_rows.n;
    const py::array sums_x = column_sums_of(x, n, threads);
    const py::array sums_y = upper ? sums_x : column_sums_of(y, n, threads);
    py::array_t<double> products({static_cast<py::ssize_t>(x.d), static_cast<py::ssize_t>(y.d)});
    double* const out = products.mutable_data();
    std::fill_n(out, x.d * y.d, 0.0);
    const std::size_t panels = (y.d + covariance_columns - 1) / covariance_columns;
    const Kernels& kernels = active_kernels();
    without_gil(product(n, x.d, y.d), [&] {
        for_ranges(
            panels, product(n, x.d, covariance_columns), threads,
            [&](std::size_t begin, std::size_t end) {
                const auto scratch = scratch_of<float>(products_scratch_size(x.d));
                std::vector<std::size_t> ours;
                for (std::size_t i = begin; i < end; ++i) ours.push_back(evenly(i, panels));
                kernels.add_products(x, y, n, ours.data(), ours.size(), upper, out, scratch.get());
            },
            (panels + threads - 1) / threads);
    });
    return {sums_x, sums_y, products};
}

// What must be expected of every error and how much of it is open, (m) each, and what of a row that is like none of these.
std::tuple<py::array, py::array, float> krige(const py::object& rows_array, const py::object& errors_array,
                                              const py::object& center_array, float shared, float common) {
    const Rows x = matrix(element_rows_of(rows_array));
    require(x.dtype == Dtype::float32 || x.dtype == Dtype::float16, "rows must be float32 or float16");
    require(x.n <= most_kriged, "too many rows to compare with each other");
    const Rows errors = optional_vector(errors_array, Dtype::float32, x.n);
    const Rows center = optional_vector(center_array, Dtype::float32, x.d);
    require(errors.data, "errors are needed");
    require(shared >= 0.0f && shared <= 1.0f && common >= 0.0f && common < HUGE_VALF, "shared or common is out of range");
    const float* const begin = errors.as<float>();
    const auto known = std::count_if(begin, begin + x.n, [](float error) { return error == error; });
    const KrigeRows rows{x.data,
                         x.stride,
                         static_cast<Element>(x.dtype),
                         nullptr,
                         x.n,
                         x.d,
                         center.as<float>(),
                         begin,
                         static_cast<std::size_t>(known)};
    py::array_t<float> expected(static_cast<py::ssize_t>(x.n));
    py::array_t<float> left(static_cast<py::ssize_t>(x.n));
    float* const means = expected.mutable_data();
    float* const shares = left.mutable_data();
    float alike = 0.0f;
    without_gil(shared > 0.0f ? product(rows.known, rows.m, rows.d) : 0.0, [&] {
        const auto scratch = scratch_of<float>(shared > 0.0f ? krige_scratch_size(rows) : 0);
        alike = active_kernels().krige(rows, {shared, common}, means, shares, scratch.get());
    });
    return {expected, left, alike};
}

struct Lists {
    std::size_t queries;
    std::size_t lists;
    std::size_t n;
    bool single;
};

Lists lists_of(const py::array& keys, const py::array& scores) {
    const py::ssize_t dimensions = keys.ndim();
    require(dimensions == 2 || dimensions == 3, "keys must have two or three dimensions");
    require(scores.ndim() == dimensions && std::equal(keys.shape(), keys.shape() + dimensions, scores.shape()),
            "keys and scores must have the same shape");
    require(dtype_of(keys) == Dtype::uint64 && dtype_of(scores) == Dtype::float32, "keys must be uint64, scores float32");
    require((keys.flags() & scores.flags() & py::array::c_style) != 0, "keys and scores must be C-contiguous");
    const auto size = [&](py::ssize_t axis) { return static_cast<std::size_t>(keys.shape(axis)); };
    const Lists lists{dimensions == 3 ? size(0) : 1, size(dimensions - 2), size(dimensions - 1), dimensions == 2};
    require(product(lists.lists, lists.n) < UINT32_MAX, "too many candidates");
    return lists;
}

std::tuple<py::array, py::array> merge(const py::object& keys_object, const py::object& scores_object,
                                       const py::object& places, const py::object& thread_count) {
    const py::array keys_array = array_of(keys_object);
    const py::array scores_array = array_of(scores_object);
    const Lists in = lists_of(keys_array, scores_array);
    const std::size_t k = count_of(places, most_places);
    const std::size_t threads = count_of(thread_count, most_threads);
    const Rows shape{nullptr, in.queries, k, 0, 0, Dtype::other, in.single};
    py::array_t<std::uint64_t> best_keys = array_like<std::uint64_t>(shape, k);
    py::array_t<float> best_scores = array_like<float>(shape, k);

    const auto* keys = static_cast<const std::uint64_t*>(keys_array.data());
    const auto* scores = static_cast<const float*>(scores_array.data());
    std::uint64_t* const out_keys = best_keys.mutable_data();
    float* const out_scores = best_scores.mutable_data();
    const std::size_t candidates = in.lists * in.n;
    const double work = 8.0 * static_cast<double>(candidates + k);
    std::atomic<bool> ordered = true;
    without_gil(work * static_cast<double>(in.queries), [&] {
        for_ranges(in.queries, work, threads, [&](std::size_t begin, std::size_t end) {
            const auto heap = scratch_of<Candidate>(candidates);
            const auto table = scratch_of<std::uint32_t>(merge_table_size(candidates, k));
            for (std::size_t i = begin; i < end; ++i) {
                const bool done = merge_topk(keys + i * candidates, scores + i * candidates, in.lists, in.n, k, heap.get(),
                                             table.get(), out_keys + i * k, out_scores + i * k);
                if (!done) ordered = false;
            }
        });
    });
    require(ordered, "scores must not be NaN");
    return {best_keys, best_scores};
}

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    while (const Kernels* kernels = available_kernels(names.size())) names.emplace_back(kernels->name);
    return names;
}

}  // namespace
}  // namespace crossfade::bindings

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
    namespace py = pybind11;
    using namespace crossfade;
    using namespace crossfade::bindings;

    module.doc() = "The compiled kernels. Use crossfade.kernels, which says in words what can't be used.";
    module.def("normalize", &normalize, py::arg("x"), py::arg("out"), py::arg("bad"), py::arg("threads"));
    module.def("project", &project, py::arg("x"), py::arg("matrix"), py::arg("center"), py::arg("offset"),
               py::arg("arithmetic"), py::arg("unit"), py::arg("out"), py::arg("bad"), py::arg("threads"));
    module.def("rescore", &rescore, py::arg("vectors"), py::arg("rows"), py::arg("query"), py::arg("threads"));
    module.def("merge_topk", &merge, py::arg("keys"), py::arg("scores"), py::arg("k"), py::arg("threads"));
    module.def("comoment", &comoment, py::arg("x"), py::arg("y"), py::arg("shift_x"), py::arg("shift_y"),
               py::arg("threads"));
    module.def("krige", &krige, py::arg("rows"), py::arg("errors"), py::arg("center"), py::arg("shared"), py::arg("common"));
    module.def("has", &has, py::arg("tables"), py::arg("files"), py::arg("keys"));
    module.def("gather", &gather, py::arg("tables"), py::arg("files"), py::arg("keys"), py::arg("out"));
    module.def("score", &score, py::arg("tables"), py::arg("files"), py::arg("keys"), py::arg("queries"));
    module.def("rank", &rank, py::arg("tables"), py::arg("files"), py::arg("query"), py::arg("scored"), py::arg("lists"),
               py::arg("tail"), py::arg("dead"), py::arg("allowed"), py::arg("count"));
    module.def("walk", &walk_graph, py::arg("rows"), py::arg("records"), py::arg("before"), py::arg("shape"),
               py::arg("codes"), py::arg("queries"), py::arg("query_codes"), py::arg("count"), py::arg("expansion"));
    module.def("compare", &compare, py::arg("old_version"), py::arg("new_version"), py::arg("old_keys"), py::arg("new_keys"),
               py::arg("old_queries"), py::arg("new_query"), py::arg("lengths"), py::arg("shift"));
    module.def("blend", &blend_scores, py::arg("old_scores"), py::arg("new_scores"), py::arg("bridged_scores"),
               py::arg("rows"), py::arg("center"), py::arg("head"), py::arg("units"), py::arg("model"), py::arg("bounded"),
               py::arg("weight"));
    module.def("rank_blended", &order_blended, py::arg("keys"), py::arg("blended"), py::arg("own"));
    module.def("instruction_set", [] { return std::string(active_kernels().name); });
    module.def("instruction_sets", &instruction_sets);
    module.def(
        "force_instruction_set", [](const std::string& name) { return force_kernels(name.c_str()); }, py::arg("name"));
}

// The one place where arrays from Python are checked. What can't be used is refused in a few words; crossfade.kernels then
// looks again and says it in better ones.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../kernels/elements.h"

namespace crossfade::bindings {

namespace py = pybind11;

inline void require(bool holds, const char* message) {
    if (!holds) throw py::value_error(message);
}

// The dtypes the kernels know; the first four are those of Element, in its order.
enum class Dtype : std::uint8_t { float32, float16, bfloat16, int8, uint64, int64, other };

// bfloat16 is not NumPy's own: ml_dtypes brings it, and it is known by its name.
inline bool is_bfloat16(const py::dtype& dtype) {
    return dtype.kind() == 'V' && dtype.itemsize() == 2 &&
           std::strstr(reinterpret_cast<PyTypeObject*>(dtype.attr("type").ptr())->tp_name, "bfloat16") != nullptr;
}

inline Dtype dtype_of(const py::array& array) {
    const py::dtype dtype = array.dtype();
    if (dtype.byteorder() == '>') return Dtype::other;
    switch (dtype.num()) {
        case py::detail::npy_api::NPY_FLOAT_:
            return Dtype::float32;
        case 23:  // NPY_HALF, which pybind11 has no name for
            return Dtype::float16;
        case py::detail::npy_api::NPY_BYTE_:
            return Dtype::int8;
        case py::detail::npy_api::NPY_LONG_:
        case py::detail::npy_api::NPY_LONGLONG_:
            return dtype.itemsize() == 8 ? Dtype::int64 : Dtype::other;
        case py::detail::npy_api::NPY_ULONG_:
        case py::detail::npy_api::NPY_ULONGLONG_:
            return dtype.itemsize() == 8 ? Dtype::uint64 : Dtype::other;
        default:
            return is_bfloat16(dtype) ? Dtype::bfloat16 : Dtype::other;
    }
}

// Rows of consecutive elements; a single row is one that came with one dimension. `stride` in elements.
struct Rows {
    char* data;
    std::size_t n;
    std::size_t d;
    std::ptrdiff_t stride;
    std::size_t item;
    Dtype dtype;
    bool single;

    char* at(std::size_t row) const {
        return data + static_cast<std::ptrdiff_t>(row) * stride * static_cast<std::ptrdiff_t>(item);
    }

    template <typename T>
    T* as(std::size_t row = 0) const {
        return reinterpret_cast<T*>(at(row));
    }

    std::size_t element() const { return static_cast<std::size_t>(dtype); }
};

constexpr bool is_element(Dtype dtype) { return static_cast<std::size_t>(dtype) < element_kinds; }

inline py::array array_of(py::handle object) {
    require(py::isinstance<py::array>(object), "a NumPy array is needed");
    const auto array = py::reinterpret_borrow<py::array>(object);
    require((array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0, "an array must be aligned to its elements");
    return array;
}

inline Rows rows_of(py::handle object) {
    const py::array array = array_of(object);
    const py::ssize_t dimensions = array.ndim();
    require(dimensions == 1 || dimensions == 2, "an array must have one or two dimensions");
    const auto n = dimensions == 2 ? static_cast<std::size_t>(array.shape(0)) : 1;
    const auto d = static_cast<std::size_t>(array.shape(dimensions - 1));
    const auto item = static_cast<std::size_t>(array.itemsize());
    const auto size = static_cast<py::ssize_t>(item);
    // NumPy may give an axis that is never stepped along any stride.
    const py::ssize_t stride = n > 1 && d > 0 ? array.strides(0) : 0;
    require(n == 0 || d <= 1 || array.strides(dimensions - 1) == size, "the elements of a row must be consecutive");
    require(stride % size == 0, "the row stride must be a multiple of the element size");
    auto* data = static_cast<char*>(const_cast<void*>(array.data()));
    return {data, n, d, stride / size, item, dtype_of(array), dimensions == 1};
}

inline Rows rows_of(py::handle object, Dtype dtype) {
    const Rows rows = rows_of(object);
    require(rows.dtype == dtype, "an array has another dtype than is needed");
    return rows;
}

inline Rows element_rows_of(py::handle object) {
    const Rows rows = rows_of(object);
    require(is_element(rows.dtype), "an array must be float32, float16, bfloat16 or int8");
    return rows;
}

// The rows, if they came with two dimensions.
inline Rows matrix(const Rows& rows) {
    require(!rows.single, "an array must have two dimensions");
    return rows;
}

// A vector of so many elements; no data where the object is None.
inline Rows optional_vector(py::handle object, Dtype dtype, std::size_t size) {
    if (object.is_none()) return {nullptr, 0, size, 0, 0, dtype, true};
    const Rows vector = rows_of(object, dtype);
    require(vector.single && vector.d == size, "a vector has another size than is needed");
    return vector;
}

inline bool share_memory(const Rows& a, const Rows& b) {
    if (!a.data || !b.data || a.n * a.d == 0 || b.n * b.d == 0) return false;
    const auto begin = [](const Rows& rows) { return std::min(rows.at(0), rows.at(rows.n - 1)); };
    const auto end = [](const Rows& rows) { return std::max(rows.at(0), rows.at(rows.n - 1)) + rows.d * rows.item; };
    return begin(a) < end(b) && begin(b) < end(a);
}

// Rows that may be written to and don't overlap each other.
inline Rows output_rows(py::handle object) {
    const Rows rows = rows_of(object);
    require(array_of(object).writeable(), "out must be writeable");
    require(rows.n < 2 || static_cast<std::size_t>(std::abs(rows.stride)) >= rows.d, "the rows of out must not overlap");
    return rows;
}

// Where to mark bad rows, one bool each; null where the object is None.
inline bool* marks_of(py::handle object, std::size_t n) {
    if (object.is_none()) return nullptr;
    const py::array marks = array_of(object);
    require(marks.dtype().num() == py::detail::npy_api::NPY_BOOL_ && marks.ndim() == 1, "bad must be one bool for each row");
    require(static_cast<std::size_t>(marks.shape(0)) == n && (marks.flags() & py::array::c_style),
            "bad must be one bool for each row");
    require(marks.writeable(), "bad must be writeable");
    return static_cast<bool*>(const_cast<void*>(marks.data()));
}

// A whole number between 1 and `most`.
inline std::size_t count_of(py::handle object, std::size_t most) {
    require(!PyBool_Check(object.ptr()), "a count must be a whole number");
    const Py_ssize_t count = PyNumber_AsSsize_t(object.ptr(), PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        throw py::value_error("a count must be a whole number");
    }
    require(count >= 1 && static_cast<std::size_t>(count) <= most, "a count is out of range");
    return static_cast<std::size_t>(count);
}

}  // namespace crossfade::bindings

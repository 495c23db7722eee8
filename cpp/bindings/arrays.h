// The one place where arrays from Python are checked. crossfade.kernels has checked them before and says it in better words;
// what is here keeps a wrong call of the module itself from touching foreign memory.
//
// Arrays come by reference: the GIL is released while these functions run, so no reference count may change.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace crossfade::bindings {

namespace py = pybind11;

// Any strides; `.noconvert()` at the definition fixes the dtype. Half precision travels as uint16.
template <typename T>
using Array = py::array_t<T, 0>;

// Rows of consecutive elements; `stride` in elements.
template <typename T>
struct Rows {
    T* data;
    std::size_t n;
    std::size_t d;
    std::ptrdiff_t stride;

    T* at(std::size_t row) const { return data + static_cast<std::ptrdiff_t>(row) * stride; }
};

inline void require(bool holds, const char* message) {
    if (!holds) throw py::value_error(message);
}

template <typename T>
Rows<T> rows_of(T* data, const py::array& array) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
    require(array.ndim() == 2, "an array must have two dimensions");
    const auto n = static_cast<std::size_t>(array.shape(0));
    const auto d = static_cast<std::size_t>(array.shape(1));
    // NumPy may give an axis that is never stepped along any stride.
    const py::ssize_t stride = n > 1 && d > 0 ? array.strides(0) : 0;
    require(n == 0 || d <= 1 || array.strides(1) == size, "the elements of a row must be consecutive");
    require(stride % size == 0, "the row stride must be a multiple of the element size");
    return {data, n, d, stride / size};
}

template <typename T>
Rows<const T> input_rows(const Array<T>& array) {
    return rows_of(array.data(), array);
}

// Throws where the array is read-only.
template <typename T>
Rows<T> output_rows(Array<T>& array) {
    return rows_of(array.mutable_data(), array);
}

// The elements of a one-dimensional array, consecutive.
template <typename T>
const T* vector_of(const Array<T>& array, std::size_t size, const char* message) {
    require(array.ndim() == 1 && static_cast<std::size_t>(array.shape(0)) == size, message);
    require(size <= 1 || array.strides(0) == static_cast<py::ssize_t>(sizeof(T)), message);
    return array.data();
}

template <typename T>
const T* optional_vector(const std::optional<Array<T>>& array, std::size_t size, const char* message) {
    return array ? vector_of(*array, size, message) : nullptr;
}

}  // namespace crossfade::bindings

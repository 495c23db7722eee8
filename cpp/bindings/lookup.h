// Tables looked up by key. A search asks a few hundred keys at a time, which NumPy takes a dozen calls for.
#pragma once

#include <tuple>

#include "arrays.h"

namespace crossfade::bindings {

// A mask by key, or none.
struct Mask {
    const bool* data;
    std::size_t n;

    // Whether it is set for a key; `beyond` for keys that it does not reach to, and where there is none.
    bool at(std::uint64_t key, bool beyond) const { return data && key < n ? data[key] : beyond; }
};

inline Mask mask_of(py::handle object) {
    if (object.is_none()) return {nullptr, 0};
    const py::array mask = array_of(object);
    require(mask.dtype().num() == py::detail::npy_api::NPY_BOOL_ && mask.ndim() == 1, "a mask must be one bool for each key");
    require((mask.flags() & py::array::c_style) != 0, "a mask must be contiguous");
    return {static_cast<const bool*>(mask.data()), static_cast<std::size_t>(mask.shape(0))};
}

// Which keys are none (2⁶⁴−1), not dead, and allowed; and how many.
inline std::tuple<py::array, std::size_t> admit(const py::object& keys_object, const py::object& dead_object,
                                                const py::object& allowed_object) {
    const py::array keys_array = array_of(keys_object);
    require(dtype_of(keys_array) == Dtype::uint64 && (keys_array.flags() & py::array::c_style) != 0,
            "keys must be uint64 and C-contiguous");
    const Mask dead = mask_of(dead_object);
    const Mask allowed = mask_of(allowed_object);
    py::array_t<bool> admitted(std::vector<py::ssize_t>(keys_array.shape(), keys_array.shape() + keys_array.ndim()));
    const auto* keys = static_cast<const std::uint64_t*>(keys_array.data());
    bool* const out = admitted.mutable_data();
    const auto size = static_cast<std::size_t>(keys_array.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = keys[i] != UINT64_MAX && !dead.at(keys[i], false) && allowed.at(keys[i], allowed.data == nullptr);
        count += out[i];
    }
    return {admitted, count};
}

// The rows of keys in one file, -1 where a key has none below `rows` there; and how many have one.
//   places: by key, 1 + the number of its row among those of all files; 0 for none.
//   files, first_rows: of each run of 2^bits numbers, whose rows they are and which is the first.
inline std::tuple<py::array, std::size_t> locate(const py::object& places_object, const py::object& files_object,
                                                 const py::object& first_rows_object, std::size_t bits,
                                                 const py::object& keys_object, std::int64_t file, std::int64_t rows) {
    const py::array places_array = array_of(places_object);
    require(places_array.ndim() == 1 && places_array.dtype().kind() == 'u' && places_array.itemsize() == 4 &&
                (places_array.flags() & py::array::c_style) != 0,
            "places must be uint32");
    const Rows keys = rows_of(keys_object, Dtype::uint64);
    const Rows files = rows_of(files_object, Dtype::int64);
    const Rows first_rows = rows_of(first_rows_object, Dtype::int64);
    require(keys.single && files.single && first_rows.single && bits < 32, "keys and tables must be vectors");
    const std::size_t runs = std::min(files.d, first_rows.d);  // another thread may be replacing both by longer ones
    const auto* places = static_cast<const std::uint32_t*>(places_array.data());
    const auto known = static_cast<std::uint64_t>(places_array.shape(0));
    py::array_t<std::int64_t> at(static_cast<py::ssize_t>(keys.d));
    std::int64_t* const out = at.mutable_data();
    std::size_t count = 0;
    for (std::size_t i = 0; i < keys.d; ++i) {
        const std::uint64_t key = keys.as<std::uint64_t>()[i];
        const std::uint32_t place = key < known ? places[key] : 0;
        const std::size_t run = (place - 1) >> bits;
        out[i] = -1;
        if (place == 0 || run >= runs || files.as<std::int64_t>()[run] != file) continue;
        const std::int64_t row = first_rows.as<std::int64_t>()[run] + ((place - 1) & ((std::uint32_t{1} << bits) - 1));
        if (row >= rows) continue;
        out[i] = row;
        ++count;
    }
    return {at, count};
}

}  // namespace crossfade::bindings

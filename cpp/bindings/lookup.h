// Tables looked up by key. A search asks a few hundred keys at a time, which NumPy takes a dozen calls for.
#pragma once

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
    require(mask.dtype().num() == py::detail::npy_api::NPY_BOOL_ && mask.ndim() == 1,
            "a mask must be one bool for each key");
    require((mask.flags() & py::array::c_style) != 0, "a mask must be contiguous");
    return {static_cast<const bool*>(mask.data()), static_cast<std::size_t>(mask.shape(0))};
}

inline std::int64_t whole(py::handle object) {
    require(py::isinstance<py::int_>(object), "a whole number is needed");
    const std::int64_t number = PyLong_AsLongLong(object.ptr());
    if (number == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        throw py::value_error("a number is out of range");
    }
    return number;
}

inline Rows keys_of(py::handle object) {
    const Rows keys = rows_of(object, Dtype::uint64);
    require(keys.single, "keys must be a vector");
    return keys;
}

// Whether a key is some (not 2⁶⁴−1), not dead, and allowed.
inline bool admits(std::uint64_t key, const Mask& dead, const Mask& allowed) {
    return key != UINT64_MAX && !dead.at(key, false) && allowed.at(key, allowed.data == nullptr);
}

// Where the rows of keys stand: in which file, and at which row.
//   places: by key, 1 + the number of its row among those of all files; 0 for none.
//   files, first_rows: of each run of 2^bits numbers, whose rows they are and which is the first.
class Places {
public:
    struct Place {
        std::int64_t file;
        std::int64_t row;
    };

    // Of (places, files, first_rows, bits).
    explicit Places(const py::tuple& tables) {
        require(tables.size() == 4, "tables must be four");
        const py::array places = array_of(tables[0]);
        require(places.ndim() == 1 && places.dtype().kind() == 'u' && places.itemsize() == 4 &&
                    (places.flags() & py::array::c_style) != 0,
                "places must be uint32");
        const Rows files = rows_of(tables[1], Dtype::int64);
        const Rows first_rows = rows_of(tables[2], Dtype::int64);
        const std::int64_t bits = whole(tables[3]);
        require(files.single && first_rows.single && bits >= 0 && bits < 32, "tables must be vectors, of runs below 2^32");
        bits_ = static_cast<std::size_t>(bits);
        places_ = static_cast<const std::uint32_t*>(places.data());
        known_ = static_cast<std::uint64_t>(places.shape(0));
        files_ = files.as<std::int64_t>();
        first_rows_ = first_rows.as<std::int64_t>();
        runs_ = std::min(files.d, first_rows.d);  // another thread may be replacing both by longer ones
    }

    // The file is -1 where the key is unknown.
    Place of(std::uint64_t key) const {
        const std::uint32_t place = key < known_ ? places_[key] : 0;
        const std::size_t run = (place - 1) >> bits_;
        if (place == 0 || run >= runs_) return {-1, -1};
        return {files_[run], first_rows_[run] + ((place - 1) & ((std::uint32_t{1} << bits_) - 1))};
    }

private:
    const std::uint32_t* places_;
    std::uint64_t known_;
    const std::int64_t* files_;
    const std::int64_t* first_rows_;
    std::size_t runs_;
    std::size_t bits_;
};

}  // namespace crossfade::bindings

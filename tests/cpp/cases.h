// The rows that every kernel is tried with.
#pragma once

#include <cstring>
#include <limits>
#include <vector>

#include "../../cpp/kernels/elements.h"
#include "harness.h"

namespace crossfade::tests {

inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
inline constexpr float infinity = std::numeric_limits<float>::infinity();

// Around every multiple of every level's lanes, and some that are common.
inline std::vector<std::size_t> widths() {
    std::vector<std::size_t> all;
    for (std::size_t d = 0; d <= 67; ++d) all.push_back(d);
    all.insert(all.end(), {255, 257, 384});
    return all;
}

template <typename T>
constexpr std::size_t kind_of();
template <>
constexpr std::size_t kind_of<float>() {
    return static_cast<std::size_t>(Element::float32);
}
template <>
constexpr std::size_t kind_of<Half>() {
    return static_cast<std::size_t>(Element::float16);
}
template <>
constexpr std::size_t kind_of<Bfloat>() {
    return static_cast<std::size_t>(Element::bfloat16);
}
template <>
constexpr std::size_t kind_of<std::int8_t>() {
    return static_cast<std::size_t>(Element::int8);
}

inline void put(float& element, float value) { element = value; }
inline void put(std::int8_t& element, float value) { element = static_cast<std::int8_t>(60 * value); }
// The upper bits of a float are a bfloat16; of a float16 any bits will do that are not an infinity or NaN.
inline void put(Bfloat& element, float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    element.bits = static_cast<std::uint16_t>(bits >> 16);
}
inline void put(Half& element, float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    element.bits = static_cast<std::uint16_t>((bits & 0x83ff) | (bits >> 8 & 0x3c00));
}

template <typename T>
void fill(Rows<T>& rows, Random& random) {
    for (std::size_t i = 0; i < rows.n; ++i) {
        for (std::size_t j = 0; j < rows.d; ++j) put(rows.row(i)[j], random.real());
    }
}

}  // namespace crossfade::tests

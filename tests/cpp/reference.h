// What the kernels compute, as slowly and plainly as double precision can say it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "../../cpp/kernels/elements.h"
#include "../../cpp/kernels/merge.h"

namespace crossfade::tests {

// A binary floating-point format: bits after the point, and the exponent of the least normal number.
struct Format {
    int digits;
    int least_exponent;
};
constexpr Format single = {23, -126};
constexpr Format half = {10, -14};
constexpr Format bfloat = {7, -126};

constexpr double epsilon = 1.0 / (1 << 23);  // of float

// The number that 16 bits stand for.
inline double decode(std::uint16_t bits, Format format) {
    const int fraction = bits & ((1 << format.digits) - 1);
    const int exponent = (bits & 0x7fff) >> format.digits;
    const int most = 0x7fff >> format.digits;
    const int last = format.least_exponent - format.digits;  // the exponent of a subnormal's last digit
    double magnitude = std::ldexp(fraction, last);
    if (exponent > 0) magnitude = std::ldexp((1 << format.digits) + fraction, last + exponent - 1);
    if (exponent == most) magnitude = fraction ? std::nan("") : std::numeric_limits<double>::infinity();
    return bits & 0x8000 ? -magnitude : magnitude;
}

inline double value_of(float element) { return element; }
inline double value_of(Half element) { return decode(element.bits, half); }
inline double value_of(Bfloat element) { return decode(element.bits, bfloat); }
inline double value_of(std::int8_t element) { return element; }

// The distance of neighbours at `value`.
inline double spacing(double value, Format format) {
    const int exponent = value == 0.0 ? format.least_exponent : std::max(std::ilogb(value), format.least_exponent);
    return std::ldexp(1.0, exponent - format.digits);
}
inline double spacing(double value, const float*) { return spacing(value, single); }
inline double spacing(double value, const Half*) { return spacing(value, half); }
inline double spacing(double value, const Bfloat*) { return spacing(value, bfloat); }
inline double spacing(double, const std::int8_t*) { return 1.0; }

// What a value is in rows of T, to nearest, ties to even.
template <typename T>
double rounded(double value) {
    const double step = spacing(value, static_cast<const T*>(nullptr));
    return std::nearbyint(value / step) * step;
}

// What 1.0 becomes in unit rows of T.
inline double unit(const std::int8_t*) { return 127.0; }
inline double unit(const void*) { return 1.0; }

inline double length(const float* row, std::size_t d) {
    double squares = 0.0;
    for (std::size_t i = 0; i < d; ++i) squares += value_of(row[i]) * value_of(row[i]);
    return std::sqrt(squares);
}

// A sum with the sum of its terms' magnitudes, which bounds what rounding can do to it.
struct Sum {
    double value = 0.0;
    double magnitude = 0.0;

    void add(double term, double size) {
        value += term;
        magnitude += size;
    }
};

template <typename T>
Sum dot(const T* x, const float* query, std::size_t d) {
    Sum sum;
    for (std::size_t i = 0; i < d; ++i) {
        const double term = value_of(x[i]) * value_of(query[i]);
        sum.add(term, std::abs(term));
    }
    return sum;
}

using Ranked = std::vector<std::pair<std::uint64_t, float>>;

inline Ranked merged(const std::uint64_t* keys, const float* scores, std::size_t size, std::size_t k) {
    std::map<std::uint64_t, float> highest;
    for (std::size_t i = 0; i < size; ++i) {
        const auto place = highest.emplace(keys[i], scores[i]).first;
        place->second = std::max(place->second, scores[i]);
    }
    highest.erase(padding_key);
    Ranked ranked(highest.begin(), highest.end());  // by key, which a stable sort keeps among equals
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    ranked.resize(k, {padding_key, -std::numeric_limits<float>::infinity()});
    return ranked;
}

}  // namespace crossfade::tests

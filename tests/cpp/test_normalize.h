// normalize against its reference.
#pragma once

#include "../../cpp/kernels/dispatch.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

// A row of `out` is that of `x` at length one, rounded once.
template <typename T>
bool is_unit_row(const T* out, const float* x, std::size_t d) {
    const double factor = unit(out) / length(x, d);
    bool right = true;
    for (std::size_t j = 0; j < d; ++j) {
        const double expected = value_of(x[j]) * factor;
        right &= std::abs(value_of(out[j]) - expected) <= 0.501 * spacing(expected, out);
    }
    return right;
}

template <typename T>
void test_normalize(const Kernels& kernels, std::size_t d, Layout layout, bool past_caches) {
    Random random(d);
    Rows<float> x(6, d, layout);
    Rows<T> out(6, d, layout);
    fill(x, random);
    for (std::size_t j = 0; j < d; ++j) x.row(1)[j] = 0.0f;
    if (d > 0) x.row(3)[d - 1] = not_a_number;
    if (d > 0) x.row(4)[d / 2] = -infinity;

    Guarded<bool> bad(6);
    const std::size_t count =
        kernels.normalize[kind_of<T>()](x.first(), x.stride(), 6, d, out.first(), out.stride(), past_caches, bad.data());

    const std::size_t kind = kind_of<T>();
    check(count == (d ? 3u : 6u), "normalize counts the bad rows (kind %zu, d %zu): %zu", kind, d, count);
    for (std::size_t i = 0; i < 6; ++i) {
        const bool wanted = d == 0 || i == 1 || i == 3 || i == 4;
        check(bad[i] == wanted, "normalize marks bad rows, and no others (kind %zu, d %zu, row %zu)", kind, d, i);
    }
    for (const std::size_t i : {1u, 3u, 4u}) {
        check(out.row_untouched(i), "normalize leaves bad row %zu (kind %zu, d %zu)", i, kind, d);
    }
    for (const std::size_t i : {0u, 2u, 5u}) {
        check(is_unit_row(out.row(i), x.row(i), d), "normalize makes unit row %zu (kind %zu, d %zu)", i, kind, d);
    }
    check(out.gaps_untouched(), "normalize writes nothing between rows (kind %zu, d %zu)", kind, d);
}

// A narrower float is the float32 result rounded once more.
template <typename T>
void test_normalize_rounds(const Kernels& kernels, std::size_t d) {
    Random random(d + 1);
    Rows<float> x(4, d, {1, false});
    Rows<float> wide(4, d, {0, false});
    Rows<T> narrow(4, d, {2, false});
    fill(x, random);
    kernels.normalize[kind_of<float>()](x.first(), x.stride(), 4, d, wide.first(), wide.stride(), false, nullptr);
    kernels.normalize[kind_of<T>()](x.first(), x.stride(), 4, d, narrow.first(), narrow.stride(), false, nullptr);
    bool right = true;
    for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = 0; j < d; ++j) right &= value_of(narrow.row(i)[j]) == rounded<T>(wide.row(i)[j]);
    }
    check(right, "normalize rounds what it narrows to nearest (kind %zu, d %zu)", kind_of<T>(), d);
}

// Four whole numbers whose squares add up to `total`; there always are (Lagrange 1770).
inline std::vector<float> four_squares(int total) {
    const auto root = [](int square) { return static_cast<int>(std::sqrt(square)); };
    for (int a = root(total); a >= 0; --a) {
        for (int b = root(total - a * a); b >= 0; --b) {
            const int rest = total - a * a - b * b;
            for (int c = root(rest); c >= 0 && 2 * c * c >= rest; --c) {
                const int d = root(rest - c * c);
                if (c * c + d * d != rest) continue;
                return {static_cast<float>(a), static_cast<float>(b), static_cast<float>(c), static_cast<float>(d)};
            }
        }
    }
    return {};
}

// Rows of a length by which it is exact to divide, whose first element then lies exactly between two narrower ones.
template <typename T>
void test_normalize_ties(const Kernels& kernels, int norm, int first, int step, int end) {
    for (int value = first; value < end; value += step) {
        std::vector<float> row = four_squares(norm * norm - value * value);
        row.insert(row.begin(), static_cast<float>(-value));
        Guarded<T> out(row.size());
        kernels.normalize[kind_of<T>()](row.data(), 0, 1, row.size(), out.data(), 0, false, nullptr);
        const double exact = -value * unit(out.data()) / norm;
        check(value_of(out[0]) == rounded<T>(exact), "normalize rounds ties to even (kind %zu, %d)", kind_of<T>(), value);
    }
}

inline void test_normalize_in_place(const Kernels& kernels, std::size_t d) {
    Random random(d + 2);
    Rows<float> x(3, d, {1, true});
    Rows<float> apart(3, d, {0, false});
    fill(x, random);
    const auto normalize = kernels.normalize[kind_of<float>()];
    normalize(x.first(), x.stride(), 3, d, apart.first(), apart.stride(), false, nullptr);
    normalize(x.first(), x.stride(), 3, d, x.first(), x.stride(), false, nullptr);
    bool same = x.gaps_untouched();
    for (std::size_t i = 0; i < 3; ++i) same &= std::memcmp(x.row(i), apart.row(i), d * sizeof(float)) == 0;
    check(same, "normalize gives the same in place (d %zu)", d);
}

inline void test_normalize_extremes(const Kernels& kernels) {
    const float rows[][3] = {{3e38f, -3e38f, 0.0f}, {1e-45f, 0.0f, 0.0f}, {1e-38f, 1e-38f, 0.0f}};
    for (const auto& row : rows) {
        Guarded<float> out(3 * 2);
        const std::size_t bad = kernels.normalize[kind_of<float>()](row, 0, 2, 3, out.data(), 3, false, nullptr);
        check(bad == 0, "normalize takes the row of %g", static_cast<double>(row[0]));
        check(is_unit_row(out.data(), row, 3), "normalize survives the row of %g", static_cast<double>(row[0]));
        check(std::memcmp(&out[0], &out[3], 3 * sizeof(float)) == 0, "normalize reads a row twice that is given twice");
    }
}

template <typename T>
void test_normalize_of_kind(const Kernels& kernels) {
    for (const std::size_t d : widths()) {
        for (const Layout layout : layouts) {
            test_normalize<T>(kernels, d, layout, false);
            test_normalize<T>(kernels, d, layout, true);
        }
    }
}

inline void test_normalize(const Kernels& kernels) {
    test_normalize_of_kind<float>(kernels);
    test_normalize_of_kind<Half>(kernels);
    test_normalize_of_kind<Bfloat>(kernels);
    test_normalize_of_kind<std::int8_t>(kernels);
    test_normalize_ties<Half>(kernels, 4096, 2049, 62, 4096);
    test_normalize_ties<Bfloat>(kernels, 4096, 257, 2, 512);
    test_normalize_ties<std::int8_t>(kernels, 254, 1, 2, 254);
    for (const std::size_t d : widths()) {
        test_normalize_rounds<Half>(kernels, d);
        test_normalize_rounds<Bfloat>(kernels, d);
        test_normalize_in_place(kernels, d);
    }
    test_normalize_extremes(kernels);
}

}  // namespace crossfade::tests

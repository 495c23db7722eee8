// Sums of columns and of products against their references.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "../../cpp/kernels/dispatch.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

// Rows with what they are shifted by.
template <typename T>
struct Shifted {
    Shifted(std::size_t n, std::size_t d, Layout layout, Random& random) : rows(n, d, layout), shift(1, d, {0, false}) {
        fill(rows, random);
        fill(shift, random);
    }

    ShiftedRows given() { return {rows.first(), rows.stride(), static_cast<Element>(kind_of<T>()), rows.d, shift.row(0)}; }

    double at(std::size_t i, std::size_t j) { return value_of(rows.row(i)[j]) - value_of(shift.row(0)[j]); }
    double size(std::size_t i, std::size_t j) {
        return std::abs(value_of(rows.row(i)[j])) + std::abs(value_of(shift.row(0)[j]));
    }

    Rows<T> rows;
    Rows<float> shift;
};

template <typename T>
void test_column_sums(const Kernels& kernels, std::size_t n, std::size_t d, Layout layout) {
    Random random(d + n);
    Shifted<T> x(n, d, layout, random);
    Guarded<double> sums(d);
    const std::size_t middle = d / 2;
    kernels.column_sums(x.given(), n, middle, d, sums.data());
    bool right = true;
    for (std::size_t j = 0; j < middle; ++j) right &= sums.is_untouched(sums[j]);
    kernels.column_sums(x.given(), n, 0, middle, sums.data());
    for (std::size_t j = 0; j < d; ++j) {
        Sum sum;
        for (std::size_t i = 0; i < n; ++i) {
            sum.add(value_of(x.rows.row(i)[j]), std::abs(value_of(x.rows.row(i)[j])));
        }
        right &= std::abs(sums[j] - sum.value) <= 1e-12 * sum.magnitude;
    }
    check(right, "column_sums sums (kind %zu, %zu x %zu)", kind_of<T>(), n, d);
}

template <typename X, typename Y>
void test_products(const Kernels& kernels, std::size_t n, std::size_t d_x, std::size_t d_y, Layout layout, bool upper) {
    Random random(d_x * 1000 + d_y);
    Shifted<X> x(n, d_x, layout, random);
    Shifted<Y> y(n, d_y, layout, random);
    Guarded<double> products(d_x * d_y);
    std::fill_n(products.data(), products.size(), 1.0);
    std::vector<std::size_t> panels((d_y + covariance_columns - 1) / covariance_columns);
    std::iota(panels.rbegin(), panels.rend(), std::size_t{0});
    Guarded<float> scratch(products_scratch_size(d_x));
    kernels.add_products(x.given(), y.given(), n, panels.data(), panels.size(), upper, products.data(), scratch.data());

    const double terms = static_cast<double>(std::min(n, covariance_block_rows) + 3);
    bool right = true;
    for (std::size_t i = 0; i < d_x; ++i) {
        for (std::size_t j = upper ? i : 0; j < d_y; ++j) {
            Sum sum;
            sum.add(1.0, 0.0);
            for (std::size_t row = 0; row < n; ++row) sum.add(x.at(row, i) * y.at(row, j), x.size(row, i) * y.size(row, j));
            right &= std::abs(products[i * d_y + j] - sum.value) <= terms * epsilon * sum.magnitude + 1e-15;
        }
    }
    check(right, "products are added (kinds %zu and %zu, %zu x %zu and %zu, upper %d)", kind_of<X>(), kind_of<Y>(), n, d_x,
          d_y, upper);
}

template <typename T>
void test_covariance_of_kind(const Kernels& kernels) {
    for (const std::size_t d : widths()) {
        test_column_sums<T>(kernels, 5, d, layouts[d % 3]);
        test_products<T, float>(kernels, 5, d, 13, layouts[d % 3], false);
        test_products<float, T>(kernels, 5, 13, d, layouts[d % 3], false);
    }
    test_column_sums<T>(kernels, 0, 7, {0, false});
    test_products<T, T>(kernels, 0, 7, 7, {0, false}, false);
    test_products<T, T>(kernels, covariance_few_rows + 3, 33, 65, {3, false}, false);
    test_products<T, T>(kernels, 9, 131, 131, {5, true}, true);
}

inline void test_covariance(const Kernels& kernels) {
    test_covariance_of_kind<float>(kernels);
    test_covariance_of_kind<Half>(kernels);
    test_covariance_of_kind<Bfloat>(kernels);
    test_covariance_of_kind<std::int8_t>(kernels);
}

}  // namespace crossfade::tests

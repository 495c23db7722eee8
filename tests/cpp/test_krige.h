// krige against its reference: mean and variance of a normal distribution, given a part of it, by Gaussian elimination.
#pragma once

#include "../../cpp/kernels/dispatch.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

// Of errors with these covariances: what is expected of the last one, and its variance, given the others' values.
struct Given {
    double expected;
    double variance;
};

inline Given given(std::vector<std::vector<double>> covariances, std::vector<double> values) {
    const std::size_t last = values.size();
    double expected = 0.0;
    for (std::size_t p = 0; p < last; ++p) {
        for (std::size_t i = p + 1; i <= last; ++i) {
            const double factor = covariances[i][p] / covariances[p][p];
            for (std::size_t j = p; j <= last; ++j) covariances[i][j] -= factor * covariances[p][j];
            (i == last ? expected : values[i]) += (i == last ? factor : -factor) * values[p];
        }
    }
    return {expected, covariances[last][last]};
}

template <typename T>
class KrigeCase {
public:
    KrigeCase(std::size_t m, std::size_t d, Layout layout, KrigeModel model, bool centred)
        : rows_(m, d, layout), center_(d), errors_(m), expected_(m), left_(m), model_(model), centred_(centred) {
        Random random(m + 100 * d);
        fill(rows_, random);
        for (std::size_t j = 0; j < d; ++j) center_[j] = center;
        for (std::size_t j = 0; j < d && m > 2; ++j) put(rows_.row(0)[j], centred ? center : 0.0f);  // without a direction
        for (std::size_t i = 0; i < m; ++i) errors_[i] = random.below(2) ? random.real() : not_a_number;
    }

    void test(const Kernels& kernels) {
        std::size_t known = 0;
        for (std::size_t i = 0; i < rows_.n; ++i) known += !std::isnan(errors_[i]);
        const KrigeRows rows = {rows_.first(), rows_.stride(), static_cast<Element>(kind_of<T>()),  nullptr,
                                rows_.n,       rows_.d,        centred_ ? center_.data() : nullptr, errors_.data(),
                                known};
        Guarded<float> scratch(krige_scratch_size(rows));
        const float common = kernels.krige(rows, model_, expected_.data(), left_.data(), scratch.data());
        bool right = near(common, conditional(rows_.n).expected);
        for (std::size_t i = 0; i < rows_.n; ++i) {
            const bool unknown = std::isnan(errors_[i]);
            const Given told = unknown ? conditional(i) : Given{0.0, 0.0};
            right &= near(expected_[i], told.expected) && near(left_[i], std::clamp(told.variance, 0.0, 1.0));
        }
        check(right, "krige (kind %zu, m %zu, d %zu, shared %g)", kind_of<T>(), rows_.n, rows_.d, model_.shared);
    }

private:
    static bool near(float found, double wanted) { return std::abs(value_of(found) - wanted) <= 1e-3; }
    static constexpr float center = 0.25f;

    // Row `n` of n stands for one that is like none of them.
    double cosine(std::size_t i, std::size_t j) {
        if (std::max(i, j) == rows_.n) return 0.0;
        double product = 0.0, squares_i = 0.0, squares_j = 0.0;
        for (std::size_t k = 0; k < rows_.d; ++k) {
            const double x = value_of(rows_.row(i)[k]) - (centred_ ? value_of(center) : 0.0);
            const double y = value_of(rows_.row(j)[k]) - (centred_ ? value_of(center) : 0.0);
            product += x * y;
            squares_i += x * x;
            squares_j += y * y;
        }
        return squares_i > 0.0 && squares_j > 0.0 ? product / std::sqrt(squares_i * squares_j) : 0.0;
    }

    double covariance(std::size_t i, std::size_t j) {
        const double alike = cosine(i, j);
        return value_of(model_.common) + (i == j ? 1.0 : value_of(model_.shared) * alike * alike);
    }

    Given conditional(std::size_t of) {
        std::vector<std::size_t> places;
        std::vector<double> values;
        for (std::size_t i = 0; i < rows_.n; ++i) {
            if (std::isnan(errors_[i])) continue;
            places.push_back(i);
            values.push_back(value_of(errors_[i]));
        }
        places.push_back(of);
        std::vector<std::vector<double>> covariances;
        for (const std::size_t i : places) {
            covariances.emplace_back();
            for (const std::size_t j : places) covariances.back().push_back(covariance(i, j));
        }
        return given(covariances, values);
    }

    Rows<T> rows_;
    Guarded<float> center_;
    Guarded<float> errors_;
    Guarded<float> expected_;
    Guarded<float> left_;
    KrigeModel model_;
    bool centred_;
};

template <typename T>
void test_krige_of_kind(const Kernels& kernels) {
    for (const std::size_t m : {0u, 1u, 2u, 3u, 7u, 16u, 31u}) {
        for (const std::size_t d : {1u, 5u, 16u, 33u, 67u}) {
            for (const Layout layout : layouts) {
                for (const float shared : {0.0f, 0.6f}) {
                    KrigeCase<T>(m, d, layout, {shared, 0.05f}, d % 2 == 0).test(kernels);
                }
            }
        }
    }
}

inline void test_krige(const Kernels& kernels) {
    test_krige_of_kind<float>(kernels);
    test_krige_of_kind<Half>(kernels);
}

}  // namespace crossfade::tests

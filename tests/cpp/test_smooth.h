// smooth against the sum it is, row by row.
#pragma once

#include "../../cpp/kernels/dispatch.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

template <typename T>
class SmoothCase {
public:
    SmoothCase(std::size_t m, std::size_t d, Layout layout, bool chosen)
        : rows_(2 * m, d, layout), center_(d), places_(m), evidence_(m), smoothed_(m), chosen_(chosen) {
        Random random(m + 100 * d);
        fill(rows_, random);
        for (std::size_t j = 0; j < d; ++j) center_[j] = center;
        for (std::size_t j = 0; j < d && m > 2; ++j) put(rows_.row(0)[j], center);  // without a direction
        for (std::size_t i = 0; i < m; ++i) {
            places_[i] = chosen ? 2 * m - 1 - 2 * i : i;
            evidence_[i] = value_of(random.real());
        }
    }

    void test(const Kernels& kernels) {
        const ComparedRows rows = {rows_.first(),
                                   rows_.stride(),
                                   static_cast<Element>(kind_of<T>()),
                                   chosen_ ? places_.data() : nullptr,
                                   places_.size(),
                                   rows_.d,
                                   center_.data()};
        Guarded<float> scratch(compared_size(rows));
        kernels.smooth(rows, evidence_.data(), smoothed_.data(), scratch.data());
        bool right = true;
        for (std::size_t i = 0; i < places_.size(); ++i) right &= std::abs(smoothed_[i] - mean(i)) <= 1e-3;
        check(right, "smooth (kind %zu, m %zu, d %zu)", kind_of<T>(), places_.size(), rows_.d);
    }

private:
    static constexpr float center = 0.25f;

    double beyond(std::size_t i, std::size_t k) { return value_of(rows_.row(places_[i])[k]) - value_of(center); }

    double product(std::size_t i, std::size_t j) {
        double sum = 0.0;
        for (std::size_t k = 0; k < rows_.d; ++k) sum += beyond(i, k) * beyond(j, k);
        return sum;
    }

    double mean(std::size_t i) {
        double sum = 0.0, weights = 0.0;
        for (std::size_t j = 0; j < places_.size(); ++j) {
            const double lengths = product(i, i) * product(j, j);
            if (j == i || !(lengths > 0.0)) continue;
            const double weight = std::pow(std::max(0.0, product(i, j) / std::sqrt(lengths)), 4.0);
            sum += weight * evidence_[j];
            weights += weight;
        }
        return weights > 0.0 ? sum / weights : evidence_[i];
    }

    Rows<T> rows_;
    Guarded<float> center_;
    Guarded<std::size_t> places_;
    Guarded<double> evidence_;
    Guarded<double> smoothed_;
    bool chosen_;
};

template <typename T>
void test_smooth_of_kind(const Kernels& kernels) {
    for (const std::size_t m : {0u, 1u, 2u, 3u, 7u, 16u, 31u}) {
        for (const std::size_t d : {1u, 5u, 16u, 33u, 67u}) {
            for (const Layout layout : layouts) SmoothCase<T>(m, d, layout, d % 2 == 0).test(kernels);
        }
    }
}

inline void test_smooth(const Kernels& kernels) {
    test_smooth_of_kind<float>(kernels);
    test_smooth_of_kind<Half>(kernels);
}

}  // namespace crossfade::tests

// rescore against its reference.
#pragma once

#include "../../cpp/kernels/dispatch.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

template <typename T>
void test_rescore(const Kernels& kernels, std::size_t d, std::size_t q, Layout layout) {
    Random random(d + 7 * q);
    Rows<T> vectors(9, d, layout);
    Rows<float> queries(q, d, layout);
    fill(vectors, random);
    fill(queries, random);
    Guarded<std::int64_t> chosen(11);
    for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<std::int64_t>(random.below(9));
    Rows<float> scanned(q, 9, layout);
    Rows<float> gathered(q, chosen.size(), layout);

    const auto rescore = kernels.rescore[kind_of<T>()];
    rescore(vectors.first(), vectors.stride(), nullptr, 9, queries.first(), q, queries.stride(), d, scanned.first(),
            scanned.stride());
    rescore(vectors.first(), vectors.stride(), chosen.data(), chosen.size(), queries.first(), q, queries.stride(), d,
            gathered.first(), gathered.stride());

    bool right = scanned.gaps_untouched() && gathered.gaps_untouched();
    bool same = true;
    for (std::size_t j = 0; j < q; ++j) {
        for (std::size_t i = 0; i < 9; ++i) {
            const Sum sum = dot(vectors.row(i), queries.row(j), d);
            right &= std::abs(value_of(scanned.row(j)[i]) - sum.value) <= static_cast<double>(d) * epsilon * sum.magnitude;
        }
        for (std::size_t i = 0; i < chosen.size(); ++i) {
            same &= gathered.row(j)[i] == scanned.row(j)[static_cast<std::size_t>(chosen[i])];
        }
    }
    check(right, "rescore scores (kind %zu, d %zu, q %zu)", kind_of<T>(), d, q);
    check(same, "rescore gives the same gathered (kind %zu, d %zu, q %zu)", kind_of<T>(), d, q);
}

// Every pattern of bits, at every place of a vector and behind the last whole one.
template <typename T>
void test_every_pattern_is_read(const Kernels& kernels) {
    constexpr std::size_t d = 67, patterns = std::size_t{1} << (8 * sizeof(T));
    Rows<T> vectors(patterns, 1, {0, false}), spread(patterns, d, {0, false});
    Guarded<float> ones(d), alone(patterns), placed(patterns);
    for (std::size_t j = 0; j < d; ++j) ones[j] = 1.0f;
    for (std::size_t i = 0; i < patterns; ++i) {
        std::memcpy(vectors.row(i), &i, sizeof(T));
        std::memset(static_cast<void*>(spread.row(i)), 0, d * sizeof(T));
        std::memcpy(spread.row(i) + i % d, &i, sizeof(T));
    }
    const auto rescore = kernels.rescore[kind_of<T>()];
    rescore(vectors.first(), 1, nullptr, patterns, ones.data(), 1, 0, 1, alone.data(), 0);
    rescore(spread.first(), spread.stride(), nullptr, patterns, ones.data(), 1, 0, d, placed.data(), 0);
    for (std::size_t i = 0; i < patterns; ++i) {
        const double expected = value_of(*vectors.row(i));
        const bool right = std::isnan(expected) ? std::isnan(alone[i]) && std::isnan(placed[i])
                                                : value_of(alone[i]) == expected && value_of(placed[i]) == expected;
        check(right, "pattern %zx of kind %zu is read as %g", i, kind_of<T>(), expected);
    }
}

template <typename T>
void test_rescore_of_kind(const Kernels& kernels) {
    for (const std::size_t d : widths()) {
        for (const Layout layout : layouts) {
            for (const std::size_t q : {0u, 1u, 3u}) test_rescore<T>(kernels, d, q, layout);
        }
    }
}

inline void test_rescore(const Kernels& kernels) {
    test_rescore_of_kind<float>(kernels);
    test_rescore_of_kind<Half>(kernels);
    test_rescore_of_kind<Bfloat>(kernels);
    test_rescore_of_kind<std::int8_t>(kernels);
    test_every_pattern_is_read<Half>(kernels);
    test_every_pattern_is_read<Bfloat>(kernels);
    test_every_pattern_is_read<std::int8_t>(kernels);
}

}  // namespace crossfade::tests

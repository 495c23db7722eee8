// hamming and nearest_codes against counts of single bits.
#pragma once

#include <algorithm>
#include <vector>

#include "../../cpp/kernels/codes.h"
#include "../../cpp/kernels/dispatch.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

class CodesCase {
public:
    CodesCase(std::size_t n, std::size_t words)
        : n_(n), words_(words), codes_((n + codes_abreast - 1) / codes_abreast * codes_abreast * words), code_(words) {
        Random random(n + 1000 * words);
        // Few different bytes, so that many codes are equally far.
        for (std::size_t i = 0; i < codes_.size(); ++i) codes_[i] = std::uint64_t{random.below(4)} << random.below(64);
        for (std::size_t w = 0; w < words; ++w) code_[w] = std::uint64_t{random.below(4)} << random.below(64);
        // The first code differs in every bit, as many as can be.
        for (std::size_t w = 0; w < words; ++w) codes_[w * codes_abreast] = ~code_[w];
    }

    void test(const Kernels& kernels) {
        const std::size_t blocks = codes_.size() / (codes_abreast * words_);
        Guarded<std::uint32_t> distances(blocks * codes_abreast);
        kernels.hamming(codes_.data(), blocks, words_, code_.data(), distances.data());
        bool right = true;
        for (std::size_t i = 0; i < distances.size(); ++i) right &= distances[i] == distance(i);
        check(right, "hamming (%zu x %zu words)", n_, words_);
        for (const std::size_t count : {std::size_t{1}, (n_ + 2) / 3, n_, n_ + 9}) test_nearest(kernels, count);
    }

private:
    void test_nearest(const Kernels& kernels, std::size_t count) {
        Guarded<CodeMet> met(codes_met_size(count));
        Guarded<std::uint32_t> counts(codes_counts_size(words_));
        const Codes codes = {codes_.data(), n_, words_};
        const std::size_t found = nearest_codes(codes, kernels.hamming, code_.data(), count, {met.data(), counts.data()});
        std::vector<std::uint32_t> nodes(n_), given;
        for (std::size_t i = 0; i < n_; ++i) nodes[i] = static_cast<std::uint32_t>(i);
        std::stable_sort(nodes.begin(), nodes.end(), [&](auto a, auto b) { return distance(a) < distance(b); });
        nodes.resize(std::min(count, n_));
        for (std::size_t i = 0; i < found; ++i) given.push_back(met[i].node);
        std::sort(nodes.begin(), nodes.end());
        std::sort(given.begin(), given.end());
        check(given == nodes, "nearest_codes (%zu of %zu x %zu words)", count, n_, words_);
    }

    std::uint32_t distance(std::size_t i) {
        std::uint32_t differing = 0;
        for (std::size_t w = 0; w < words_; ++w) {
            const std::uint64_t word = codes_[(i / codes_abreast * words_ + w) * codes_abreast + i % codes_abreast];
            for (std::size_t bit = 0; bit < 64; ++bit)
                differing += static_cast<std::uint32_t>(((word ^ code_[w]) >> bit) & 1);
        }
        return differing;
    }

    std::size_t n_, words_;
    Guarded<std::uint64_t> codes_, code_;
};

inline void test_codes(const Kernels& kernels) {
    for (const std::size_t n : {1u, 7u, 8u, 9u, 255u, 257u, 1100u, 3000u}) {
        for (const std::size_t words : {1u, 2u, 6u, 13u, 40u, 70u}) CodesCase(n, words).test(kernels);
    }
}

}  // namespace crossfade::tests

// walk where every node can be reached and all are kept: it finds what is found by looking at all.
#pragma once

#include <algorithm>
#include <vector>

#include "../../cpp/kernels/dispatch.h"
#include "../../cpp/kernels/walk.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

template <typename T>
class WalkCase {
public:
    WalkCase(std::size_t n, std::size_t d, Layout layout)
        : rows_(n, d, layout), query_(d), before_(n), records_(n * lowest_bytes + (n + 4) / 5 * upper_bytes) {
        Random random(n + 100 * d);
        fill(rows_, random);
        for (std::size_t j = 0; j < d; ++j) query_[j] = random.real();
        unsigned char* at = records_.data();
        for (std::uint32_t node = 0; node < n; ++node) {
            const bool upper = node % 5 == 0;
            before_[node] = (node + 4) / 5;
            at = write(write(at, std::uint64_t{node} + 100), static_cast<std::uint16_t>(upper));
            const auto last = static_cast<std::uint32_t>(n);
            at = write(write(write(write(at, std::uint32_t{2}), (node + 1) % last), node / 2), std::uint32_t{0});
            if (upper) at = write(write(at, std::uint32_t{1}), (node + 5) / 5 * 5 % last / 5 * 5);
        }
    }

    void test(const Kernels& kernels) {
        const std::size_t n = before_.size(), count = (n + 1) / 2;
        const Graph graph = {rows_.first(),   rows_.stride(), n, rows_.d, sizeof(T), records_.data(),
                             records_.size(), before_.data(), 3, 1,       1,         0};
        Guarded<std::uint64_t> seen(walk_seen_size(n)), keys(count);
        Guarded<Met> best(n);
        Guarded<std::int64_t> nodes(most_links);
        Guarded<float> scores(most_links);
        Guarded<CodeMet> met(codes_met_size(codes_wanted(n, count)));
        Guarded<std::uint32_t> counts(codes_counts_size(1));
        const WalkScratch scratch = {seen.data(), best.data(), nodes.data(), scores.data(), {met.data(), counts.data()}};
        const auto walked = [&](const Graph& any, const CodesAsked& asked) {
            return walk(any, kernels.rescore[kind_of<T>()], asked, query_.data(), count, n, scratch, keys.data());
        };
        Guarded<std::uint64_t> bits((n + codes_abreast - 1) / codes_abreast * codes_abreast);
        for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = i % 7;
        const std::uint64_t code = 3;
        const CodesAsked none = {}, asked = {{bits.data(), n, 1}, kernels.hamming, &code};
        for (const CodesAsked& begun : {none, asked}) {
            const auto found = walked(graph, begun);
            check(found == static_cast<std::ptrdiff_t>(count) && are_best(keys, count), "walk (kind %zu, %zu x %zu)",
                  kind_of<T>(), n, rows_.d);
            Graph torn = graph;
            torn.record_bytes -= 1 + ((n - 1) % 5 ? 0 : upper_bytes);  // of the last node's links in the lowest level
            check(walked(torn, begun) == -1, "walk ends where the records do (kind %zu, %zu x %zu)", kind_of<T>(), n,
                  rows_.d);
        }
    }

private:
    static constexpr std::size_t upper_bytes = 8, lowest_bytes = 10 + 16;

    bool are_best(Guarded<std::uint64_t>& keys, std::size_t count) {
        std::vector<double> all;
        for (std::size_t i = 0; i < before_.size(); ++i) all.push_back(score(i));
        std::sort(all.rbegin(), all.rend());
        const double rounding = 1e-3 * static_cast<double>(1 + rows_.d);
        bool right = true;
        for (std::size_t i = 0; right && i < count; ++i) right = std::abs(score(keys[i] - 100) - all[i]) <= rounding;
        return right;
    }

    template <typename Number>
    static unsigned char* write(unsigned char* at, Number number) {
        std::memcpy(at, &number, sizeof number);
        return at + sizeof number;
    }

    double score(std::size_t i) {
        double sum = 0.0;
        for (std::size_t j = 0; j < rows_.d; ++j) sum += value_of(rows_.row(i)[j]) * static_cast<double>(query_[j]);
        return sum;
    }

    Rows<T> rows_;
    Guarded<float> query_;
    Guarded<std::uint32_t> before_;
    Guarded<unsigned char> records_;
};

template <typename T>
void test_walk_of_kind(const Kernels& kernels) {
    for (const std::size_t n : {1u, 2u, 6u, 21u, 150u}) {
        for (const std::size_t d : {1u, 5u, 16u, 33u, 67u}) {
            for (const Layout layout : layouts) WalkCase<T>(n, d, layout).test(kernels);
        }
    }
}

inline void test_walk(const Kernels& kernels) {
    test_walk_of_kind<float>(kernels);
    test_walk_of_kind<Half>(kernels);
    test_walk_of_kind<std::int8_t>(kernels);
}

}  // namespace crossfade::tests

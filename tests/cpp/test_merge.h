// merge_topk against its reference.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>

#include "../../cpp/kernels/merge.h"
#include "cases.h"
#include "reference.h"

namespace crossfade::tests {

enum class Order { any, ranked, some_ranked };

struct Lists {
    Lists(std::size_t lists, std::size_t n) : lists(lists), n(n), keys(lists * n), scores(lists * n) {}

    // Few keys and fewer scores, so that both come again, in one list and in several.
    void fill(Order order, Random& random) {
        for (std::size_t i = 0; i < keys.size(); ++i) {
            keys[i] = random.below(8) == 0 ? padding_key : random.below(keys.size()) << (random.below(2) * 40);
            scores[i] = 0.25f * static_cast<float>(random.below(n)) - 1.0f;
            if (random.below(16) == 0) scores[i] = random.below(2) ? infinity : -infinity;
        }
        for (std::size_t list = 0; list < lists; ++list) {
            if (order == Order::ranked || (order == Order::some_ranked && list % 3 > 0)) rank(list * n);
        }
    }

    // As a search gives them: score descending, then key ascending, with the padding at the end.
    void rank(std::size_t begin) {
        Ranked all;
        for (std::size_t i = begin; i < begin + n; ++i) all.emplace_back(keys[i], scores[i]);
        std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
            if ((a.first == padding_key) != (b.first == padding_key)) return b.first == padding_key;
            return a.second > b.second || (a.second == b.second && a.first < b.first);
        });
        for (std::size_t i = 0; i < n; ++i) {
            keys[begin + i] = all[i].first;
            scores[begin + i] = all[i].second;
        }
    }

    const std::size_t lists;
    const std::size_t n;
    Guarded<std::uint64_t> keys;
    Guarded<float> scores;
};

struct Best {
    explicit Best(std::size_t k) : keys(k), scores(k) {}

    bool merge(Lists& in) {
        const std::size_t size = in.lists * in.n;
        Guarded<Candidate> heap(size);
        Guarded<std::uint32_t> table(merge_table_size(size, keys.size()));
        return merge_topk(in.keys.data(), in.scores.data(), in.lists, in.n, keys.size(), heap.data(), table.data(),
                          keys.data(), scores.data());
    }

    Guarded<std::uint64_t> keys;
    Guarded<float> scores;
};

inline void test_merge_of(std::size_t lists, std::size_t n, std::size_t k, Order order, Random& random) {
    Lists in(lists, n);
    in.fill(order, random);
    Best best(k);
    check(best.merge(in), "merge takes lists without NaN (%zu x %zu)", lists, n);
    const Ranked expected = merged(in.keys.data(), in.scores.data(), lists * n, k);
    bool right = true;
    for (std::size_t i = 0; i < k; ++i) right &= best.keys[i] == expected[i].first && best.scores[i] == expected[i].second;
    check(right, "merge is right (%zu x %zu -> %zu, order %d)", lists, n, k, static_cast<int>(order));
}

inline void test_merge_refuses_nan(std::size_t lists, std::size_t n, Random& random) {
    Lists in(lists, n);
    in.fill(Order::ranked, random);
    const std::size_t at = random.below(lists * n);
    in.keys[at] = 7;
    in.scores[at] = not_a_number;
    check(!Best(3).merge(in), "merge refuses NaN at %zu of %zu x %zu", at, lists, n);
}

// It has one form for all levels.
inline void test_merge() {
    Random random(1);
    for (const std::size_t lists : {0u, 1u, 2u, 3u, 4u, 5u, 8u, 9u, 16u, 17u, 33u}) {
        for (const std::size_t n : {0u, 1u, 2u, 5u, 31u, 100u}) {
            for (const std::size_t k : {1u, 2u, 10u, 101u, 257u}) {
                for (const Order order : {Order::any, Order::ranked, Order::some_ranked}) {
                    test_merge_of(lists, n, k, order, random);
                }
            }
            if (lists * n > 0) test_merge_refuses_nan(lists, n, random);
        }
    }
}

}  // namespace crossfade::tests

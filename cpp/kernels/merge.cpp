#include "merge.h"

#include <string.h>

namespace crossfade {
namespace {

inline bool better(const Candidate& a, const Candidate& b) {
    return a.score > b.score || (a.score == b.score && a.key < b.key);
}

// Moves heap[at] down until neither child is better.
void sift_down(Candidate* heap, size_t size, size_t at) {
    const Candidate moved = heap[at];
    for (size_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && better(heap[child + 1], heap[child])) ++child;
        if (!better(heap[child], moved)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

// Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4): the upper bits of the product are well mixed, so that
// keys counted upwards don't fall into neighbouring slots.
inline size_t slot_of(uint64_t key, unsigned shift) { return (key * 0x9e3779b97f4a7c15u) >> shift; }

// The written keys: a slot holds one more than a place in `keys`, 0 is free.
struct Written {
    uint32_t* table;
    size_t mask;
    unsigned shift;
    uint64_t* keys;
    float* scores;
    size_t places = 0;

    // Not zero where the slot holds another key.
    uint64_t difference(uint32_t found, uint64_t key) const {
        const uint64_t taken = found != 0;
        return (keys[found - taken] ^ key) & (0 - taken);
    }

    // Writes the key if it is not padding and not written yet. Whether it is can't be foretold, so nothing branches on it: a
    // key's first slot is nearly always free or its own.
    void take(uint64_t key, float score) {
        if (key == padding_key) return;
        size_t slot = slot_of(key, shift);
        uint32_t found = table[slot];
        keys[places] = key;
        scores[places] = score;
        while (__builtin_expect(difference(found, key) != 0, 0)) found = table[slot = (slot + 1) & mask];
        const bool fresh = found == 0;
        table[slot] = fresh ? static_cast<uint32_t>(places + 1) : found;
        places += fresh;
    }
};

// Whether every place but the last is followed by one that ranks after it or equals it. NaN ranks nowhere.
inline bool is_ranked(const uint64_t* keys, const float* scores, size_t n) {
    unsigned falls = 1;
    unsigned ties = 0;
    for (size_t i = 0; i + 1 < n; ++i) {
        falls &= scores[i] >= scores[i + 1];
        ties |= scores[i] == scores[i + 1];
    }
    if (!falls || !ties) return falls;
    for (size_t i = 0; i + 1 < n; ++i) {
        if (scores[i] == scores[i + 1] && keys[i] > keys[i + 1]) return false;
    }
    return true;
}

inline bool has_nan(const float* scores, size_t n) {
    unsigned unordered = 0;
    for (size_t i = 0; i < n; ++i) unordered |= scores[i] != scores[i];
    return unordered;
}

// Padding at the end takes no part in the ranking.
inline size_t without_padding(const uint64_t* keys, size_t n) {
    while (n > 0 && keys[n - 1] == padding_key) --n;
    return n;
}

struct RankedList {
    const uint64_t* keys;
    const float* scores;
    size_t n;
};

// b where `second`, else a. Where that can't be foretold, a branch costs more than all else, and a compiler may make one of
// a condition.
template <typename T>
inline T chosen(T a, T b, bool second) {
    return a ^ ((a ^ b) & (T{0} - static_cast<T>(second)));
}

// A candidate's place in the order, as a number: the higher the better, 0 for none. Keys that need more than 32 bits share a
// place, for which the lower half is 0.
using Rank = uint64_t;

inline Rank rank_of(uint64_t key, float score) {
    const float unsigned_zero = score + 0.0f;
    uint32_t bits;
    memcpy(&bits, &unsigned_zero, sizeof bits);
    bits ^= (bits >> 31) ? 0xffffffffu : 0x80000000u;
    return static_cast<Rank>(bits) << 32 | (key < UINT32_MAX ? ~static_cast<uint32_t>(key) : 0);
}

inline bool is_shared(Rank rank) { return static_cast<uint32_t>(rank) == 0; }

// At most 4 or 16 ranked lists, in one group or four. The best head is that of the best group, and a step changes one group
// only. The rank of what comes after each head is there before it is asked for.
template <size_t groups>
struct Heads {
    static constexpr size_t width = 4;

    struct Best {
        size_t place;
        Rank rank;
    };

    Rank ranks[groups * width] = {};
    Rank next_ranks[groups * width] = {};
    RankedList rest[groups * width];
    Best best[groups];

    static Rank rank_at(const RankedList& list, size_t i) { return i < list.n ? rank_of(list.keys[i], list.scores[i]) : 0; }

    Heads(const RankedList* lists, size_t count) {
        for (size_t i = 0; i < count; ++i) {
            rest[i] = lists[i];
            ranks[i] = rank_at(lists[i], 0);
            next_ranks[i] = rank_at(lists[i], 1);
        }
        for (size_t group = 0; group < groups; ++group) choose(group);
    }

    static Best better_of(const Best& a, const Best& b) {
        const bool second = b.rank > a.rank;
        return {chosen(a.place, b.place, second), chosen(a.rank, b.rank, second)};
    }

    void choose(size_t group) {
        const size_t i = group * width;
        best[group] = better_of(better_of({i, ranks[i]}, {i + 1, ranks[i + 1]}),
                                better_of({i + 2, ranks[i + 2]}, {i + 3, ranks[i + 3]}));
    }

    Best best_of_all() const {
        if (groups == 1) return best[0];
        return better_of(better_of(best[0], best[1]), better_of(best[groups - 2], best[groups - 1]));
    }

    // Among the heads that share the best one's place: padding between other keys has such a place as well.
    size_t lowest_key(const Best& head) const {
        uint64_t lowest = *rest[head.place].keys;
        size_t place = head.place;
        for (size_t i = 0; i < groups * width; ++i) {
            if (ranks[i] != head.rank || *rest[i].keys >= lowest) continue;
            lowest = *rest[i].keys;
            place = i;
        }
        return place;
    }

    void merge(Written& written, size_t k) {
        while (written.places < k) {
            Best head = best_of_all();
            if (head.rank == 0) return;
            if (__builtin_expect(is_shared(head.rank), 0)) head.place = lowest_key(head);
            RankedList& list = rest[head.place];
            written.take(*list.keys++, *list.scores++);
            --list.n;
            ranks[head.place] = next_ranks[head.place];
            next_ranks[head.place] = rank_at(list, 1);
            choose(head.place / width);
        }
    }
};

// Of two lists, what comes next is one comparison. b begins `apart` places behind a, in the same arrays.
inline void merge_two(const RankedList& a, const RankedList& b, size_t apart, Written& written, size_t k) {
    size_t i = 0;
    size_t j = 0;
    while (i < a.n && j < b.n && written.places < k) {
        const float score_a = a.scores[i];
        const float score_b = b.scores[j];
        const bool second = (score_b > score_a) | ((score_b >= score_a) & (b.keys[j] < a.keys[i]));
        const size_t at = chosen(i, j + apart, second);
        written.take(a.keys[at], a.scores[at]);
        i += !second;
        j += second;
    }
    for (; i < a.n && written.places < k; ++i) written.take(a.keys[i], a.scores[i]);
    for (; j < b.n && written.places < k; ++j) written.take(b.keys[j], b.scores[j]);
}

constexpr size_t most_ranked = 16;

// False, and nothing is done, where there are too many lists or one isn't ranked.
bool merge_ranked(const uint64_t* keys, const float* scores, size_t lists, size_t n, Written& written, size_t k) {
    if (lists > most_ranked) return false;
    RankedList ranked[most_ranked];
    for (size_t i = 0; i < lists; ++i, keys += n, scores += n) {
        ranked[i] = {keys, scores, without_padding(keys, n)};
        if (!is_ranked(keys, scores, ranked[i].n)) return false;
    }
    if (lists == 2) {
        merge_two(ranked[0], ranked[1], n, written, k);
    } else if (lists <= 4) {
        Heads<1>(ranked, lists).merge(written, k);
    } else {
        Heads<4>(ranked, lists).merge(written, k);
    }
    return true;
}

void merge_unranked(const uint64_t* keys, const float* scores, size_t candidates, Written& written, size_t k,
                    Candidate* heap) {
    size_t size = 0;
    for (size_t i = 0; i < candidates; ++i) {
        if (keys[i] != padding_key) heap[size++] = {keys[i], scores[i]};
    }
    for (size_t i = size / 2; i-- > 0;) sift_down(heap, size, i);
    while (size > 0 && written.places < k) {
        written.take(heap[0].key, heap[0].score);
        heap[0] = heap[--size];
        if (size > 1) sift_down(heap, size, 0);
    }
}

}  // namespace

size_t merge_table_size(size_t candidates, size_t k) noexcept {
    const size_t most = candidates < k ? candidates : k;
    size_t size = 16;
    while (size < 8 * most) size *= 2;
    return size;
}

bool merge_topk(const uint64_t* keys, const float* scores, size_t lists, size_t n, size_t k, Candidate* heap,
                uint32_t* table, uint64_t* out_keys, float* out_scores) noexcept {
    if (has_nan(scores, lists * n)) return false;
    const size_t table_size = merge_table_size(lists * n, k);
    memset(table, 0, table_size * sizeof *table);
    const auto shift = static_cast<unsigned>(__builtin_clzll(table_size - 1));
    Written written = {table, table_size - 1, shift, out_keys, out_scores};
    if (!merge_ranked(keys, scores, lists, n, written, k)) merge_unranked(keys, scores, lists * n, written, k, heap);
    for (size_t place = written.places; place < k; ++place) {
        out_keys[place] = padding_key;
        out_scores[place] = -__builtin_huge_valf();
    }
    return true;
}

}  // namespace crossfade

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

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): keys counted upwards must not fall into neighbouring slots.
inline uint64_t mix(uint64_t key) {
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return key ^ (key >> 31);
}

// The written keys: a slot holds one more than a place in `keys`, 0 is free.
struct Written {
    uint32_t* table;
    size_t mask;
    const uint64_t* keys;

    // Whether the key wasn't there; if so, it is noted for the given place.
    bool insert(uint64_t key, size_t place) {
        size_t slot = mix(key) & mask;
        for (; table[slot] != 0; slot = (slot + 1) & mask) {
            if (keys[table[slot] - 1] == key) return false;
        }
        table[slot] = static_cast<uint32_t>(place + 1);
        return true;
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

// Puts the head of a ranked list, or all of another, behind the `size` candidates of the heap; returns the new size.
inline size_t enter(const uint64_t* keys, const float* scores, size_t begin, size_t n, Candidate* heap, size_t size) {
    const bool ranked = is_ranked(keys + begin, scores + begin, n);
    const size_t heads = ranked && n > 0 ? 1 : n;
    const auto left = static_cast<uint32_t>(n - heads);
    for (size_t i = begin; i < begin + heads; ++i) heap[size++] = {keys[i], scores[i], static_cast<uint32_t>(i), left};
    return size;
}

}  // namespace

size_t merge_table_size(size_t candidates, size_t k) noexcept {
    const size_t most = candidates < k ? candidates : k;
    size_t size = 16;
    while (size < 2 * most) size *= 2;
    return size;
}

bool merge_topk(const uint64_t* keys, const float* scores, size_t lists, size_t n, size_t k, Candidate* heap,
                uint32_t* table, uint64_t* out_keys, float* out_scores) noexcept {
    if (has_nan(scores, lists * n)) return false;
    size_t size = 0;
    for (size_t list = 0; list < lists; ++list) {
        size = enter(keys, scores, list * n, without_padding(keys + list * n, n), heap, size);
    }
    for (size_t i = size / 2; i-- > 0;) sift_down(heap, size, i);

    const size_t table_size = merge_table_size(lists * n, k);
    memset(table, 0, table_size * sizeof *table);
    Written written = {table, table_size - 1, out_keys};
    size_t place = 0;
    while (size > 0 && place < k) {
        const Candidate best = heap[0];
        if (best.left > 0) {
            const uint32_t next = best.at + 1;
            heap[0] = {keys[next], scores[next], next, best.left - 1};
        } else {
            heap[0] = heap[--size];
        }
        if (size > 1) sift_down(heap, size, 0);
        out_keys[place] = best.key;
        out_scores[place] = best.score;
        place += best.key != padding_key && written.insert(best.key, place);
    }
    for (; place < k; ++place) {
        out_keys[place] = padding_key;
        out_scores[place] = -__builtin_huge_valf();
    }
    return true;
}

}  // namespace crossfade

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

}  // namespace

size_t merge_table_size(size_t candidates, size_t k) noexcept {
    const size_t most = candidates < k ? candidates : k;
    size_t size = 16;
    while (size < 2 * most) size *= 2;
    return size;
}

void merge_topk(const uint64_t* keys, const float* scores, size_t candidates, size_t k, Candidate* heap, uint32_t* table,
                uint64_t* out_keys, float* out_scores) noexcept {
    size_t size = 0;
    for (size_t i = 0; i < candidates; ++i) {
        if (keys[i] != padding_key) heap[size++] = {keys[i], scores[i]};
    }
    for (size_t i = size / 2; i-- > 0;) sift_down(heap, size, i);

    const size_t table_size = merge_table_size(candidates, k);
    memset(table, 0, table_size * sizeof *table);
    Written written = {table, table_size - 1, out_keys};
    size_t place = 0;
    while (size > 0 && place < k) {
        const Candidate best = heap[0];
        heap[0] = heap[--size];
        if (size > 0) sift_down(heap, size, 0);
        if (!written.insert(best.key, place)) continue;
        out_keys[place] = best.key;
        out_scores[place++] = best.score;
    }
    for (; place < k; ++place) {
        out_keys[place] = padding_key;
        out_scores[place] = -__builtin_huge_valf();
    }
}

}  // namespace crossfade

// The k best of many candidates, each key once.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace crossfade {

constexpr uint64_t padding_key = UINT64_MAX;

struct Candidate {
    uint64_t key;
    float score;
};

// Slots of the table that merge_topk needs: a power of two, at most half of it in use.
size_t merge_table_size(size_t candidates, size_t k) noexcept;

// Takes `candidates` keys with their scores, in any order; padding keys are skipped, with whatever score.
// Writes k places: score descending, then key ascending; a key that comes several times is written once, with its
// highest score; places left over get padding_key and minus infinity.
//   heap: scratch for `candidates` entries. table: scratch of `merge_table_size` entries. Outputs must not overlap inputs.
//   Scores must not be NaN (the order would be undefined, memory stays safe); infinities are ordinary scores.
//   At most 2^32 - 2 places are filled. No memory is allocated, nothing throws, no state.
void merge_topk(const uint64_t* keys, const float* scores, size_t candidates, size_t k, Candidate* heap, uint32_t* table,
                uint64_t* out_keys, float* out_scores) noexcept;

}  // namespace crossfade

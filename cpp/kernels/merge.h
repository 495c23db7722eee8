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

// Slots of the table that merge_topk needs: a power of two, at most an eighth of it in use.
size_t merge_table_size(size_t candidates, size_t k) noexcept;

// Takes `lists` lists of n keys with their scores, list after list; padding keys are skipped, with whatever score.
// Any order is right; up to 16 lists that are ranked (score descending, then key ascending) cost only what is taken.
// Writes k places: score descending, then key ascending; a key that comes several times is written once, with its
// highest score; places left over get padding_key and minus infinity.
// False, and the outputs are unspecified, where a score is NaN; infinities are ordinary scores.
//   heap: scratch for lists · n entries. table: scratch of `merge_table_size` entries.
//   Outputs must not overlap inputs. At most 2^32 - 2 places are filled. No memory is allocated, nothing throws, no state.
bool merge_topk(const uint64_t* keys, const float* scores, size_t lists, size_t n, size_t k, Candidate* heap,
                uint32_t* table, uint64_t* out_keys, float* out_scores) noexcept;

}  // namespace crossfade

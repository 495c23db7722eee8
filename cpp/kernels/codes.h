// Codes of rows, one bit a value: whether it is above the mean of its column. Rows alike have codes alike.
//
// No memory is allocated (scratch comes from the caller), nothing throws, no state.
#pragma once

#include "hamming.h"

namespace crossfade {

struct Codes {
    const uint64_t* bits;  // n codes in blocks of codes_abreast; what follows the last one counts for nothing
    size_t n;              // below 2^31
    size_t words;          // of a code
};

struct CodeMet {
    uint32_t distance;
    uint32_t node;
};

struct CodesScratch {
    CodeMet* met;      // (codes_met_size)
    uint32_t* counts;  // (codes_counts_size)
};

size_t codes_met_size(size_t count) noexcept;
static inline size_t codes_counts_size(size_t words) { return 64 * words + 1; }

// Writes to the front of scratch.met which codes differ from a query's in the fewest bits, at most `count` ≥ 1, in no
// order; gives how many. Of equally many bits the first ones count.
size_t nearest_codes(const Codes& codes, Hamming* hamming, const uint64_t* code, size_t count,
                     const CodesScratch& scratch) noexcept;

}  // namespace crossfade

#include "codes.h"

#include <string.h>

namespace crossfade {
namespace {

constexpr size_t codes_at_once = 256;
// So many times as many as are wanted are collected before the others are let go of, for which all are looked at.
constexpr size_t collected = 4;

// Keeps the least of those that were met, in their order; gives below which distance another one is among them.
uint32_t keep_least(const CodesScratch& scratch, size_t words, size_t count, size_t* met) {
    if (*met < count) return UINT32_MAX;
    memset(scratch.counts, 0, codes_counts_size(words) * sizeof *scratch.counts);
    for (size_t i = 0; i < *met; ++i) ++scratch.counts[scratch.met[i].distance];
    size_t least = 0;
    uint32_t bound = 0;
    for (; least + scratch.counts[bound] < count; ++bound) least += scratch.counts[bound];
    size_t equal = count - least;
    size_t kept = 0;
    for (size_t i = 0; i < *met; ++i) {
        const CodeMet one = scratch.met[i];
        if (one.distance > bound || (one.distance == bound && equal == 0)) continue;
        equal -= one.distance == bound;
        scratch.met[kept++] = one;
    }
    *met = kept;
    return bound;
}

// For most codes there is nothing else to do.
inline bool any_below(const uint32_t* distances, uint32_t bound) {
    uint32_t some = 0;
    for (size_t i = 0; i < codes_abreast; ++i) some |= static_cast<uint32_t>(distances[i] < bound);
    return some != 0;
}

}  // namespace

size_t codes_met_size(size_t count) noexcept { return collected * count + codes_at_once; }

size_t nearest_codes(const Codes& codes, Hamming* hamming, const uint64_t* code, size_t count,
                     const CodesScratch& scratch) noexcept {
    uint32_t distances[codes_at_once];
    uint32_t bound = UINT32_MAX;
    size_t met = 0;
    for (size_t start = 0; start < codes.n; start += codes_at_once) {
        const size_t part = codes.n - start < codes_at_once ? codes.n - start : codes_at_once;
        const size_t blocks = (part + codes_abreast - 1) / codes_abreast;
        hamming(codes.bits + start * codes.words, blocks, codes.words, code, distances);
        for (size_t first = 0; first < part; first += codes_abreast) {
            if (!any_below(distances + first, bound)) continue;
            const size_t end = part - first < codes_abreast ? part : first + codes_abreast;
            for (size_t i = first; i < end; ++i) {
                scratch.met[met] = {distances[i], static_cast<uint32_t>(start + i)};
                met += distances[i] < bound;
            }
        }
        if (met > collected * count) bound = keep_least(scratch, codes.words, count, &met);
    }
    keep_least(scratch, codes.words, count, &met);
    return met;
}

}  // namespace crossfade

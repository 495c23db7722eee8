// The rows of a graph that are nearest to a query: a best-first walk along its links (HNSW: Malkov and Yashunin 2018,
// algorithms 2 and 5), over a file as usearch writes it.
//
// Where rows have codes, a walk begins at those whose codes are most like the query's, besides the one row that the upper
// levels lead to: what no link leads to from there is met too.
//
// A walk mostly waits for rows that no cache holds. So all rows that a node leads to are scored at once, those that come
// next being asked for meanwhile, and so is the node that will probably be looked at next. Files are not trusted: a link or
// a node beyond their end is noticed. No memory is allocated (scratch comes from the caller), nothing throws, no state.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "codes.h"
#include "rescore.h"

namespace crossfade {

constexpr size_t most_links = 1 << 10;

// A node is a record: its key (8 bytes), the number of its highest level (2), and for each level from the lowest, 0, on how
// many links it has (4) and room for so many (4 each), which are places of nodes; all little-endian.
struct Graph {
    const void* rows;  // of n nodes, d elements each, `stride` elements apart
    ptrdiff_t stride;
    size_t n;  // at least 1, below 2^31
    size_t d;
    size_t item;             // bytes of an element
    const uint8_t* records;  // one after the other
    size_t record_bytes;     // of all of them
    const uint32_t* before;  // (n) levels above the lowest that all nodes before a node have together
    size_t lowest_links;     // room for links in the lowest level, and in each of the others; at most most_links
    size_t links;
    size_t top;    // the highest level
    size_t entry;  // the node where a walk begins, below n
};

struct Met {
    float score;
    uint32_t mark;  // the node, and the highest bit until its links are looked at
};

struct WalkScratch {
    uint64_t* seen;  // (walk_seen_size) one bit a node
    Met* best;       // (expansion)
    int64_t* nodes;  // (most_links)
    float* scores;   // (most_links)
    CodesScratch codes;
};

// The codes of a graph's nodes and a query's; no bits where there are none.
struct CodesAsked {
    Codes codes;
    Hamming* hamming;
    const uint64_t* code;
};

// A bit a value tells rows apart roughly: a walk for `count` of n nodes begins at so many.
constexpr size_t oversampling = 8;
static inline size_t codes_wanted(size_t n, size_t count) { return n / oversampling < count ? n : oversampling * count; }

static inline size_t walk_seen_size(size_t n) { return (n + 63) / 64; }

// Writes the keys of the nearest nodes that were met, at most `count`, by score descending; gives how many, or -1 where the
// graph leads out of itself.
//   rescore: for the rows' elements.
//   expansion: how many of the best are kept meanwhile, at least 1 and `count`.
ptrdiff_t walk(const Graph& graph, Rescore* rescore, const CodesAsked& asked, const float* query, size_t count,
               size_t expansion, const WalkScratch& scratch, uint64_t* keys) noexcept;

}  // namespace crossfade

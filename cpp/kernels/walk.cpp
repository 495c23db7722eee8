#include "walk.h"

#include <string.h>

namespace crossfade {
namespace {

constexpr size_t head_bytes = 8 + 2;  // key and level
// Asked for while links are read; the others by rescore.
constexpr size_t first_rows = 4;
constexpr uint32_t to_be_opened = 1u << 31;

// Places of a level: a number, and room for links.
inline size_t level_bytes(size_t links) { return sizeof(uint32_t) * (1 + links); }

inline uint32_t number_at(const uint8_t* bytes) {
    uint32_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

class Walk {
public:
    Walk(const Graph& graph, Rescore* rescore, const float* query, const WalkScratch& scratch)
        : graph_(graph), rescore_(rescore), query_(query), scratch_(scratch) {
        memset(scratch_.seen, 0, walk_seen_size(graph_.n) * sizeof(uint64_t));
    }

    // Begins at a node nearby, along the links of the upper levels. False where the graph leads out of itself.
    bool descend(size_t expansion) {
        scratch_.nodes[0] = static_cast<int64_t>(graph_.entry);
        score(1);
        size_t nearest = graph_.entry;
        float best = scratch_.scores[0];
        for (size_t level = graph_.top; level > 0; --level) {
            for (bool nearer = true; nearer;) {
                const Links links = links_of(nearest, level);
                if (!links.first || !take(links)) return false;
                nearer = false;
                for (size_t i = 0; i < links.count; ++i) {
                    if (!(scratch_.scores[i] > best)) continue;
                    best = scratch_.scores[i];
                    nearest = static_cast<size_t>(scratch_.nodes[i]);
                    nearer = true;
                }
            }
        }
        if (see(nearest)) return true;
        insert(best == best ? best : -__builtin_inff(), static_cast<int64_t>(nearest), expansion);  // NaN leads on as well
        return true;
    }

    // Begins at the nodes whose codes are most like the query's.
    void begin_alike(const CodesAsked& asked, size_t count, size_t expansion) {
        const CodesScratch& scratch = scratch_.codes;
        const size_t alike = nearest_codes(asked.codes, asked.hamming, asked.code, codes_wanted(graph_.n, count), scratch);
        for (size_t start = 0; start < alike; start += most_links) {
            const size_t part = alike - start < most_links ? alike - start : most_links;
            for (size_t i = 0; i < part; ++i) {
                see(scratch.met[start + i].node);
                scratch_.nodes[i] = scratch.met[start + i].node;
            }
            score(part);
            for (size_t i = 0; i < part; ++i) insert(scratch_.scores[i], scratch_.nodes[i], expansion);
        }
    }

    // Looks at the links of the best nodes in the lowest level, until those of all `expansion` best were looked at.
    bool widen(size_t expansion) {
        for (size_t at = 0; at < met_;) {
            if (!(scratch_.best[at].mark & to_be_opened)) {
                ++at;
                continue;
            }
            scratch_.best[at].mark &= ~to_be_opened;
            const Links links = links_of(node_at(at), 0);
            if (at + 1 < met_) prefetch_links(node_at(at + 1));
            size_t fresh = 0;
            if (!links.first || !take_unseen(links, &fresh)) return false;
            for (size_t i = 0; i < fresh; ++i) {
                const size_t place = insert(scratch_.scores[i], scratch_.nodes[i], expansion);
                if (place < at) at = place;
            }
        }
        return true;
    }

    size_t write(size_t count, uint64_t* keys) const {
        size_t written = 0;
        for (; written < count && written < met_; ++written) {
            memcpy(keys + written, graph_.records + record_of(node_at(written)), sizeof *keys);
        }
        return written;
    }

private:
    struct Links {
        const uint8_t* first;  // null where there is no such level in the file
        size_t count;
    };

    size_t node_at(size_t place) const { return scratch_.best[place].mark & ~to_be_opened; }

    size_t record_of(size_t node) const {
        return node * (head_bytes + level_bytes(graph_.lowest_links)) + graph_.before[node] * level_bytes(graph_.links);
    }

    Links links_of(size_t node, size_t level) const {
        const size_t room = level ? graph_.links : graph_.lowest_links;
        const size_t upper = level ? level_bytes(graph_.lowest_links) + (level - 1) * level_bytes(graph_.links) : 0;
        const size_t start = record_of(node) + head_bytes + upper;
        if (start + level_bytes(room) > graph_.record_bytes) return {nullptr, 0};
        const uint8_t* level_at = graph_.records + start;
        const size_t count = number_at(level_at);
        return {count <= room ? level_at + sizeof(uint32_t) : nullptr, count};
    }

    bool take(const Links& links) {
        for (size_t i = 0; i < links.count; ++i) {
            const uint32_t node = number_at(links.first + i * sizeof node);
            if (node >= graph_.n) return false;
            scratch_.nodes[i] = node;
            if (i < first_rows) prefetch_row(node);
        }
        score(links.count);
        return true;
    }

    bool take_unseen(const Links& links, size_t* fresh) {
        size_t count = 0;
        for (size_t i = 0; i < links.count; ++i) {
            const uint32_t node = number_at(links.first + i * sizeof node);
            if (node >= graph_.n) return false;
            if (see(node)) continue;
            if (count < first_rows) prefetch_row(node);
            scratch_.nodes[count++] = node;
        }
        score(count);
        *fresh = count;
        return true;
    }

    void score(size_t count) {
        rescore_(graph_.rows, graph_.stride, scratch_.nodes, count, query_, 1, 0, graph_.d, scratch_.scores, 0);
    }

    // Whether it was seen before.
    bool see(size_t node) {
        const uint64_t bit = uint64_t{1} << (node & 63);
        uint64_t& word = scratch_.seen[node >> 6];
        const bool before = (word & bit) != 0;
        word |= bit;
        return before;
    }

    // Where a node stands among the best now; `expansion` where it is none of them, as one is not whose score is NaN.
    size_t insert(float score, int64_t node, size_t expansion) {
        Met* best = scratch_.best;
        if (score != score || (met_ == expansion && !(score > best[met_ - 1].score))) return expansion;
        size_t low = 0;
        for (size_t high = met_; low < high;) {
            const size_t middle = (low + high) / 2;
            (best[middle].score >= score ? low : high) = middle + (best[middle].score >= score);
        }
        if (met_ < expansion) ++met_;
        memmove(best + low + 1, best + low, (met_ - 1 - low) * sizeof *best);
        best[low] = {score, static_cast<uint32_t>(node) | to_be_opened};
        return low;
    }

    void prefetch_row(size_t node) const {
        const ptrdiff_t elements = static_cast<ptrdiff_t>(node) * graph_.stride;
        prefetch(static_cast<const char*>(graph_.rows) + elements * static_cast<ptrdiff_t>(graph_.item),
                 graph_.d * graph_.item);
    }

    void prefetch_links(size_t node) const {
        prefetch(graph_.records + record_of(node), head_bytes + level_bytes(graph_.lowest_links));
    }

    template <typename Byte>
    static void prefetch(const Byte* memory, size_t bytes) {
        for (size_t i = 0; i < bytes; i += cache_line) __builtin_prefetch(memory + i);
    }

    const Graph& graph_;
    Rescore* rescore_;
    const float* query_;
    const WalkScratch& scratch_;
    size_t met_ = 0;
};

}  // namespace

ptrdiff_t walk(const Graph& graph, Rescore* rescore, const CodesAsked& asked, const float* query, size_t count,
               size_t expansion, const WalkScratch& scratch, uint64_t* keys) noexcept {
    Walk walking(graph, rescore, query, scratch);
    if (asked.codes.bits) walking.begin_alike(asked, count, expansion);
    if (!walking.descend(expansion) || !walking.widen(expansion)) return -1;
    return static_cast<ptrdiff_t>(walking.write(count, keys));
}

}  // namespace crossfade

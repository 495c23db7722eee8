// Searches of a graph that stands in a mapped file.
#pragma once

#include <algorithm>
#include <tuple>

#include "../kernels/walk.h"
#include "candidates.h"

namespace crossfade::bindings {

// Of a code: what counts their bits is kept on them.
constexpr std::size_t most_words = 1 << 16;

// A graph of rows (n, d): records (bytes,), before (n,) uint32, and shape (lowest_links, links, top, entry).
inline Graph graph_of(const Rows& rows, const py::object& records_object, const py::object& before_object,
                      const py::tuple& shape) {
    require(rows.n >= 1 && rows.n < std::size_t{1} << 31, "a graph must have 1 to 2^31 - 1 rows");
    const py::array records = array_of(records_object);
    require(records.ndim() == 1 && records.dtype().kind() == 'u' && records.itemsize() == 1 && records.strides(0) == 1,
            "records must be bytes");
    const py::array before = array_of(before_object);
    require(before.ndim() == 1 && before.dtype().kind() == 'u' && before.itemsize() == 4 && before.strides(0) == 4 &&
                static_cast<std::size_t>(before.shape(0)) == rows.n,
            "before must be one uint32 for each row");
    require(shape.size() == 4, "a graph's shape must be four numbers");
    std::size_t numbers[4];
    for (std::size_t i = 0; i < 4; ++i) {
        const std::int64_t number = whole(shape[i]);
        require(number >= 0, "a graph's shape must not be negative");
        numbers[i] = static_cast<std::size_t>(number);
    }
    const auto [lowest_links, links, top, entry] = numbers;
    require(lowest_links <= most_links && links <= most_links && top < most_links && entry < rows.n,
            "a graph's shape is out of range");
    return {rows.data,
            rows.stride,
            rows.n,
            rows.d,
            rows.item,
            static_cast<const std::uint8_t*>(records.data()),
            static_cast<std::size_t>(records.shape(0)),
            static_cast<const std::uint32_t*>(before.data()),
            lowest_links,
            links,
            top,
            entry};
}

struct GivenCodes {
    Codes rows;
    const std::uint64_t* queries;  // (q, words)
};

// Codes of n rows, uint64 (⌈n / codes_abreast⌉, words, codes_abreast), and of q queries, uint64 (q, words); or None.
inline GivenCodes codes_of(const py::object& rows_object, const py::object& queries_object, std::size_t n, std::size_t q) {
    if (rows_object.is_none()) return {};
    const py::array rows = array_of(rows_object);
    const py::array queries = array_of(queries_object);
    require(dtype_of(rows) == Dtype::uint64 && dtype_of(queries) == Dtype::uint64 && rows.ndim() == 3 &&
                queries.ndim() == 2 && (rows.flags() & queries.flags() & py::array::c_style) != 0,
            "codes must be contiguous uint64");
    const auto words = static_cast<std::size_t>(rows.shape(1));
    require(words >= 1 && words <= most_words &&
                static_cast<std::size_t>(rows.shape(0)) == (n + codes_abreast - 1) / codes_abreast &&
                static_cast<std::size_t>(rows.shape(2)) == codes_abreast,
            "there must be a code for each row");
    require(static_cast<std::size_t>(queries.shape(0)) == q && static_cast<std::size_t>(queries.shape(1)) == words,
            "codes of queries must be as wide as those of rows");
    return {{static_cast<const std::uint64_t*>(rows.data()), n, words}, static_cast<const std::uint64_t*>(queries.data())};
}

// Keys (q, count) of the nearest rows that were met, 2⁶⁴−1 behind the last; and whether no link led out of the graph.
inline std::tuple<py::array, bool> walk_graph(const py::object& rows_object, const py::object& records,
                                              const py::object& before, const py::tuple& shape, const py::object& row_codes,
                                              const py::object& queries_object, const py::object& query_codes,
                                              const py::object& places_wanted, const py::object& kept) {
    const Rows rows = matrix(element_rows_of(rows_object));
    const Rows queries = matrix(rows_of(queries_object, Dtype::float32));
    require(queries.d == rows.d && rows.d > 0, "queries must have the columns of the rows");
    const Graph graph = graph_of(rows, records, before, shape);
    const GivenCodes codes = codes_of(row_codes, query_codes, rows.n, queries.n);
    const std::size_t count = count_of(places_wanted, most_places);
    const std::size_t expansion = std::max(count, count_of(kept, most_places));
    py::array_t<std::uint64_t> keys({static_cast<py::ssize_t>(queries.n), static_cast<py::ssize_t>(count)});
    std::uint64_t* const out = keys.mutable_data();
    std::fill(out, out + queries.n * count, padding_key);
    bool sound = true;
    {
        const py::gil_scoped_release released;
        const auto seen = scratch_of<std::uint64_t>(walk_seen_size(rows.n));
        const auto best = scratch_of<Met>(expansion);
        const auto nodes = scratch_of<std::int64_t>(most_links);
        const auto scores = scratch_of<float>(most_links);
        const auto met = scratch_of<CodeMet>(codes.rows.bits ? codes_met_size(codes_wanted(rows.n, count)) : 0);
        const auto counts = scratch_of<std::uint32_t>(codes_counts_size(codes.rows.words));
        const WalkScratch scratch{seen.get(), best.get(), nodes.get(), scores.get(), {met.get(), counts.get()}};
        Hamming* const hamming = active_kernels().hamming;
        Rescore* const rescore = active_kernels().rescore[rows.element()];
        for (std::size_t i = 0; i < queries.n && sound; ++i) {
            const CodesAsked wanted{codes.rows, hamming, codes.queries + i * codes.rows.words};
            sound = walk(graph, rescore, wanted, queries.as<float>(i), count, expansion, scratch, out + i * count) >= 0;
        }
    }
    return {keys, sound};
}

}  // namespace crossfade::bindings

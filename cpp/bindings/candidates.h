// What a search asks of the rows of a version, in one call: scores of keys, and the best of what its indices propose.
#pragma once

#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "../kernels/dispatch.h"
#include "../kernels/merge.h"
#include "lookup.h"
#include "scratch.h"

namespace crossfade::bindings {

// Multiply-adds from which the GIL is released: some 20 µs, below which giving it up and taking it back costs too much.
constexpr double work_without_gil = 1 << 19;

template <typename Function>
void without_gil(double work, const Function& function) {
    if (work < work_without_gil) return function();
    const py::gil_scoped_release released;
    function();
}

constexpr std::size_t most_places = 1 << 24;

inline py::tuple pair_of(py::handle object) {
    require(py::isinstance<py::tuple>(object) && py::len(object) == 2, "an entry must be a tuple of two");
    return py::reinterpret_borrow<py::tuple>(object);
}

// The files of a version, as (number, rows) each.
class Files {
public:
    explicit Files(const py::sequence& files) {
        for (const py::handle entry : files) {
            const py::tuple pair = pair_of(entry);
            files_.push_back({whole(pair[0]), matrix(element_rows_of(pair[1]))});
        }
    }

    Files(const py::sequence& files, const Rows& queries) : Files(files) {
        for (const File& file : files_) require(file.rows.d == queries.d, "rows must have the columns of the query");
    }

    // The place of a file that holds the key's row, or one behind the last.
    std::size_t holder(const Places::Place& place) const {
        std::size_t at = 0;
        while (at < files_.size() && !holds(files_[at], place)) ++at;
        return at;
    }

    std::size_t size() const { return files_.size(); }
    const Rows& rows(std::size_t at) const { return files_[at].rows; }

private:
    struct File {
        std::int64_t number;
        Rows rows;
    };

    static bool holds(const File& file, const Places::Place& place) {
        return file.number == place.file && static_cast<std::uint64_t>(place.row) < file.rows.n;
    }

    std::vector<File> files_;
};

// Rows of several files that are scored together, and whose places in the result they are.
class Gathered {
public:
    explicit Gathered(const Files& files) : files_(files), rows_(files.size()), targets_(files.size()) {}

    // Whether there is such a row; then it is scored into `target`.
    bool add(const Places& places, std::uint64_t key, std::size_t target) {
        const Places::Place place = places.of(key);
        const std::size_t at = files_.holder(place);
        if (at == files_.size()) return false;
        rows_[at].push_back(place.row);
        targets_[at].push_back(target);
        return true;
    }

    // out[j * stride + target] for query j.
    void score(const Rows& queries, float* out, std::size_t stride) const {
        std::vector<float> scores;
        for (std::size_t at = 0; at < files_.size(); ++at) {
            const std::size_t m = rows_[at].size();
            const Rows& rows = files_.rows(at);
            scores.resize(m * queries.n);
            active_kernels().rescore[rows.element()](rows.data, rows.stride, rows_[at].data(), m, queries.as<float>(),
                                                     queries.n, queries.stride, queries.d, scores.data(),
                                                     static_cast<std::ptrdiff_t>(m));
            for (std::size_t j = 0; j < queries.n; ++j) {
                for (std::size_t i = 0; i < m; ++i) out[j * stride + targets_[at][i]] = scores[j * m + i];
            }
        }
    }

private:
    const Files& files_;
    std::vector<std::vector<std::int64_t>> rows_;
    std::vector<std::vector<std::size_t>> targets_;
};

// Whether there is a row for each of the keys.
inline py::array has(const py::tuple& tables, const py::sequence& files_object, const py::object& keys_object) {
    const Places places(tables);
    const Files files(files_object);
    const Rows keys = keys_of(keys_object);
    py::array_t<bool> there(static_cast<py::ssize_t>(keys.d));
    bool* const out = there.mutable_data();
    for (std::size_t i = 0; i < keys.d; ++i) out[i] = files.holder(places.of(keys.as<std::uint64_t>()[i])) < files.size();
    return there;
}

// Copies the rows of keys to `out`, zeros for a key without one; the place of the first of these, or -1.
inline std::int64_t gather(const py::tuple& tables, const py::sequence& files_object, const py::object& keys_object,
                           const py::object& out_object) {
    const Places places(tables);
    const Files files(files_object);
    const Rows keys = keys_of(keys_object);
    const Rows out = matrix(output_rows(out_object));
    require(out.n == keys.d, "out must have a row for each key");
    std::int64_t absent = -1;
    for (std::size_t i = 0; i < keys.d; ++i) {
        const Places::Place place = places.of(keys.as<std::uint64_t>()[i]);
        const std::size_t at = files.holder(place);
        if (at < files.size()) {
            const Rows& rows = files.rows(at);
            require(rows.d == out.d && rows.dtype == out.dtype, "out must be like the rows");
            std::memcpy(out.at(i), rows.at(static_cast<std::size_t>(place.row)), rows.d * rows.item);
        } else {
            std::memset(out.at(i), 0, out.d * out.item);
            if (absent < 0) absent = static_cast<std::int64_t>(i);
        }
    }
    return absent;
}

// Scores (q, m) of the rows of keys, NaN where a key has none; and whether all others are finite.
inline std::tuple<py::array, bool> score(const py::tuple& tables, const py::sequence& files_object,
                                         const py::object& keys_object, const py::object& queries_object) {
    const Places places(tables);
    const Rows queries = matrix(rows_of(queries_object, Dtype::float32));
    const Files files(files_object, queries);
    const Rows keys = keys_of(keys_object);
    py::array_t<float> scores({static_cast<py::ssize_t>(queries.n), static_cast<py::ssize_t>(keys.d)});
    float* const out = scores.mutable_data();
    Gathered gathered(files);
    std::size_t found = 0;
    for (std::size_t i = 0; i < keys.d; ++i) {
        if (gathered.add(places, keys.as<std::uint64_t>()[i], i)) {
            ++found;
        } else {
            for (std::size_t j = 0; j < queries.n; ++j) out[j * keys.d + i] = NAN;
        }
    }
    std::size_t finite = 0;
    without_gil(static_cast<double>(found) * static_cast<double>(queries.n * queries.d), [&] {
        gathered.score(queries, out, keys.d);
        for (std::size_t i = 0; i < queries.n * keys.d; ++i) finite += std::isfinite(out[i]);
    });
    return {scores, finite == found * queries.n};
}

// One query's candidates as they come together: keys and scores.
struct Pile {
    std::vector<std::uint64_t> keys;
    std::vector<float> scores;

    std::size_t add(std::uint64_t key, float score = 0.0f) {
        keys.push_back(key);
        scores.push_back(score);
        return keys.size() - 1;
    }
};

// Rows that lie beside each other with their keys: all are scored, and the admitted ones piled up.
inline void scan(const Rows& rows, const Rows& keys, const Mask& dead, const Mask& allowed, const Rows& query, Pile& pile) {
    std::vector<float> scores(rows.n);
    active_kernels().rescore[rows.element()](rows.data, rows.stride, nullptr, rows.n, query.as<float>(), 1, query.d, query.d,
                                             scores.data(), 0);
    for (std::size_t i = 0; i < rows.n; ++i) {
        const std::uint64_t key = keys.as<std::uint64_t>()[i];
        if (admits(key, dead, allowed)) pile.add(key, scores[i]);
    }
}

// The `count` best of one query: of candidates that are scored already, of lists of proposed keys, which are scored by their
// rows, and of rows that are scanned, as (rows, keys) each. Beside their keys and scores: how many keys of each list were
// admitted and have a row, the least of their scores, and whether all scores are finite.
inline std::tuple<py::array, py::array, std::vector<std::size_t>, std::vector<float>, bool> rank(
    const py::tuple& tables, const py::sequence& files_object, const py::object& query_object, const py::tuple& scored,
    const py::sequence& lists, const py::sequence& tail, const py::object& dead_object, const py::object& allowed_object,
    const py::object& places_wanted) {
    const Places places(tables);
    const Mask dead = mask_of(dead_object);
    const Mask allowed = mask_of(allowed_object);
    const std::size_t count = count_of(places_wanted, most_places);
    const Rows query = rows_of(query_object, Dtype::float32);
    require(query.single, "the query must be a vector");
    const Files files(files_object, query);
    Pile pile;
    require(scored.size() == 2, "keys and scores must be two");
    const Rows scored_keys = keys_of(scored[0]);
    const Rows scores = optional_vector(scored[1], Dtype::float32, scored_keys.d);
    for (std::size_t i = 0; i < scored_keys.d; ++i) pile.add(scored_keys.as<std::uint64_t>()[i], scores.as<float>()[i]);
    const std::size_t before = pile.keys.size();

    Gathered gathered(files);
    std::vector<std::size_t> ends;
    for (const py::handle list : lists) {
        const Rows keys = keys_of(list);
        for (std::size_t i = 0; i < keys.d; ++i) {
            const std::uint64_t key = keys.as<std::uint64_t>()[i];
            if (admits(key, dead, allowed) && gathered.add(places, key, pile.keys.size())) pile.add(key);
        }
        ends.push_back(pile.keys.size());
    }
    std::vector<std::pair<Rows, Rows>> scans;
    std::size_t to_score = pile.keys.size();
    for (const py::handle entry : tail) {
        const py::tuple pair = pair_of(entry);
        scans.emplace_back(matrix(element_rows_of(pair[0])), keys_of(pair[1]));
        require(scans.back().first.d == query.d && scans.back().first.n == scans.back().second.d, "each row needs a key");
        to_score += scans.back().first.n;
    }

    std::vector<std::size_t> kept;
    std::vector<float> least;
    py::array_t<std::uint64_t> best_keys(static_cast<py::ssize_t>(count));
    py::array_t<float> best_scores(static_cast<py::ssize_t>(count));
    std::uint64_t* const out_keys = best_keys.mutable_data();
    float* const out_scores = best_scores.mutable_data();
    bool finite = true;
    without_gil(static_cast<double>(to_score) * static_cast<double>(query.d), [&] {
        gathered.score(query, pile.scores.data(), 0);
        std::size_t begin = before;
        for (const std::size_t end : ends) {
            kept.push_back(end - begin);
            least.push_back(INFINITY);
            for (; begin < end; ++begin) least.back() = std::min(least.back(), pile.scores[begin]);
        }
        for (const auto& [rows, keys] : scans) scan(rows, keys, dead, allowed, query, pile);
        const std::size_t n = pile.keys.size();
        for (std::size_t i = before; i < n; ++i) finite = finite && std::isfinite(pile.scores[i]);
        const auto heap = scratch_of<Candidate>(n);
        const auto table = scratch_of<std::uint32_t>(merge_table_size(n, count));
        finite =
            merge_topk(pile.keys.data(), pile.scores.data(), 1, n, count, heap.get(), table.get(), out_keys, out_scores) &&
            finite;
    });
    return {best_keys, best_scores, kept, least, finite};
}

}  // namespace crossfade::bindings

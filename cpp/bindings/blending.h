// What one query's blend takes, between what two versions have found and the documents: three calls.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <tuple>
#include <vector>

#include "../kernels/blend.h"
#include "../kernels/smooth.h"
#include "candidates.h"

namespace crossfade::bindings {

// The keys of two lists that have none twice: those of the first, then those that only the second has.
inline std::vector<std::uint64_t> united(const Rows& first, const Rows& second) {
    const std::uint64_t* const begin = first.as<std::uint64_t>();
    std::vector<std::uint64_t> keys(begin, begin + first.d);
    std::vector<std::uint64_t> sorted = keys;
    std::sort(sorted.begin(), sorted.end());
    std::copy_if(second.as<std::uint64_t>(), second.as<std::uint64_t>() + second.d, std::back_inserter(keys),
                 [&](std::uint64_t key) { return !std::binary_search(sorted.begin(), sorted.end(), key); });
    return keys;
}

// The keys of both lists, and for each its old score, what the Bridge gives, and its new score. The Bridge gives the old
// row's score for a second query, plus a shift, by the length that is known of the key; it isn't asked where all keys have a
// new row. Beside them the places of the keys whose length isn't known, which are not divided; and whether all scores of
// rows are finite.
//   versions: (tables, files) of the old one and of the new one.
//   queries: (2, d) for old rows and (d2) for new ones.
inline std::tuple<py::array, py::array, std::vector<std::size_t>, bool> compare(
    const py::tuple& old_version, const py::tuple& new_version, const py::object& old_object, const py::object& new_object,
    const py::object& old_queries_object, const py::object& new_query_object, const py::object& lengths_object,
    float shift) {
    const Rows old_queries = matrix(rows_of(old_queries_object, Dtype::float32));
    const Rows new_query = rows_of(new_query_object, Dtype::float32);
    require(old_queries.n == 2 && new_query.single, "there must be two old queries and a new one");
    const Places old_places(pair_of(old_version)[0]);
    const Places new_places(pair_of(new_version)[0]);
    const Files old_files(pair_of(old_version)[1], old_queries);
    const Files new_files(pair_of(new_version)[1], new_query);
    const Rows lengths = rows_of(lengths_object, Dtype::float32);
    require(lengths.single, "lengths must be a vector");

    const std::vector<std::uint64_t> keys = united(keys_of(old_object), keys_of(new_object));
    const std::size_t m = keys.size();
    py::array_t<float> scores({py::ssize_t{3}, static_cast<py::ssize_t>(m)});
    float* const old_scores = scores.mutable_data();
    float* const bridged = old_scores + m;
    float* const new_scores = bridged + m;
    std::fill_n(old_scores, 3 * m, NAN);
    Gathered old_rows(old_files);
    Gathered new_rows(new_files);
    std::size_t with_old = 0;
    std::size_t with_new = 0;
    for (std::size_t i = 0; i < m; ++i) {
        with_old += old_rows.add(old_places, keys[i], i);
        with_new += new_rows.add(new_places, keys[i], i);
    }
    const bool complete = with_new == m;
    Rows asked = old_queries;
    asked.n = complete ? 1 : 2;
    std::size_t finite = 0;
    without_gil(static_cast<double>(with_old * asked.n * asked.d + with_new * new_query.d), [&] {
        old_rows.score(asked, old_scores, m);
        new_rows.score(new_query, new_scores, m);
        for (std::size_t i = 0; i < 3 * m; ++i) finite += std::isfinite(old_scores[i]);
    });
    std::vector<std::size_t> unmeasured;
    for (std::size_t i = 0; i < m && !complete; ++i) {
        if (std::isnan(bridged[i])) continue;
        const float length = keys[i] < lengths.d ? lengths.as<float>()[keys[i]] : 0.0f;
        bridged[i] = (bridged[i] + shift) / (length > 0.0f ? length : 1.0f);
        if (!(length > 0.0f)) unmeasured.push_back(i);
    }
    py::array_t<std::uint64_t> every(static_cast<py::ssize_t>(m));
    std::copy(keys.begin(), keys.end(), every.mutable_data());
    return {every, scores, unmeasured, finite == with_old * asked.n + with_new};
}

inline double number_of(py::handle object) {
    const double number = PyFloat_AsDouble(object.ptr());
    if (number == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        throw py::value_error("a number is needed");
    }
    return number;
}

template <std::size_t count>
std::array<double, count> numbers_of(const py::tuple& object) {
    require(object.size() == count, "a tuple has another size than is needed");
    std::array<double, count> numbers;
    for (std::size_t i = 0; i < count; ++i) numbers[i] = number_of(object[i]);
    return numbers;
}

inline std::size_t count_up_to(double number, std::size_t most) {
    require(number >= 0.0 && number <= static_cast<double>(most) && number == std::floor(number), "a count is out of range");
    return static_cast<std::size_t>(number);
}

inline bool is_share(double number) { return number >= 0.0 && number <= 1.0; }

inline BlendUnits units_of(double mean, double deviation) {
    require(std::isfinite(mean) && deviation > 0.0 && std::isfinite(deviation),
            "a mean must be finite, and its deviation above 0");
    return {mean, deviation};
}

inline BlendModel blend_model_of(const py::tuple& object) {
    const auto [scale, intercept, of_old, of_bridged, variance, shared, common, compared, smoothing, smoothed, offset] =
        numbers_of<11>(object);
    require(scale > 0.0 && std::isfinite(scale + intercept + of_old + of_bridged),
            "the estimate must be finite, its scale above 0");
    require(variance >= 0.0 && common >= 0.0 && std::isfinite(variance + common), "a variance is out of range");
    require(is_share(shared) && is_share(smoothing), "a share must be between 0 and 1");
    require(offset > 0.0 && std::isfinite(offset), "the offset of ranks must be above 0");
    return {scale,
            intercept,
            of_old,
            of_bridged,
            variance,
            {static_cast<float>(shared), static_cast<float>(common)},
            count_up_to(compared, most_kriged),
            count_up_to(smoothed, most_smoothed),
            smoothing,
            offset};
}

inline ComparedRows compared_rows_of(const py::object& rows_object, const py::object& center_object, std::size_t m) {
    if (rows_object.is_none()) return {nullptr, 0, Element::float16, nullptr, m, 0, nullptr};
    const Rows rows = matrix(element_rows_of(rows_object));
    require(rows.n == m, "each candidate needs a row");
    require(rows.dtype == Dtype::float32 || rows.dtype == Dtype::float16, "rows must be float32 or float16");
    const Rows center = optional_vector(center_object, Dtype::float32, rows.d);
    return {rows.data, rows.stride, static_cast<Element>(rows.dtype), nullptr, m, rows.d, center.as<float>()};
}

// Scores (m) and the parts (6, m) they are made of; and whether every candidate could be scored.
inline std::tuple<py::array, py::array, bool> blend_scores(const py::object& old_object, const py::object& new_object,
                                                           const py::object& bridged_object, const py::object& rows_object,
                                                           const py::object& center_object, std::size_t head,
                                                           const py::tuple& units, const py::tuple& model_object,
                                                           bool bounded, double weight) {
    const Rows old_scores = rows_of(old_object, Dtype::float32);
    const std::size_t m = old_scores.d;
    require(old_scores.single && head <= m, "scores must be vectors, head within them");
    const Rows new_scores = optional_vector(new_object, Dtype::float32, m);
    const Rows bridged_scores = optional_vector(bridged_object, Dtype::float32, m);
    require(new_scores.data && bridged_scores.data, "three scores are needed");
    const ComparedRows rows = compared_rows_of(rows_object, center_object, m);
    const auto [old_mean, old_deviation, new_mean, new_deviation, shown_mean, shown_deviation] = numbers_of<6>(units);
    require(is_share(weight), "the weight must be between 0 and 1");
    const BlendQuery query{units_of(old_mean, old_deviation), units_of(new_mean, new_deviation),
                           units_of(shown_mean, shown_deviation), bounded, weight};
    const BlendModel model = blend_model_of(model_object);
    const BlendCandidates candidates{old_scores.as<float>(), new_scores.as<float>(), bridged_scores.as<float>(), m, head};
    const bool unknown =
        std::any_of(candidates.new_scores, candidates.new_scores + m, [](float score) { return std::isnan(score); });
    require(!unknown || rows.data || !(model.errors.shared > 0.0f), "rows are needed where a new score is missing");

    py::array_t<float> scores(static_cast<py::ssize_t>(m));
    py::array_t<double> parts({py::ssize_t{6}, static_cast<py::ssize_t>(m)});
    double* const part = parts.mutable_data();
    const BlendParts out{part, part + m, part + 2 * m, part + 3 * m, part + 4 * m, part + 5 * m, scores.mutable_data()};
    const double known = static_cast<double>(std::min(m, unknown ? model.compared : model.smoothed));
    bool scored = false;
    without_gil(unknown && !(model.errors.shared > 0.0f) ? 0.0 : known * known * static_cast<double>(rows.d), [&] {
        const auto places = scratch_of<std::size_t>(m);
        const auto values = scratch_of<float>(2 * m);
        const auto floats = scratch_of<float>(blend_scratch_size(candidates, rows, model));
        scored = blend(candidates, rows, query, model, out, {places.get(), values.get(), floats.get()});
    });
    return {scores, parts, scored};
}

// The order of blended scores, and what users see.
inline std::tuple<py::array, py::array> order_blended(const py::object& keys_object, const py::object& blended_object,
                                                      const py::object& own_object) {
    const Rows keys = keys_of(keys_object);
    const Rows blended = optional_vector(blended_object, Dtype::float32, keys.d);
    const Rows own = optional_vector(own_object, Dtype::float32, keys.d);
    require(blended.data && own.data, "scores are needed");
    const float* const scores = blended.as<float>();
    require(std::none_of(scores, scores + keys.d, [](float score) { return std::isnan(score); }), "a blended score is NaN");
    py::array_t<std::int64_t> order(static_cast<py::ssize_t>(keys.d));
    py::array_t<float> shown(static_cast<py::ssize_t>(keys.d));
    rank_blended(keys.as<std::uint64_t>(), scores, own.as<float>(), keys.d, order.mutable_data(), shown.mutable_data());
    return {order, shown};
}

}  // namespace crossfade::bindings

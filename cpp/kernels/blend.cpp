#include "blend.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "dispatch.h"
#include "smooth.h"

namespace crossfade {
namespace {

inline bool is_missing(double score) { return score != score; }

inline double in_units(float score, BlendUnits units) { return (static_cast<double>(score) - units.mean) / units.deviation; }

// The places of the `count` with most evidence, best first where those are not all, and behind them those of the others.
void best_first(const double* evidence, size_t m, size_t count, size_t* places) {
    std::iota(places, places + m, size_t{0});
    if (count == m) return;
    std::partial_sort(places, places + count, places + m, [=](size_t a, size_t b) {
        return evidence[a] > evidence[b] || (evidence[a] == evidence[b] && a < b);
    });
}

// Standard units, and the estimate; `expected` is the new score, and where it is missing the estimate. How many are missing,
// or more than there are where a candidate can't be used.
size_t estimate(const BlendCandidates& candidates, const BlendQuery& query, const BlendModel& model,
                const BlendParts& parts) {
    size_t missing = 0;
    bool usable = true;
    for (size_t i = 0; i < candidates.m; ++i) {
        parts.old_units[i] = in_units(candidates.old_scores[i], query.old_units);
        parts.new_units[i] = model.scale * in_units(candidates.new_scores[i], query.new_units);
        const double bridged = model.scale * in_units(candidates.bridged_scores[i], query.new_units);
        parts.guess[i] = model.intercept + model.old * parts.old_units[i] + model.bridged * bridged;
        const bool unknown = is_missing(parts.new_units[i]);
        parts.expected[i] = unknown ? parts.guess[i] : parts.new_units[i];
        parts.bonus[i] = unknown ? model.variance : 0.0;
        missing += unknown;
        usable = usable && std::isfinite(parts.expected[i]) && !std::isinf(parts.old_units[i]);
    }
    return usable ? missing : candidates.m + 1;
}

// The errors of the known ones say what those of the others are, and how much of them is open.
void carry_errors_over(const BlendCandidates& candidates, ComparedRows rows, const BlendModel& model,
                       const BlendParts& parts, const BlendScratch& scratch) {
    const size_t compared = std::min(candidates.m, model.compared);
    best_first(parts.expected, candidates.m, compared, scratch.places);
    float* const errors = scratch.floats;
    float* const floats = errors + compared_padded(compared);
    size_t known = 0;
    for (size_t i = 0; i < compared; ++i) {
        const size_t place = scratch.places[i];
        errors[i] = static_cast<float>(parts.new_units[place] - parts.guess[place]);
        known += !is_missing(static_cast<double>(errors[i]));
    }
    rows.places = scratch.places;
    rows.m = compared;
    float* const expected = scratch.values;
    float* const left = expected + candidates.m;
    const float common = active_kernels().krige({rows, errors, known}, model.errors, expected, left, floats);
    for (size_t i = 0; i < candidates.m; ++i) {
        const size_t place = scratch.places[i];
        if (!is_missing(parts.new_units[place])) continue;
        parts.expected[place] += static_cast<double>(i < compared ? expected[i] : common);
        parts.bonus[place] *= i < compared ? static_cast<double>(left[i]) : 1.0;
    }
}

// The benefit of the doubt is paid for by all alike, so that scores keep their scale: by as much as the head has, the first
// ones most.
void take_toll(const BlendCandidates& candidates, const BlendModel& model, double* bonus) {
    double paid = 0.0;
    double worth = 0.0;
    for (size_t i = 0; i < candidates.head; ++i) {
        const double of_rank = 1.0 / (static_cast<double>(i) + model.rank_offset);
        paid += of_rank * bonus[i];
        worth += of_rank;
    }
    const double toll = candidates.head ? paid / worth : 0.0;
    for (size_t i = 0; i < candidates.m; ++i) bonus[i] -= toll;
}

void smooth_best(const BlendCandidates& candidates, ComparedRows rows, const BlendModel& model, const BlendParts& parts,
                 const BlendScratch& scratch) {
    const size_t smoothed = std::min(candidates.m, model.smoothed);
    best_first(parts.expected, candidates.m, smoothed, scratch.places);
    rows.places = scratch.places;
    rows.m = smoothed;
    double own[most_smoothed];
    double others[most_smoothed];
    for (size_t i = 0; i < smoothed; ++i) own[i] = parts.expected[scratch.places[i]];
    active_kernels().smooth(rows, own, others, scratch.floats);
    for (size_t i = 0; i < smoothed; ++i)
        parts.expected[scratch.places[i]] = own[i] + model.smoothing * (others[i] - own[i]);
}

// The weighted sums, on the scale they are told in; whether all are finite.
bool weigh(const BlendCandidates& candidates, const BlendQuery& query, const BlendParts& parts) {
    double highest = 1.0;
    for (size_t i = 0; i < candidates.m; ++i) {
        const double fresh = parts.expected[i] + parts.bonus[i];
        const double old = parts.old_units[i];
        parts.blended[i] = is_missing(old) ? fresh : (1.0 - query.weight) * old + query.weight * fresh;
        highest = std::max(highest, query.shown.mean + query.shown.deviation * parts.blended[i]);
    }
    bool finite = true;
    const double unit = query.bounded ? highest : 1.0;
    for (size_t i = 0; i < candidates.m; ++i) {
        parts.scores[i] = static_cast<float>((query.shown.mean + query.shown.deviation * parts.blended[i]) / unit);
        finite = finite && std::isfinite(parts.scores[i]);
    }
    return finite;
}

}  // namespace

bool blend(const BlendCandidates& candidates, const ComparedRows& rows, const BlendQuery& query, const BlendModel& model,
           const BlendParts& parts, const BlendScratch& scratch) noexcept {
    const size_t missing = estimate(candidates, query, model, parts);
    if (missing > candidates.m) return false;
    if (missing > 0) {
        carry_errors_over(candidates, rows, model, parts, scratch);
        take_toll(candidates, model, parts.bonus);
    } else if (rows.data) {
        smooth_best(candidates, rows, model, parts, scratch);
    }
    return weigh(candidates, query, parts);
}

size_t blend_scratch_size(const BlendCandidates& candidates, const ComparedRows& rows, const BlendModel& model) noexcept {
    ComparedRows most = rows;
    most.m = std::min(candidates.m, std::max(model.compared, model.smoothed));
    return compared_padded(most.m) + krige_scratch_size({most, nullptr, most.m});
}

void rank_blended(const uint64_t* keys, const float* blended, const float* own, size_t m, int64_t* order,
                  float* scores) noexcept {
    std::iota(order, order + m, int64_t{0});
    std::sort(order, order + m, [=](int64_t a, int64_t b) {
        return blended[a] > blended[b] || (blended[a] == blended[b] && keys[a] < keys[b]);
    });
    for (size_t i = 0; i < m; ++i) scores[i] = is_missing(static_cast<double>(own[i])) ? blended[i] : own[i];
    std::sort(scores, scores + m, std::greater<float>());
    for (size_t i = 1; i < m; ++i) {
        const float before = scores[i - 1];
        const bool falls = blended[order[i]] < blended[order[i - 1]];
        scores[i] = falls ? std::min(scores[i], std::nextafter(before, -INFINITY)) : before;
    }
}

}  // namespace crossfade

// One ranking from the scores of two models: the equations that crossfade/search/blend.py explains.
// No memory is allocated (scratch comes from the caller), nothing throws, no state.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compared.h"
#include "krige.h"

namespace crossfade {

// What a query scores against a corpus: the mean, and the deviation from it.
struct BlendUnits {
    double mean;
    double deviation;
};

struct BlendQuery {
    BlendUnits old_units;
    BlendUnits new_units;
    BlendUnits shown;  // in which the blended scores are told
    bool bounded;      // whether none of these may exceed 1: then all are scaled
    double weight;     // of the new evidence
};

struct BlendModel {
    double scale;  // β
    double intercept;
    double old;
    double bridged;
    double variance;
    KrigeModel errors;
    size_t compared;   // so many of the best are compared where errors are carried over,
    size_t smoothed;   // and so many, at most `most_smoothed`, where scores are smoothed,
    double smoothing;  // each drawn so far towards those like it
    double rank_offset;
};

// One query's candidates: the first `head` are the old version's, best first. NaN is a missing score.
struct BlendCandidates {
    const float* old_scores;  // (m) each
    const float* new_scores;
    const float* bridged_scores;
    size_t m;
    size_t head;
};

// The scores, and what they are made of in standard units of the old model, (m) each.
struct BlendParts {
    double* old_units;
    double* new_units;
    double* guess;
    double* expected;
    double* bonus;
    double* blended;
    float* scores;
};

// Memory to work in: places (m), values (2 m), floats blend_scratch_size.
struct BlendScratch {
    size_t* places;
    float* values;
    float* floats;
};

// False, and parts unspecified, where a candidate has neither a new score nor an old and a bridged one, or one is infinite.
// `rows` are the old ones where a new score is missing (nobody looks at them where errors share nothing), and the new ones,
// to be smoothed by, where none is; without data nothing is smoothed.
bool blend(const BlendCandidates& candidates, const ComparedRows& rows, const BlendQuery& query, const BlendModel& model,
           const BlendParts& parts, const BlendScratch& scratch) noexcept;

size_t blend_scratch_size(const BlendCandidates& candidates, const ComparedRows& rows, const BlendModel& model) noexcept;

// The order of blended scores, best first, ties by key; and the scores that users see: the r-th best of `own`, those of the
// live model (NaN where there is none: the blended one stands for it), equal where the blended ones are, and only there.
void rank_blended(const uint64_t* keys, const float* blended, const float* own, size_t m, int64_t* order,
                  float* scores) noexcept;

}  // namespace crossfade

// project against its reference.
#pragma once

#include <algorithm>

#include "../../cpp/kernels/dispatch.h"
#include "cases.h"
#include "reference.h"
#include "test_normalize.h"

namespace crossfade::tests {

template <typename Weight>
struct Map {
    Map(std::size_t d_in, std::size_t d_out, Layout layout, Random& random)
        : matrix(d_in, d_out, layout), center(1, d_in, {0, false}), offset(1, d_out, {0, false}) {
        fill(matrix, random);
        fill(center, random);
        fill(offset, random);
    }

    // With a center where the first bit of `parts` is set, with an offset where the second is.
    Projection projection(unsigned parts) {
        return {matrix.first(),
                static_cast<Element>(kind_of<Weight>()),
                matrix.stride(),
                nullptr,
                parts & 1 ? center.row(0) : nullptr,
                parts & 2 ? offset.row(0) : nullptr,
                matrix.n,
                matrix.d,
                Arithmetic::float32,
                false};
    }

    Rows<Weight> matrix;
    Rows<float> center;
    Rows<float> offset;
};

// One element of the output. With bfloat16 the operands are rounded. With bfloat16x3 a product lacks low · low and what the
// low parts were rounded by, each at most 2^-16 of it.
template <typename T, typename Weight>
Sum projected(const Projection& p, const T* x, Rows<Weight>& matrix, std::size_t column) {
    Sum sum;
    for (std::size_t k = 0; k < p.d_in; ++k) {
        const double weight = value_of(matrix.row(k)[column]);
        const double center = p.center ? value_of(p.center[k]) : 0.0;
        const double value = value_of(x[k]) - center;
        if (p.arithmetic == Arithmetic::bfloat16) {
            const double term = rounded<Bfloat>(static_cast<float>(value)) * rounded<Bfloat>(weight);
            sum.add(term, std::abs(term));
        } else if (p.arithmetic == Arithmetic::bfloat16x3) {
            const double left_out = 3.0 * 0x1p-16 / epsilon / static_cast<double>(p.d_in);
            sum.add(value * weight, (std::abs(value_of(x[k])) + std::abs(center)) * std::abs(weight) * (3.0 + left_out));
        } else {
            sum.add(value * weight, (std::abs(value_of(x[k])) + std::abs(center)) * std::abs(weight));
        }
    }
    if (p.offset) sum.add(p.offset[column], std::abs(p.offset[column]));
    return sum;
}

struct BadRows {
    std::size_t count;
    std::size_t first;
};

// Where every row went, in one call for all or in one for each.
template <typename T, typename Out>
BadRows project(const Kernels& kernels, const Projection& p, Rows<T>& x, Rows<Out>& out, bool together,
                bool past_caches = false) {
    Guarded<float> scratch(kernels.project_scratch_size(p));
    const auto kernel = kernels.project[kind_of<T>()];
    const auto element = static_cast<Element>(kind_of<Out>());
    if (together) {
        Guarded<bool> bad(x.n);
        const std::size_t count = kernel(p, x.first(), x.stride(), x.n, out.first(), out.stride(), element, past_caches,
                                         bad.data(), scratch.data());
        const auto marked = static_cast<std::size_t>(std::count(bad.data(), bad.data() + x.n, true));
        check(marked == count, "project marks as many bad rows as it counts: %zu, %zu", marked, count);
        return {count, static_cast<std::size_t>(std::find(bad.data(), bad.data() + x.n, true) - bad.data())};
    }
    BadRows bad = {0, x.n};
    for (std::size_t i = 0; i < x.n; ++i) {
        bad.count += kernel(p, x.row(i), 0, 1, out.row(i), 0, element, past_caches, nullptr, scratch.data());
    }
    return bad;
}

template <typename T, typename Weight>
bool is_projected(const Projection& p, Rows<T>& x, Rows<Weight>& matrix, Rows<float>& out) {
    bool right = out.gaps_untouched();
    for (std::size_t i = 0; i < x.n; ++i) {
        for (std::size_t j = 0; j < p.d_out; ++j) {
            const Sum sum = projected(p, x.row(i), matrix, j);
            const double most = static_cast<double>(p.d_in + 3) * epsilon * sum.magnitude;
            right &= std::abs(value_of(out.row(i)[j]) - sum.value) <= most;
        }
    }
    return right;
}

inline bool same_rows(Rows<float>& a, Rows<float>& b) {
    bool same = true;
    for (std::size_t i = 0; i < a.n; ++i) same &= std::memcmp(a.row(i), b.row(i), a.d * sizeof(float)) == 0;
    return same;
}

// From float rows that are mapped already: those of another kind, and those of length one.
template <typename T, typename Out>
void test_project_writes(const Kernels& kernels, Projection p, Rows<T>& x, Rows<float>& raw, bool past_caches) {
    Rows<Out> narrow(x.n, p.d_out, {1, false}), scaled(x.n, p.d_out, {0, true});
    project(kernels, p, x, narrow, true, past_caches);
    p.unit = true;
    const BadRows bad = project(kernels, p, x, scaled, true, past_caches);
    bool right = narrow.gaps_untouched();
    std::size_t zeros = 0;
    for (std::size_t i = 0; i < x.n; ++i) {
        for (std::size_t j = 0; j < p.d_out; ++j) right &= value_of(narrow.row(i)[j]) == rounded<Out>(raw.row(i)[j]);
        const bool zero = length(raw.row(i), p.d_out) == 0.0;
        zeros += zero;
        right &= zero || is_unit_row(scaled.row(i), raw.row(i), p.d_out);
    }
    check(right, "project writes kind %zu (%zu -> %zu)", kind_of<Out>(), p.d_in, p.d_out);
    check(bad.count == zeros, "only rows of zeros are bad (kind %zu, %zu -> %zu)", kind_of<T>(), p.d_in, p.d_out);
}

template <typename T, typename Weight>
void test_project_in_pairs(const Kernels& kernels, Projection p, Rows<T>& x, Rows<Weight>& matrix, Layout layout) {
    Rows<float> alone(x.n, p.d_out, {0, false}), together(x.n, p.d_out, layout);
    p.packed = nullptr;
    Guarded<float> packed(kernels.project_packed_size(p));
    kernels.project_pack(p, packed.data());
    p.packed = packed.data();
    project(kernels, p, x, together, true);
    check(is_projected(p, x, matrix, together),
          "project maps in pairs (arithmetic %d, kind %zu, matrix %zu, %zu x %zu -> %zu)", static_cast<int>(p.arithmetic),
          kind_of<T>(), kind_of<Weight>(), x.n, p.d_in, p.d_out);
    project(kernels, p, x, alone, false);
    check(same_rows(alone, together), "project gives the same alone in pairs (arithmetic %d, %zu -> %zu)",
          static_cast<int>(p.arithmetic), p.d_in, p.d_out);
}

template <typename T, typename Weight>
void test_project(const Kernels& kernels, std::size_t n, std::size_t d_in, std::size_t d_out, Layout layout,
                  unsigned parts) {
    Random random(d_in * 1000 + d_out);
    Map<Weight> map(d_in, d_out, layout, random);
    Rows<T> x(n, d_in, layout);
    Rows<float> packed(n, d_out, layout), alone(n, d_out, {0, false}), together(n, d_out, layout);
    fill(x, random);

    Projection p = map.projection(parts);
    project(kernels, p, x, alone, false);
    if (!project_needs_packing(p, n)) {
        project(kernels, p, x, together, true);
        check(same_rows(alone, together), "project gives the same alone (kind %zu, %zu -> %zu)", kind_of<T>(), d_in, d_out);
    }
    Guarded<float> panels(kernels.project_packed_size(p));
    kernels.project_pack(p, panels.data());
    p.packed = panels.data();
    check(project(kernels, p, x, packed, true).count == 0, "project finds no bad row (%zu -> %zu)", d_in, d_out);
    check(is_projected(p, x, map.matrix, packed), "project maps (kind %zu, matrix %zu, %zu x %zu -> %zu, parts %u)",
          kind_of<T>(), kind_of<Weight>(), n, d_in, d_out, parts);
    check(same_rows(alone, packed), "project gives the same packed (kind %zu, %zu -> %zu)", kind_of<T>(), d_in, d_out);
    test_project_writes<T, Weight>(kernels, p, x, packed, parts & 1);

    for (const Arithmetic arithmetic : {Arithmetic::bfloat16, Arithmetic::bfloat16x3}) {
        p.arithmetic = arithmetic;
        test_project_in_pairs(kernels, p, x, map.matrix, layout);
    }
}

inline void test_project_bad_rows(const Kernels& kernels, std::size_t d) {
    Random random(d);
    Map<float> map(d, d, {0, false}, random);
    Rows<float> x(9, d, {2, false}), out(9, d, {0, false});
    fill(x, random);
    for (std::size_t j = 0; j < d; ++j) x.row(2)[j] = 0.0f;
    x.row(4)[d - 1] = not_a_number;
    x.row(8)[0] = infinity;
    Projection p = map.projection(0);
    const BadRows raw = project(kernels, p, x, out, true);
    check(raw.count == 2 && raw.first == 4, "project counts rows that are not finite (d %zu): %zu", d, raw.count);
    p.unit = true;
    const BadRows scaled = project(kernels, p, x, out, true);
    check(scaled.count == 3 && scaled.first == 2, "project counts rows of zeros too (d %zu): %zu", d, scaled.count);
}

template <typename T, typename Weight>
void test_project_of_kinds(const Kernels& kernels) {
    unsigned parts = 0;
    for (const std::size_t d : widths()) {
        test_project<T, Weight>(kernels, 7, d, 19, layouts[d % 3], parts++ % 4);
        test_project<T, Weight>(kernels, 7, 21, d, layouts[d % 3], (parts + 1) % 4);
    }
    test_project<T, Weight>(kernels, project_block_rows(67, 130) + 5, 67, 130, {3, false}, 3);
    test_project<T, Weight>(kernels, 1, 384, 257, {0, false}, 3);
    test_project<T, Weight>(kernels, 0, 5, 5, {0, false}, 3);
}

template <typename T>
void test_project_of_kind(const Kernels& kernels) {
    test_project_of_kinds<T, float>(kernels);
    test_project_of_kinds<T, Half>(kernels);
    test_project_of_kinds<T, Bfloat>(kernels);
}

inline void test_project(const Kernels& kernels) {
    test_project_of_kind<float>(kernels);
    test_project_of_kind<Half>(kernels);
    test_project_of_kind<Bfloat>(kernels);
    test_project_of_kind<std::int8_t>(kernels);
    for (const std::size_t d : widths()) {
        if (d > 0) test_project_bad_rows(kernels, d);
    }
}

}  // namespace crossfade::tests

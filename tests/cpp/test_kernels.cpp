// The kernels against their references, at the instruction sets that are named, or at all this machine can run:
//     kernels_test [LEVEL...]
// Without Python, so that it runs under an emulator, under sanitizers, and where there is only a compiler.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "../../cpp/kernels/dispatch.h"
#include "harness.h"
#include "test_codes.h"
#include "test_covariance.h"
#include "test_krige.h"
#include "test_merge.h"
#include "test_normalize.h"
#include "test_project.h"
#include "test_rescore.h"
#include "test_smooth.h"
#include "test_walk.h"

#ifdef CROSSFADE_X86
namespace crossfade {
extern const Kernels kernels_amx_emulated;
}
#endif

namespace crossfade::tests {
namespace {

std::vector<std::string> available_levels() {
    std::vector<std::string> names;
    while (const Kernels* kernels = available_kernels(names.size())) names.emplace_back(kernels->name);
    return names;
}

void test_dispatch() {
    const std::vector<std::string> names = available_levels();
    check(names.front() == "scalar", "the scalar level is always there, and first");
    check(active_kernels().name == names.back(), "the fastest level is in use until another is forced");
    check(!force_kernels("mmx"), "a level that isn't there can't be forced");
    check(active_kernels().name == names.back(), "what can't be forced changes nothing");
}

void report() {
    std::printf("%-12s %8zu checks, %zu failed\n", tally.level, tally.checks, tally.failures);
    std::fflush(stdout);
}

std::size_t test_kernels(const Kernels& kernels) {
    tally = {kernels.name};
    test_normalize(kernels);
    test_project(kernels);
    test_rescore(kernels);
    test_covariance(kernels);
    test_krige(kernels);
    test_smooth(kernels);
    test_codes(kernels);
    test_walk(kernels);
    report();
    return tally.failures;
}

// Whether the machine has the level, and no check fails.
bool test_level(const std::string& name) {
#ifdef CROSSFADE_X86
    if (name == kernels_amx_emulated.name) return test_kernels(kernels_amx_emulated) == 0;
#endif
    if (!force_kernels(name.c_str())) {
        std::fprintf(stderr, "kernels_test: this machine can't run the level \"%s\"\n", name.c_str());
        return false;
    }
    return active_kernels().name == name && test_kernels(active_kernels()) == 0;
}

int test_all(std::vector<std::string> names) {
    if (names.empty()) {
        names = available_levels();
        // The emulation takes the processor's AVX-512 for everything but the tiles.
        if (std::count(names.begin(), names.end(), "avx512bf16")) names.emplace_back("amx-emulated");
    }
    tally = {"common"};
    test_dispatch();
    test_merge();
    report();
    bool passed = tally.failures == 0;
    for (const std::string& name : names) passed &= test_level(name);
    return passed ? 0 : 1;
}

}  // namespace
}  // namespace crossfade::tests

int main(int argc, char** argv) { return crossfade::tests::test_all({argv + 1, argv + argc}); }

// The kernels against their references, at the instruction sets that are named, or at all this machine can run:
//     kernels_test [LEVEL...]
// Without Python, so that it runs under an emulator, under sanitizers, and where there is only a compiler.
#include <cstdio>
#include <string>
#include <vector>

#include "../../cpp/kernels/dispatch.h"
#include "harness.h"
#include "test_covariance.h"
#include "test_merge.h"
#include "test_normalize.h"
#include "test_project.h"
#include "test_rescore.h"

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

// The number of checks that failed, or -1 where the machine has no such level.
int test_level(const std::string& name) {
    if (!force_kernels(name.c_str())) {
        std::fprintf(stderr, "kernels_test: this machine can't run the level \"%s\"\n", name.c_str());
        return -1;
    }
    tally = {name.c_str()};
    const Kernels& kernels = active_kernels();
    check(kernels.name == name, "the forced level is in use");
    test_normalize(kernels);
    test_project(kernels);
    test_rescore(kernels);
    test_covariance(kernels);
    report();
    return static_cast<int>(tally.failures);
}

int test_all(std::vector<std::string> names) {
    if (names.empty()) names = available_levels();
    tally = {"common"};
    test_dispatch();
    test_merge();
    report();
    bool passed = tally.failures == 0;
    for (const std::string& name : names) passed &= test_level(name) == 0;
    return passed ? 0 : 1;
}

}  // namespace
}  // namespace crossfade::tests

int main(int argc, char** argv) { return crossfade::tests::test_all({argv + 1, argv + argc}); }

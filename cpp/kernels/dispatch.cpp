#include "dispatch.h"

#include <string.h>

#ifdef CROSSFADE_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace crossfade {
namespace {

struct Level {
    const Kernels* kernels;
    bool (*supported)();
};

bool always() { return true; }

#ifdef CROSSFADE_X86
// Every feature the translation unit is compiled with is asked for (CMakeLists.txt lists the same).
bool has_avx2() {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_avx512bf16() {
    return has_avx512() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vpopcntdq");
}

// Whether the operating system saves the tile registers, and lets this process use them: Linux wants to be asked
// (Documentation/arch/x86/xstate.rst), once for all threads.
bool may_use_tiles() {
    constexpr uint32_t saved = 1u << 17 | 1u << 18;
    uint32_t low = 0;
    uint32_t high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & saved) != saved) return false;
#if defined(__linux__) && defined(SYS_arch_prctl)
    constexpr long request_permission = 0x1023;
    constexpr long tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

bool has_amx() {
    constexpr uint32_t amx_bf16 = 1u << 22;
    constexpr uint32_t amx_tile = 1u << 24;
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
    uint32_t features = 0;
    if (!has_avx512bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &features)) return false;
    return (features & amx_bf16) && (features & amx_tile) && may_use_tiles();
}
#endif

// Slowest first.
constexpr Level levels[] = {
    {&kernels_scalar, always},
#ifdef CROSSFADE_X86
    {&kernels_avx2, has_avx2}, {&kernels_avx512, has_avx512}, {&kernels_avx512bf16, has_avx512bf16}, {&kernels_amx, has_amx},
#endif
#ifdef CROSSFADE_ARM64
    {&kernels_neon, always},  // every AArch64 processor has it
#endif
};

// Null until the first use.
const Kernels* active = nullptr;

}  // namespace

const Kernels* available_kernels(size_t i) noexcept {
    for (const Level& level : levels) {
        if (level.supported() && i-- == 0) return level.kernels;
    }
    return nullptr;
}

const Kernels& active_kernels() noexcept {
    const Kernels* chosen = __atomic_load_n(&active, __ATOMIC_ACQUIRE);
    if (!chosen) {
        for (size_t i = 0; available_kernels(i); ++i) chosen = available_kernels(i);
        const Kernels* expected = nullptr;
        if (!__atomic_compare_exchange_n(&active, &expected, chosen, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            chosen = expected;
        }
    }
    return *chosen;
}

bool force_kernels(const char* name) noexcept {
    for (size_t i = 0; const Kernels* kernels = available_kernels(i); ++i) {
        if (strcmp(kernels->name, name) == 0) {
            __atomic_store_n(&active, kernels, __ATOMIC_RELEASE);
            return true;
        }
    }
    return false;
}

}  // namespace crossfade

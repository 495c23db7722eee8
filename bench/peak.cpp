// How many floating-point operations a second the arithmetic units can do, in loops of nothing but multiply-adds in
// registers:
//     peak THREADS
// prints JSON, an entry for float32 and, where the processor multiplies it, one for bfloat16.
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr long rounds = 4'000'000;
constexpr int chains = 12;  // more than the units can have under way at once

// Takes `chains` starts that the compiler can't tell apart, and keeps it from dropping the result.
#define KEEP(value) asm volatile("" : "+x"(value))

__attribute__((target("avx2,fma"))) double float32_avx2() {
    __m256 sums[chains];
    const __m256 factor = _mm256_set1_ps(0.5f);
    for (auto& sum : sums) KEEP(sum = _mm256_setzero_ps());
    for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < chains; ++j) sums[j] = _mm256_fmadd_ps(sums[j], factor, factor);
    }
    for (auto& sum : sums) KEEP(sum);
    return 2.0 * 8 * chains * rounds;
}

#undef KEEP
#define KEEP(value) asm volatile("" : "+v"(value))

__attribute__((target("avx512f"))) double float32_avx512() {
    __m512 sums[chains];
    const __m512 factor = _mm512_set1_ps(0.5f);
    for (auto& sum : sums) KEEP(sum = _mm512_setzero_ps());
    for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < chains; ++j) sums[j] = _mm512_fmadd_ps(sums[j], factor, factor);
    }
    for (auto& sum : sums) KEEP(sum);
    return 2.0 * 16 * chains * rounds;
}

__attribute__((target("avx512f,avx512bf16"))) double bfloat16_avx512() {
    __m512 sums[chains];
    const auto factor = reinterpret_cast<__m512bh>(_mm512_setzero_ps());
    for (auto& sum : sums) KEEP(sum = _mm512_setzero_ps());
    for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < chains; ++j) sums[j] = _mm512_dpbf16_ps(sums[j], factor, factor);
    }
    for (auto& sum : sums) KEEP(sum);
    return 2.0 * 32 * chains * rounds;
}

double bfloat16_amx() {
    struct alignas(64) {
        std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
        std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } configuration;
    asm volatile("ldtilecfg %0" ::"m"(configuration));
    asm volatile("tilezero %tmm0\n tilezero %tmm1\n tilezero %tmm2\n tilezero %tmm3\n tilezero %tmm6\n tilezero %tmm7");
    for (long i = 0; i < rounds; ++i) {
        asm volatile(
            "tdpbf16ps %tmm7, %tmm6, %tmm0\n tdpbf16ps %tmm7, %tmm6, %tmm1\n"
            "tdpbf16ps %tmm7, %tmm6, %tmm2\n tdpbf16ps %tmm7, %tmm6, %tmm3");
    }
    asm volatile("tilerelease");
    return 4.0 * 2 * 16 * 16 * 32 * rounds;
}

// The bits and the permission are those that cpp/kernels/dispatch.cpp asks for.
bool has_amx() {
    std::uint32_t a, b, c, features = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &features)) return false;
    return (features >> 22 & 1) && (features >> 24 & 1) && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

// The best of five, since others may use the processor too.
double per_second(double (*loop)(), int threads) {
    double best = 0;
    for (int turn = 0; turn < 5; ++turn) {
        std::vector<double> done(static_cast<std::size_t>(threads));
        std::vector<std::thread> others;
        const auto began = std::chrono::steady_clock::now();
        for (auto& operations : done) others.emplace_back([&operations, loop] { operations = loop(); });
        for (auto& other : others) other.join();
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        double operations = 0;
        for (const double one : done) operations += one;
        best = std::max(best, operations / seconds);
    }
    return best;
}

}  // namespace

int main(int count, char** arguments) {
    const int threads = count > 1 ? std::atoi(arguments[1]) : 1;
    __builtin_cpu_init();
    const bool wide = __builtin_cpu_supports("avx512f");
    const bool narrow = wide && __builtin_cpu_supports("avx512bf16");
    if (!wide && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return std::puts("{}") < 0;
    std::printf("{\"float32\": %.6g", per_second(wide ? float32_avx512 : float32_avx2, threads));
    if (narrow) std::printf(", \"bfloat16\": %.6g", per_second(has_amx() ? bfloat16_amx : bfloat16_avx512, threads));
    std::puts("}");
}

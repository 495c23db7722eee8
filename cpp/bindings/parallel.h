// Rows split over threads. What a row gives never depends on the split.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <fstream>
#include <future>
#include <thread>
#include <vector>

namespace crossfade::bindings {

// Multiply-adds below which a thread costs more than it brings: starting one takes some 20 µs.
constexpr double work_per_thread = 1 << 20;

// Whole cores that the control group grants, rounded up; a large number where it sets no limit.
inline std::size_t granted_cores() {
    static const std::size_t granted = [] {
        std::ifstream file("/sys/fs/cgroup/cpu.max");
        double quota = 0;
        double period = 0;
        if (!(file >> quota >> period) || quota <= 0 || period <= 0) return std::size_t{1} << 20;
        return static_cast<std::size_t>((quota + period - 1) / period);
    }();
    return granted;
}

// Cores this process may run on: those it is bound to, or fewer where its control group has a smaller quota.
inline std::size_t usable_cores() {
    cpu_set_t bound;
    const bool known = sched_getaffinity(0, sizeof bound, &bound) == 0;
    const std::size_t cores = known ? static_cast<std::size_t>(CPU_COUNT(&bound)) : std::thread::hardware_concurrency();
    return std::max<std::size_t>(1, std::min(cores, granted_cores()));
}

// Pieces for each thread: where one is slowed down by others' work, the rest take what it leaves.
constexpr std::size_t pieces_per_thread = 16;

// Calls function(begin, end) on ranges that cover 0 … n, each but the last a multiple of `step` long, at most `threads` at
// the same time and no more than there are cores, on the calling thread too. An exception of any call arrives here after all
// have ended.
template <typename Function>
void for_ranges(std::size_t n, double work_per_row, std::size_t threads, const Function& function, std::size_t step = 1) {
    const double useful = static_cast<double>(n) * work_per_row / work_per_thread;
    if (useful < static_cast<double>(threads)) threads = static_cast<std::size_t>(useful);
    if (threads > 1) threads = std::min(threads, usable_cores());
    if (threads <= 1) return function(std::size_t{0}, n);

    const std::size_t steps = (n + step - 1) / step;
    const std::size_t pieces = std::min(steps, threads * pieces_per_thread);
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
        for (std::size_t i = next++; i < pieces; i = next++) {
            function(std::min(n, steps * i / pieces * step), std::min(n, steps * (i + 1) / pieces * step));
        }
    };
    std::vector<std::future<void>> others;  // their destructors wait
    for (std::size_t i = 1; i < std::min(threads, pieces); ++i) others.push_back(std::async(std::launch::async, work));
    work();
    for (auto& other : others) other.get();
}

}  // namespace crossfade::bindings

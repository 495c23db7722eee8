// Rows split over threads. What a row gives never depends on the split.
#pragma once

#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "../kernels/normalize.h"

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

// Calls function(begin, end) on consecutive ranges that cover 0 … n, at most `threads` at the same time and no more than there
// are cores, the last one on the calling thread. An exception of any call arrives here after all have ended.
template <typename Function>
void for_ranges(std::size_t n, double work_per_row, std::size_t threads, const Function& function) {
    const double useful = static_cast<double>(n) * work_per_row / work_per_thread;
    std::size_t parts = std::min(threads, n);
    if (useful < static_cast<double>(parts)) parts = static_cast<std::size_t>(useful);
    if (parts > 1) parts = std::min(parts, usable_cores());
    parts = std::max<std::size_t>(parts, 1);

    std::vector<std::future<void>> others;  // their destructors wait
    for (std::size_t i = 0; i + 1 < parts; ++i) {
        others.push_back(std::async(std::launch::async, function, n * i / parts, n * (i + 1) / parts));
    }
    function(n * (parts - 1) / parts, n);
    for (auto& other : others) other.get();
}

// The bad rows of ranges that may end in any order.
class BadRowCount {
public:
    explicit BadRowCount(std::size_t n) : total_{0, n} {}

    void add(const BadRows& range, std::size_t begin) {
        if (range.count == 0) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        total_.count += range.count;
        total_.first = std::min(total_.first, begin + range.first);
    }

    BadRows total() const { return total_; }

private:
    std::mutex mutex_;
    BadRows total_;
};

}  // namespace crossfade::bindings

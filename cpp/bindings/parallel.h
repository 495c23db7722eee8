// Rows split over threads. What a row gives never depends on the split.
#pragma once

#include <algorithm>
#include <cstddef>
#include <future>
#include <mutex>
#include <vector>

#include "../kernels/normalize.h"

namespace crossfade::bindings {

// Multiply-adds below which a thread costs more than it brings: starting one takes some 20 µs.
constexpr double work_per_thread = 1 << 20;

// Calls function(begin, end) on consecutive ranges that cover 0 … n, at most `threads` at the same time, the last one on the
// calling thread. An exception of any call arrives here after all have ended.
template <typename Function>
void for_ranges(std::size_t n, double work_per_row, std::size_t threads, const Function& function) {
    const double useful = static_cast<double>(n) * work_per_row / work_per_thread;
    std::size_t parts = std::min(threads, n);
    if (useful < static_cast<double>(parts)) parts = static_cast<std::size_t>(useful);
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

// What the tests are made of: checks that are counted, memory that betrays a read or write outside it, and numbers.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace crossfade::tests {

struct Tally {
    const char* level = "";
    std::size_t checks = 0;
    std::size_t failures = 0;
};
inline Tally tally;

constexpr std::size_t most_failures_shown = 20;

// Counts; where it does not hold, says so with the level and the case at hand, and goes on.
__attribute__((format(printf, 2, 3))) inline void check(bool holds, const char* format, ...) {
    ++tally.checks;
    if (holds || ++tally.failures > most_failures_shown) return;
    std::fprintf(stderr, "%s: not so: ", tally.level);
    std::va_list values;
    va_start(values, format);
    std::vfprintf(stderr, format, values);
    va_end(values);
    std::fputc('\n', stderr);
}

// Elements that end where the memory of the process ends, so that the first one past them can be neither read nor written.
// What stands before them is NaN for every kind of float, as they are themselves at first, and has to stay.
template <typename T>
class Guarded {
public:
    explicit Guarded(std::size_t size) : size_(size) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t whole = (size * sizeof(T) + before + page - 1) / page * page;
        bytes_ = whole + page;
        base_ =
            static_cast<unsigned char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (base_ == MAP_FAILED || mprotect(base_ + whole, page, PROT_NONE) != 0) {
            std::perror("no memory for a test");
            std::abort();
        }
        std::memset(base_, untouched, whole);
        data_ = reinterpret_cast<T*>(base_ + whole - size * sizeof(T));
    }

    ~Guarded() {
        const auto* bytes = reinterpret_cast<const unsigned char*>(data_);
        bool kept = true;
        for (std::size_t i = 1; i <= before; ++i) kept &= bytes[-static_cast<std::ptrdiff_t>(i)] == untouched;
        check(kept, "nothing is written before the %zu elements of an array", size_);
        munmap(base_, bytes_);
    }

    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    T* data() { return data_; }
    T& operator[](std::size_t i) { return data_[i]; }
    std::size_t size() const { return size_; }

    static bool is_untouched(const T& element) {
        unsigned char bytes[sizeof(T)];
        std::memcpy(bytes, &element, sizeof(T));
        for (const unsigned char byte : bytes) {
            if (byte != untouched) return false;
        }
        return true;
    }

private:
    static constexpr std::size_t before = 64;
    static constexpr unsigned char untouched = 0xff;

    std::size_t size_;
    std::size_t bytes_;
    unsigned char* base_;
    T* data_;
};

// How rows lie in memory: elements between them, and whether the last one comes first.
struct Layout {
    std::size_t gap;
    bool backwards;
};
constexpr Layout layouts[] = {{0, false}, {3, false}, {5, true}};

// n rows of d elements; the one that lies last ends with the memory, so that few rows are aligned to more than an element.
template <typename T>
class Rows {
public:
    Rows(std::size_t n, std::size_t d, Layout layout)
        : n(n), d(d), step_(d + layout.gap), backwards_(layout.backwards), memory_(n ? (n - 1) * step_ + d : 0) {}

    T* row(std::size_t i) { return memory_.data() + (backwards_ ? n - 1 - i : i) * step_; }
    T* first() { return n ? row(0) : memory_.data(); }
    std::ptrdiff_t stride() const { return (backwards_ ? -1 : 1) * static_cast<std::ptrdiff_t>(step_); }

    bool row_untouched(std::size_t i) { return untouched(row(i), row(i) + d); }

    bool gaps_untouched() {
        T* const end = memory_.data() + memory_.size();
        for (T* gap = memory_.data() + d; gap < end; gap += step_) {
            if (!untouched(gap, gap + (step_ - d))) return false;
        }
        return true;
    }

    const std::size_t n;
    const std::size_t d;

private:
    static bool untouched(const T* begin, const T* end) {
        for (; begin < end; ++begin) {
            if (!Guarded<T>::is_untouched(*begin)) return false;
        }
        return true;
    }

    std::size_t step_;
    bool backwards_;
    Guarded<T> memory_;
};

// Repeatable numbers (xorshift64*: Vigna 2016).
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}

    std::uint64_t whole() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1du;
    }

    std::size_t below(std::size_t end) { return static_cast<std::size_t>((whole() >> 33) % end); }

    // Between -2 and 2, of many magnitudes: one in eight is smaller than the least float16.
    float real() {
        const auto digits = static_cast<double>(static_cast<std::int64_t>(whole() >> 11) - (std::int64_t{1} << 52));
        return static_cast<float>(std::ldexp(digits, -51 - static_cast<int>(below(8) == 0 ? 26 + below(8) : below(4))));
    }

private:
    std::uint64_t state_;
};

}  // namespace crossfade::tests

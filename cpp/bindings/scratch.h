// Memory the kernels work in: not initialised, and aligned to a cache line, so that no vector of it spans two.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace crossfade::bindings {

constexpr std::align_val_t cache_line{64};

template <typename T>
struct Release {
    void operator()(T* memory) const { ::operator delete(memory, cache_line); }
};

template <typename T>
using Scratch = std::unique_ptr<T[], Release<T>>;

template <typename T>
Scratch<T> scratch_of(std::size_t count) {
    return Scratch<T>(static_cast<T*>(::operator new(count * sizeof(T), cache_line)));
}

}  // namespace crossfade::bindings

// Hamming distances between codes of bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace crossfade {

// So many codes stand word by word: the first word of each, then the second of each, and so on.
constexpr size_t codes_abreast = 8;

// out[i] = in how many bits code i and `code` differ, for all codes of `blocks` blocks of `codes_abreast` codes.
//   codes: `words` · codes_abreast words a block. code: `words` words.
// Nothing is allocated, nothing throws, no state.
using Hamming = void(const uint64_t* codes, size_t blocks, size_t words, const uint64_t* code, uint32_t* out) noexcept;

}  // namespace crossfade

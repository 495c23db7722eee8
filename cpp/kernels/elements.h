// What the elements of stored rows can be, and in what pieces memory is read.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace crossfade {

// IEEE 754 half precision.
struct Half {
    uint16_t bits;
};

// The upper half of a float.
struct Bfloat {
    uint16_t bits;
};

// Places in the tables of dispatch.h.
enum class Element : uint8_t { float32, float16, bfloat16, int8 };
constexpr size_t element_kinds = 4;

// What an int8 of 1.0 is: unit rows are stored as whole numbers from -127 to 127.
constexpr double int8_unit = 127.0;

constexpr size_t cache_line = 64;  // bytes

}  // namespace crossfade

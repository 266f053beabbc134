// Codes of narrow formats to bf16, which holds every E4M3 and E5M2 value exactly (their subnormals
// are normal numbers there, so that no product unit flushes them).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

enum class Code : uint8_t { bf16, e4m3, e5m2 };

namespace {

/// Bits of the bf16 of a code without its sign.
constexpr uint16_t decoded_magnitude(Code code, int magnitude) {
    const int fraction_bits = code == Code::e4m3 ? 3 : 2;
    const int bias = code == Code::e4m3 ? 7 : 15;
    const int exponent = magnitude >> fraction_bits;
    int fraction = magnitude & ((1 << fraction_bits) - 1);
    if (code == Code::e4m3 && magnitude == 127) return 0x7FC0;
    if (code == Code::e5m2 && exponent == 31) return uint16_t(fraction == 0 ? 0x7F80 : 0x7FC0);
    if (magnitude == 0) return 0;
    int wide = exponent == 0 ? 1 - bias : exponent - bias;
    if (exponent > 0) {
        fraction |= 1 << fraction_bits;
    } else {
        while (fraction >> fraction_bits == 0) {
            fraction <<= 1;
            --wide;
        }
    }
    fraction &= (1 << fraction_bits) - 1;
    return uint16_t((wide + 127) << 7 | fraction << (7 - fraction_bits));
}

struct DecodeTable {
    uint16_t bits[128] = {};

    constexpr explicit DecodeTable(Code code) {
        for (int i = 0; i < 128; ++i) bits[i] = decoded_magnitude(code, i);
    }
    constexpr uint16_t operator[](uint8_t code) const {
        return uint16_t(bits[code & 0x7F] | (code & 0x80) << 8);
    }
};

constexpr DecodeTable kE4M3Table{Code::e4m3};
constexpr DecodeTable kE5M2Table{Code::e5m2};

/// n values of a row to bf16. `from` points to codes, or to bf16 values that are copied.
[[maybe_unused]] inline void decode_row(Code code, const void* from, int64_t n, bf16* to) {
    if (code == Code::bf16) {
        __builtin_memcpy(to, from, size_t(n) * sizeof(bf16));
        return;
    }
    const auto* codes = static_cast<const uint8_t*>(from);
    const DecodeTable& table = code == Code::e4m3 ? kE4M3Table : kE5M2Table;
    for (int64_t i = 0; i < n; ++i) to[i].bits = table[codes[i]];
}

}  // namespace
}  // namespace hadal::ops::cpu

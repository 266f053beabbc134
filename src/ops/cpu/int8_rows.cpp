// Activations to codes of eight bits: the rule of ops/matmul_int8.h.
#include "ops/cpu/matmul_int8.h"
#include "ops/cpu/matmul_store.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kTile = 128;
constexpr float kLeastAmax = 0x1p-100F;  // 127 / amax and amax / 127 are normal numbers above it

/// The largest magnitude, compared as bits: above every finite one for an infinity or a NaN.
float magnitude_of(const bf16* x, int64_t count) {
    uint32_t most = 0;
    for (int64_t i = 0; i < count; ++i) {
        const uint32_t magnitude = x[i].bits & 0x7FFFu;
        most = magnitude > most ? magnitude : most;
    }
    return __builtin_bit_cast(float, most << 16);
}

/// To nearest, ties to even, for |value| below 2²²: the sum has no bits left for a fraction.
int8_t rounded(float value) {
    constexpr float kShift = 0x1.8p23F;
    return int8_t(__builtin_bit_cast(int32_t, value + kShift));
}

float quantize_tile(const bf16* x, int64_t count, int8_t* codes) {
    const float amax = magnitude_of(x, count);
    const bool finite = amax <= 0x1.FEp127F;
    if (!finite || amax < kLeastAmax) {
        __builtin_memset(codes, 0, size_t(count));
        return finite ? 0 : __builtin_nanf("");
    }
    const float inverse = 127 / amax;
    for (int64_t i = 0; i < count; ++i) codes[i] = rounded(widen(x[i]) * inverse);
    return amax / 127;
}

}  // namespace

template <Isa isa>
void quantize_row_int8(const bf16* x, int64_t columns, int8_t* codes, float* scale) {
    for (int64_t i = 0; i < columns; i += kTile) {
        const int64_t count = columns - i < kTile ? columns - i : kTile;
        scale[i / kTile] = quantize_tile(x + i, count, codes + i);
    }
}

template void quantize_row_int8<Isa::HADAL_THIS_ISA>(const bf16*, int64_t, int8_t*, float*);

}  // namespace hadal::ops::cpu

// Sixteen counters side by side, each giving four words, in loops of sixteen that the compiler
// turns into vectors. Only additions, products, a square root and a division by a power of two,
// each rounded on its own (no fused multiply-add), so that every instruction set gives the same
// bits.
#include "ops/cpu/random_normal.h"

namespace hadal::ops::cpu {

namespace {

constexpr int kCounters = 16;
constexpr int kWords = 4;  // of a counter
static_assert(kCounters * kWords == kNormalBlock);

/// Ten rounds of Philox4x32. `words` holds the counters' four words, one word of all counters after
/// the other, and becomes their random words.
template <Isa isa>
void philox(uint64_t seed, uint32_t (&words)[kWords][kCounters]) {
    constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
    constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
    uint32_t key0 = uint32_t(seed), key1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < kCounters; ++i) {
            const uint64_t product0 = kMultiplier0 * words[0][i];
            const uint64_t product1 = kMultiplier1 * words[2][i];
            words[0][i] = uint32_t(product1 >> 32) ^ words[1][i] ^ key0;
            words[2][i] = uint32_t(product0 >> 32) ^ words[3][i] ^ key1;
            words[1][i] = uint32_t(product1);
            words[3][i] = uint32_t(product0);
        }
        key0 += kWeyl0;
        key1 += kWeyl1;
    }
}

/// −ln(x) for x in (0, 1], within a few units in the last place: the exponent times ln 2, and the
/// mantissa from
/// ln(m) = 2·artanh(s), s = (m − 1)/(m + 1), m in [√½, √2).
template <Isa isa>
inline float negative_log(float x) {
    constexpr uint32_t kSqrtHalf = 0x3F3504F3;
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const int32_t exponent = int32_t(bits - kSqrtHalf) >> 23;
    const float m = __builtin_bit_cast(float, bits - (uint32_t(exponent) << 23));
    const float s = (m - 1) / (m + 1);
    const float s2 = s * s;
    const float series =
        2 + s2 * (0.66666667f + s2 * (0.4f + s2 * (0.28571429f + s2 * 0.22222222f)));
    return -float(exponent) * 0.69314718f - s * series;
}

/// The quantile of a uniform word: its first bit is the sign, the others are the probability of a
/// larger |z|, at the middle of its 2⁻³¹.
template <Isa isa>
inline float quantile(uint32_t word) {
    // Giles 2012, listing of the single-precision version: erfinv(x) = x · p(w).
    constexpr float kCentre[] = {2.81022636e-08f,  3.43273939e-07f, -3.5233877e-06f,
                                 -4.39150654e-06f, 0.00021858087f,  -0.00125372503f,
                                 -0.00417768164f,  0.246640727f,    1.50140941f};
    constexpr float kTail[] = {-0.000200214257f, 0.000100950558f, 0.00134934322f,
                               -0.00367342844f,  0.00573950773f,  -0.0076224613f,
                               0.00943887047f,   1.00167406f,     2.83297682f};
    const float outside = (float(int32_t(word & 0x7FFFFFFF)) + 0.5f) * 0x1.0p-31f;  // 1 − |x|
    const float w = negative_log<isa>(outside * (2 - outside));                     // −ln(1 − x²)
    const bool centre = w < 5;
    const float root = __builtin_sqrtf(w);
    const float v = centre ? w - 2.5f : root - 3;
    float p = centre ? kCentre[0] : kTail[0];
    for (int k = 1; k < 9; ++k) p = p * v + (centre ? kCentre[k] : kTail[k]);
    constexpr float kSqrt2 = 1.41421356f;
    const float z = kSqrt2 * (1 - outside) * p;
    return word >> 31 ? -z : z;
}

}  // namespace

template <Isa isa>
void normal_block(uint64_t seed, uint64_t stream, uint64_t block, float* z) {
    uint32_t words[kWords][kCounters];
    const uint64_t first = block * kCounters;
    for (int i = 0; i < kCounters; ++i) {
        words[0][i] = uint32_t(first) + uint32_t(i);  // no carry: a multiple of 16 comes first
        words[1][i] = uint32_t(first >> 32);
        words[2][i] = uint32_t(stream);
        words[3][i] = uint32_t(stream >> 32);
    }
    philox<isa>(seed, words);
    const uint32_t* all = &words[0][0];
    for (int i = 0; i < kNormalBlock; ++i) z[i] = quantile<isa>(all[i]);
}

template void normal_block<Isa::HADAL_THIS_ISA>(uint64_t, uint64_t, uint64_t, float*);

}  // namespace hadal::ops::cpu

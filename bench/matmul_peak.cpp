#include "matmul_peak.h"

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hadal::bench {

namespace {

constexpr int kChains = 12;  // covers latency × units
constexpr long kRounds = 300000;

#if defined(__x86_64__)

__attribute__((target("avx512f"))) void spin_f32_512() {
    __m512 sums[kChains];
    __m512 x = _mm512_set1_ps(1e-3f);
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    for (long i = 0; i < kRounds; ++i) {
        asm volatile("" : "+v"(x));
#pragma GCC unroll 12
        for (int j = 0; j < kChains; ++j) sums[j] = _mm512_fmadd_ps(x, x, sums[j]);
    }
    for (__m512& sum : sums) asm volatile("" : "+v"(sum));
}

__attribute__((target("avx2,fma"))) void spin_f32_256() {
    __m256 sums[kChains];
    __m256 x = _mm256_set1_ps(1e-3f);
    for (__m256& sum : sums) sum = _mm256_setzero_ps();
    for (long i = 0; i < kRounds; ++i) {
        asm volatile("" : "+v"(x));
#pragma GCC unroll 12
        for (int j = 0; j < kChains; ++j) sums[j] = _mm256_fmadd_ps(x, x, sums[j]);
    }
    for (__m256& sum : sums) asm volatile("" : "+v"(sum));
}

__attribute__((target("avx512f,avx512bf16"))) void spin_pairs() {
    __m512 sums[kChains];
    __m512i x = _mm512_set1_epi32(0x3F803F80);
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    for (long i = 0; i < kRounds; ++i) {
        asm volatile("" : "+v"(x));
#pragma GCC unroll 12
        for (int j = 0; j < kChains; ++j)
            sums[j] = _mm512_dpbf16_ps(sums[j], __m512bh(x), __m512bh(x));
    }
    for (__m512& sum : sums) asm volatile("" : "+v"(sum));
}

__attribute__((target("amx-tile,amx-bf16"))) void spin_tiles() {
    struct alignas(64) {
        uint8_t palette = 1, start = 0, reserved[14] = {};
        uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } configuration;
    asm volatile("ldtilecfg %0" ::"m"(configuration));
    for (long i = 0; i < kRounds; ++i) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}

#endif

void spin_f32_128() {
    using Four = float __attribute__((vector_size(16)));
    Four sums[kChains] = {};
    Four x = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
    for (long i = 0; i < kRounds; ++i) {
        asm volatile("" : "+x"(x));
#pragma GCC unroll 12
        for (int j = 0; j < kChains; ++j) sums[j] += x * x;
        for (int j = 0; j < kChains; ++j) asm volatile("" : "+x"(sums[j]));
    }
}

}  // namespace

void spin_f32(Isa isa, double& operations) {
    const int lanes = isa >= Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4;
    operations = double(kRounds) * kChains * lanes * 2;
#if defined(__x86_64__)
    if (isa >= Isa::avx512) return spin_f32_512();
    if (isa == Isa::avx2) return spin_f32_256();
#endif
    spin_f32_128();
}

void spin_bf16(Isa isa, double& operations) {
#if defined(__x86_64__)
    if (isa == Isa::amx) {
        operations = double(kRounds) * 4 * 2 * 16 * 16 * 32;
        return spin_tiles();
    }
    if (isa == Isa::avx512) {
        operations = double(kRounds) * kChains * 64;
        return spin_pairs();
    }
#endif
    spin_f32(isa, operations);
}

long read_all(std::span<const std::byte> bytes) {
    using Eight = int64_t __attribute__((vector_size(64), aligned(64)));
    Eight sums[4] = {};
    const auto* data = reinterpret_cast<const Eight*>(bytes.data());
    for (size_t i = 0; i + 4 <= bytes.size() / 64; i += 4) {
        for (size_t j = 0; j < 4; ++j) sums[j] += data[i + j];
    }
    const Eight sum = sums[0] + sums[1] + sums[2] + sums[3];
    return sum[0] + sum[7];
}

}  // namespace hadal::bench

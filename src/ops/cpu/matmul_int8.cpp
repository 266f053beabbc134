// Integer products on vector registers.
#include "ops/cpu/matmul_int8.h"

#include "ops/cpu/matmul_store.h"

#if defined(__AVX512VNNI__)
#include "ops/cpu/matmul_int8_many512.h"
#elif defined(__AVX2__)
#include "ops/cpu/matmul_int8_256.h"
#endif

namespace hadal::ops::cpu {

#if defined(__AVX512VNNI__)

namespace {

constexpr int64_t kFewTokens = 4;  // fewer instructions than unpacking for tiles, measured

template <int kBits, class Out>
void multiply(const Int8Product& product, const MatmulTile& tile, Int8Scratch& scratch) {
    if (tile.n_count <= kFewTokens) return multiply_few<kBits, Out>(product, tile, scratch);
    ManyTokens<kBits, Out>(product, tile, scratch).compute();
}

}  // namespace

template <Isa isa>
MatmulLimits matmul_int8_limits(const Int8Product& product) {
    const int64_t few = kFewTokens * ((product.in + 127) / 128) * int64_t(sizeof(PackedTile));
    const int64_t many = product.tokens > kFewTokens ? int64_t(sizeof(ManyBuffers)) : 0;
    return {.m_step = kInt8RowBlock,
            .n_step = kTokenBlock,
            .m_most = kMostRows,
            .n_most = kMostTokens,
            .least_cost = 1e5,
            .bytes = few > many ? few : many};
}

#elif defined(__AVX2__)

namespace {

template <int kBits, class Out>
void multiply(const Int8Product& product, const MatmulTile& tile, Int8Scratch& scratch) {
    multiply_few<kBits, Out>(product, tile, scratch);
}

}  // namespace

template <Isa isa>
MatmulLimits matmul_int8_limits(const Int8Product& product) {
    constexpr int64_t kMostTokens = 64;
    const int64_t tokens = product.tokens < kMostTokens ? product.tokens : kMostTokens;
    const int64_t tiles = (product.in + 127) / 128;
    return {.m_step = kInt8RowBlock,
            .n_step = kInt8MostTokens,
            .m_most = 1024,
            .n_most = kMostTokens,
            .least_cost = 1e5,
            .bytes = tokens * tiles * int64_t(sizeof(PackedTile))};
}

#else

namespace {

constexpr int64_t kTile = 128;  // activations under one scale
constexpr int64_t kGroup = 32;  // weights under one scale
constexpr int64_t kGroups = kTile / kGroup;

/// Σ (code − bias)·a of the group at `j`.
template <int kBits>
int32_t group_dot(const uint8_t* w, const int8_t* x, int64_t j) {
    int32_t dot = 0, sum = 0;
    for (int64_t i = j; i < j + kGroup; ++i) sum += x[i];
    if constexpr (kBits == 8) {
        for (int64_t i = j; i < j + kGroup; ++i) dot += w[i] * x[i];
        return dot - 128 * sum;
    } else {
        for (int64_t i = j; i < j + kGroup; i += 2) {
            dot += (w[i / 2] & 15) * x[i] + (w[i / 2] >> 4) * x[i + 1];
        }
        return dot - 8 * sum;
    }
}

/// One result in float32.
template <int kBits>
float result(const Int8Product& product, int64_t token, int64_t row) {
    const uint8_t* w = product.w + row * product.w_stride;
    const bf16* w_scale = product.w_scale + row * product.w_scale_stride;
    const int8_t* x = product.x + token * product.x_stride;
    const float* x_scale = product.x_scale + token * product.x_scale_stride;
    float y = 0;
    for (int64_t j = 0; j < product.in; j += kTile) {
        float p[kGroups] = {};
        for (int64_t g = 0; g < kGroups && j + g * kGroup < product.in; ++g) {
            const int64_t at = j + g * kGroup;
            p[g] = float(group_dot<kBits>(w, x, at)) * widen(w_scale[at / kGroup]);
        }
        y = __builtin_fmaf((p[0] + p[1]) + (p[2] + p[3]), x_scale[j / kTile], y);
    }
    return y;
}

template <int kBits, class Out>
void multiply(const Int8Product& product, const MatmulTile& tile, Int8Scratch&) {
    for (int64_t t = tile.n_begin; t < tile.n_begin + tile.n_count; ++t) {
        Out* y = static_cast<Out*>(product.y) + t * product.y_stride;
        for (int64_t i = tile.m_begin; i < tile.m_begin + tile.m_count; ++i) {
            const float sum = result<kBits>(product, t, i);
            narrow(product.add ? sum + widen(y[i]) : sum, y[i]);
        }
    }
}

}  // namespace

template <Isa isa>
MatmulLimits matmul_int8_limits(const Int8Product&) {
    return {
        .m_step = 16, .n_step = 16, .m_most = 256, .n_most = 256, .least_cost = 1e5, .bytes = 0};
}

#endif

template <Isa isa, class Out>
void matmul_int8_tile(const Int8Product& product, const MatmulTile& tile, Int8Scratch& scratch) {
    if (product.bits == 4) {
        multiply<4, Out>(product, tile, scratch);
    } else {
        multiply<8, Out>(product, tile, scratch);
    }
}

constexpr Isa kThisIsa = Isa::HADAL_THIS_ISA;
template MatmulLimits matmul_int8_limits<kThisIsa>(const Int8Product&);
template void matmul_int8_tile<kThisIsa, bf16>(const Int8Product&, const MatmulTile&, Int8Scratch&);
template void matmul_int8_tile<kThisIsa, float>(const Int8Product&, const MatmulTile&,
                                                Int8Scratch&);

}  // namespace hadal::ops::cpu

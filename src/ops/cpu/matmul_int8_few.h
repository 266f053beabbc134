// What integer products of few tokens share on AVX2 and AVX-512: the weight goes from memory to the
// registers once, as many of its rows side by side as a register has lanes, up to four tokens at a
// time. Included by matmul_int8.cpp through the header of its instruction set, which has
//     pack_token<bits>(…)        a token's activations so
//     add_tile<bits, tokens, whole>(…)  adds a tile's part to the sums
#pragma once

#include <immintrin.h>

#include "ops/cpu/matmul_ahead.h"
#include "ops/cpu/matmul_int8.h"
#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {
namespace {

using Int8Sums = Floats<Isa::HADAL_THIS_ISA>;

constexpr int64_t kInt8RowBlock = Int8Sums::kLanes;  // rows of the weight side by side
constexpr int64_t kInt8MostTokens = 4;
// Lines are fetched ahead in as many portions a tile: all at once would fill the buffers that the
// tile's own loads need (from 0.70 to 0.85 of the read bandwidth, INT8).
constexpr int64_t kFetches = 4;

/// A token's codes of 128 weights in the order of the weight's, and where its sums start.
#if defined(__AVX512VNNI__)
struct PackedTile {
    __m512i codes[2];
    __m512i start;
};
#else
struct PackedTile {
    __m256i codes[2][2];  // [two groups][half]
    __m256i start[2];     // −bias·Σ a of INT4, in every word of the group's lane
};
#endif

/// Rows of the weight side by side; rows behind its end repeat the last.
struct RowBlock {
    const uint8_t* w[kInt8RowBlock];
    const bf16* scale[kInt8RowBlock];

    RowBlock(const Int8Product& product, int64_t begin, int64_t count) {
        for (int64_t i = 0; i < kInt8RowBlock; ++i) {
            const int64_t row = begin + (i < count ? i : count - 1);
            w[i] = product.w + row * product.w_stride;
            scale[i] = product.w_scale + row * product.w_scale_stride;
        }
    }
};

/// The tokens that are multiplied at one time.
template <int kTokens>
struct Tokens {
    const PackedTile* tiles;  // those of a token lie together
    int64_t tiles_each;
    const float* scale;
    int64_t scale_stride;
};

/// What comes after a block of rows: fetched while it is multiplied.
struct BlockAhead {
    Ahead codes;
    Ahead scales;

    BlockAhead() = default;
    /// Weights k … k + depth − 1 of `count` rows.
    BlockAhead(const Int8Product& product, int64_t begin, int64_t count, int64_t k, int64_t depth,
               int64_t steps)
        : codes(product.w + begin * product.w_stride + k * product.bits / 8, product.w_stride,
                count, depth * product.bits / 8, steps),
          scales(product.w_scale + begin * product.w_scale_stride + k / 32,
                 product.w_scale_stride * 2, count, depth / 32 * 2, steps) {}
    void fetch() {
        codes.fetch();
        scales.fetch();
    }
};

/// The first block of `count` rows, if there is a product.
BlockAhead first_block(const Int8Product* product, int64_t begin, int64_t count, int64_t steps) {
    if (product == nullptr) return {};
    return {*product, begin, count < kInt8RowBlock ? count : kInt8RowBlock, 0, product->in, steps};
}

template <int kBits>
void pack_token(const int8_t* x, int64_t in, PackedTile* to);

/// sums += a tile's part, fetching kFetches times. `groups` < 4 only in a row's last tile, which is
/// not whole.
template <int kBits, int kTokens, bool kWhole>
void add_tile(const RowBlock& rows, const Tokens<kTokens>& tokens, int64_t tile, int64_t groups,
              BlockAhead& ahead, Int8Sums (&sums)[kTokens]);

template <int kBits, int kTokens, class Out>
void multiply_block(const Int8Product& product, const RowBlock& rows, const Tokens<kTokens>& tokens,
                    BlockAhead ahead, int64_t count, Out* y) {
    Int8Sums sums[kTokens];
    for (Int8Sums& sum : sums) sum = Int8Sums::all(0);
    const int64_t whole = product.in / 128;
    for (int64_t tile = 0; tile < whole; ++tile) {
        add_tile<kBits, kTokens, true>(rows, tokens, tile, 4, ahead, sums);
    }
    if (const int64_t groups = product.in / 32 % 4; groups > 0) {
        add_tile<kBits, kTokens, false>(rows, tokens, whole, groups, ahead, sums);
    }
    for (int t = 0; t < kTokens; ++t, y += product.y_stride) {
        const auto finish = [&](auto part) {
            store(y, product.add ? sums[t] + Int8Sums::load(y, part) : sums[t], part);
        };
        count == kInt8RowBlock ? finish(Whole{}) : finish(Part{count});
    }
}

template <int kBits, class Out>
void multiply_few(const Int8Product& product, const MatmulTile& tile, Int8Scratch& scratch) {
    const int64_t tiles_each = (product.in + 127) / 128;
    auto* packed = reinterpret_cast<PackedTile*>(scratch.memory);
    for (int64_t t = 0; t < tile.n_count; ++t) {
        pack_token<kBits>(product.x + (tile.n_begin + t) * product.x_stride, product.in,
                          packed + t * tiles_each);
    }
    const int64_t end = tile.m_begin + tile.m_count;
    for (int64_t i = tile.m_begin; i < end; i += kInt8RowBlock) {
        const int64_t count = end - i < kInt8RowBlock ? end - i : kInt8RowBlock;
        BlockAhead ahead = first_block(scratch.next_product, scratch.next_tile.m_begin,
                                       scratch.next_tile.m_count, kFetches * tiles_each);
        if (end > i + count) {
            ahead = first_block(&product, i + count, end - i - count, kFetches * tiles_each);
        }
        const RowBlock rows(product, i, count);
        const auto some = [&]<int kTokens>(int64_t t) {
            const Tokens<kTokens> tokens{
                packed + t * tiles_each, tiles_each,
                product.x_scale + (tile.n_begin + t) * product.x_scale_stride,
                product.x_scale_stride};
            Out* y = static_cast<Out*>(product.y) + (tile.n_begin + t) * product.y_stride + i;
            multiply_block<kBits, kTokens, Out>(product, rows, tokens, ahead, count, y);
            ahead = {};  // has been fetched
        };
        int64_t t = 0;
        for (; t + kInt8MostTokens <= tile.n_count; t += kInt8MostTokens) {
            some.template operator()<kInt8MostTokens>(t);
        }
        if (tile.n_count - t == 3) some.template operator()<3>(t);
        if (tile.n_count - t == 2) some.template operator()<2>(t);
        if (tile.n_count - t == 1) some.template operator()<1>(t);
    }
}

}  // namespace
}  // namespace hadal::ops::cpu

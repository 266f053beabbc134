// Integer products of many tokens: sixteen rows of the weight by sixteen tokens at a time, on AMX
// tile registers or with AVX-512 VNNI. Included by matmul_int8.cpp only.
//
// Spans of 256 weights of the sixteen rows are turned into the tiles' layout, [4 weights][row][4],
// once for all tokens of the product's tile: nibbles become bytes, 4 KiB, first cache. A step is
// 128 weights: for each of its four groups the exact sums of 16×16 results (one multiplication of
// tiles, whose depth is a group), stored, then drained: converted, scaled and added to the totals
// in float32 in the order of ops/matmul_int8.h.
//
// A step's 32768 multiply-adds take 20 ns of the tile unit, 25 to load and to store tiles and 33 to
// drain them, measured one by one in the first cache, and 82 together: nothing overlaps (Sapphire
// Rapids at 3.5 GHz, one thread, load 10, November 2026). Half the depth of the tile unit is idle,
// for a group is 32 long.
#pragma once

#include "ops/cpu/matmul_int8_512.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kTokenBlock = 16;    // tokens of a step
constexpr int64_t kSpan = 256;         // weights that are unpacked at a time
constexpr int64_t kGroupBytes = 512;   // of 16 rows, or 16 tokens, in a group
constexpr int64_t kPackedX = 1 << 17;  // bytes of packed tokens, which share L2 with the totals
constexpr int64_t kMostRows = 512;     // of the weight in a product's tile
constexpr int64_t kMostTokens = 256;

static_assert(kPackedX >= kMostTokens * kSpan, "a span of every token has to fit");

struct ManyBuffers {
    int8_t x[kPackedX];                           // [block][group][16 tokens][32]
    int32_t start[kPackedX / 32];                 // [block][group][16 tokens]
    int8_t w[kSpan / 128][4][kGroupBytes];        // [tile][group][8][16 rows][4]
    float scales[kSpan / 128][4][kInt8RowBlock];  // of the weight
    int32_t dots[4][kTokenBlock][kInt8RowBlock];  // of a step
    float totals[kMostRows * kMostTokens];        // [16 rows of the weight][token][16]
};

// Tiles multiply signed bytes; VPDPBUSD wants the weights unsigned and starts at −bias·Σ a.
#if defined(__AMX_INT8__)
constexpr bool kSignedWeights = true;
#else
constexpr bool kSignedWeights = false;
#endif

/// How many activations of each token are packed at a time.
int64_t packed_depth(int64_t blocks, int64_t in) {
    const int64_t most = kPackedX / (blocks * kTokenBlock) / kSpan * kSpan;
    return in < most ? in : most;
}

/// A token's activations in the order of the unpacked weights: of eight of INT4 the even ones
/// first. Groups of its block lie one behind another, sixteen tokens each.
template <int kBits>
void pack_token_of_block(const int8_t* x, int64_t count, int8_t* to, int32_t* start) {
    alignas(32) static constexpr uint8_t kEvenFirst[32] = {0,  2, 4,  6,  1,  3,  5, 7,  8,  10, 12,
                                                           14, 9, 11, 13, 15, 0,  2, 4,  6,  1,  3,
                                                           5,  7, 8,  10, 12, 14, 9, 11, 13, 15};
    const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kEvenFirst));
    for (int64_t i = 0; i < count; i += 32, to += kGroupBytes, start += kTokenBlock) {
        __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
        if constexpr (kBits == 4) codes = _mm256_shuffle_epi8(codes, order);
        _mm256_store_si256(reinterpret_cast<__m256i*>(to), codes);
        if constexpr (!kSignedWeights) {
            const __m256i sums =
                _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), codes);
            const __m128i half =
                _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
            const __m128i pair = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
            const int32_t sum = _mm_cvtsi128_si32(pair) + _mm_extract_epi32(pair, 1);
            *start = -(1 << (kBits - 1)) * sum;
        }
    }
}

/// Columns of 4×4 words in each 128-bit lane become rows.
void transpose_words(__m512i (&x)[4]) {
    const __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpackhi_epi32(x[0], x[1]);
    const __m512i c = _mm512_unpacklo_epi32(x[2], x[3]), d = _mm512_unpackhi_epi32(x[2], x[3]);
    x[0] = _mm512_unpacklo_epi64(a, c);
    x[1] = _mm512_unpackhi_epi64(a, c);
    x[2] = _mm512_unpacklo_epi64(b, d);
    x[3] = _mm512_unpackhi_epi64(b, d);
}

/// Four words of each of sixteen rows, word by word: [word][row].
inline __attribute__((always_inline)) void load_words(const uint8_t* const* rows, int64_t offset,
                                                      __m512i (&words)[4]) {
    const auto four = [&](int64_t row) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset));
    };
    for (int64_t q = 0; q < 4; ++q) {
        words[q] = _mm512_broadcast_i32x4(four(q));
        words[q] = _mm512_mask_broadcast_i32x4(words[q], 0x00F0, four(4 + q));
        words[q] = _mm512_mask_broadcast_i32x4(words[q], 0x0F00, four(8 + q));
        words[q] = _mm512_mask_broadcast_i32x4(words[q], 0xF000, four(12 + q));
    }
    transpose_words(words);
}

/// A group of sixteen rows: [8][16 rows][4 weights].
template <int kBits>
inline __attribute__((always_inline)) void unpack_group(const uint8_t* const* rows, int64_t offset,
                                                        int8_t* to) {
    __m512i words[4];
    const auto put = [&](__m512i bytes) {
        _mm512_store_si512(to, bytes);
        to += 64;
    };
    if constexpr (kBits == 4) {
        const __m512i low_bits = _mm512_set1_epi8(15);
        const __m512i bias = _mm512_set1_epi8(kSignedWeights ? 8 : 0);
        load_words(rows, offset, words);
        for (const __m512i& pairs : words) {
            put(_mm512_sub_epi8(_mm512_and_si512(pairs, low_bits), bias));
            put(_mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(pairs, 4), low_bits), bias));
        }
    } else {
        const __m512i sign = _mm512_set1_epi8(kSignedWeights ? char(-128) : char(0));
        for (const int64_t half : {0, 16}) {
            load_words(rows, offset + half, words);
            for (const __m512i& bytes : words) put(_mm512_xor_si512(bytes, sign));
        }
    }
}

/// Scales of a tile of sixteen rows: [group][row].
template <bool kWhole>
void unpack_scales(const bf16* const* rows, int64_t offset, int64_t groups,
                   float (*to)[kInt8RowBlock]) {
    __m512 quads[4];
    for (int q = 0; q < 4; ++q) quads[q] = load_scales<kWhole>(rows + 4 * q, offset, groups);
    const __m512 low[2] = {_mm512_shuffle_f32x4(quads[0], quads[1], 0x44),
                           _mm512_shuffle_f32x4(quads[2], quads[3], 0x44)};
    const __m512 high[2] = {_mm512_shuffle_f32x4(quads[0], quads[1], 0xEE),
                            _mm512_shuffle_f32x4(quads[2], quads[3], 0xEE)};
    _mm512_store_ps(to[0], _mm512_shuffle_f32x4(low[0], low[1], 0x88));
    _mm512_store_ps(to[1], _mm512_shuffle_f32x4(low[0], low[1], 0xDD));
    _mm512_store_ps(to[2], _mm512_shuffle_f32x4(high[0], high[1], 0x88));
    _mm512_store_ps(to[3], _mm512_shuffle_f32x4(high[0], high[1], 0xDD));
}

/// `count` weights of sixteen rows from k on, while others are fetched.
template <int kBits>
void unpack_span(const RowBlock& rows, int64_t k, int64_t count, BlockAhead& ahead,
                 ManyBuffers& buffers) {
    for (int64_t tile = 0; tile * 128 < count; ++tile) {
        const int64_t left = (count - tile * 128) / 32;
        const int64_t groups = left < 4 ? left : 4;
        const int64_t first = k / 32 + tile * 4;  // of the row's groups
        for (int64_t g = 0; g < 4; ++g) {
            ahead.fetch();
            int8_t* to = buffers.w[tile][g];
            if (g < groups) {
                unpack_group<kBits>(rows.w, (first + g) * 4 * kBits, to);
            } else {
                __builtin_memset(to, 0, kGroupBytes);
            }
        }
        if (groups == 4) {
            unpack_scales<true>(rows.scale, first, groups, buffers.scales[tile]);
        } else {
            unpack_scales<false>(rows.scale, first, groups, buffers.scales[tile]);
        }
    }
}

/// 128 weights of sixteen rows by up to sixteen tokens.
struct Step {
    const int8_t* x;                       // [4][16 tokens][32]
    const int32_t* start;                  // [4][16 tokens]
    const int8_t (*w)[kGroupBytes];        // [4][8][16 rows][4]
    const float (*scales)[kInt8RowBlock];  // [4][16 rows]
    const float* x_scale;                  // of the first token
    int64_t x_scale_stride;
    float* totals;  // [token][16]
    int64_t tokens;
};

#if defined(__AMX_INT8__)

/// Tile registers 0–3 hold the sums of a group each; 4 and 5 tokens, 6 and 7 weights.
void configure_tiles(int64_t tokens) {
    struct alignas(64) {
        uint8_t palette = 1;
        uint8_t start_row = 0;
        uint8_t reserved[14] = {};
        uint16_t column_bytes[16] = {64, 64, 64, 64, 32, 32, 64, 64};
        uint8_t rows[16] = {};
    } configuration;
    for (int i = 0; i < 6; ++i) configuration.rows[i] = uint8_t(tokens);
    configuration.rows[6] = configuration.rows[7] = 8;
    asm volatile("ldtilecfg %0" ::"m"(configuration));
}
void release_tiles() {
    _tile_release();
}

/// The exact sums of the four groups.
void multiply_step(const Step& step, ManyBuffers& buffers) {
    const int8_t* x = step.x;
    _tile_loadd(4, x, 32);
    _tile_loadd(6, step.w[0], 64);
    _tile_zero(0);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(5, x + kGroupBytes, 32);
    _tile_loadd(7, step.w[1], 64);
    _tile_zero(1);
    _tile_dpbssd(1, 5, 7);
    _tile_loadd(4, x + 2 * kGroupBytes, 32);
    _tile_loadd(6, step.w[2], 64);
    _tile_zero(2);
    _tile_dpbssd(2, 4, 6);
    _tile_loadd(5, x + 3 * kGroupBytes, 32);
    _tile_loadd(7, step.w[3], 64);
    _tile_zero(3);
    _tile_dpbssd(3, 5, 7);
    _tile_stored(0, buffers.dots[0], 64);
    _tile_stored(1, buffers.dots[1], 64);
    _tile_stored(2, buffers.dots[2], 64);
    _tile_stored(3, buffers.dots[3], 64);
}

#else

void configure_tiles(int64_t) {}
void release_tiles() {}

/// The exact sums of the four groups: eight registers of weights, a token's words in all lanes.
void multiply_step(const Step& step, ManyBuffers& buffers) {
    for (int64_t g = 0; g < 4; ++g) {
        __m512i w[8];
        for (int i = 0; i < 8; ++i) w[i] = _mm512_load_si512(step.w[g] + 64 * i);
        for (int64_t t = 0; t < step.tokens; ++t) {
            const int8_t* x = step.x + g * kGroupBytes + 32 * t;
            __m512i sum = _mm512_set1_epi32(step.start[g * kTokenBlock + t]);
            for (int i = 0; i < 8; ++i) {
                int32_t word;
                __builtin_memcpy(&word, x + 4 * i, 4);
                sum = _mm512_dpbusd_epi32(sum, w[i], _mm512_set1_epi32(word));
            }
            _mm512_store_si512(buffers.dots[g][t], sum);
        }
    }
}

#endif

/// totals += the step's part.
void drain_step(const Step& step, const ManyBuffers& buffers) {
    const __m512 scale[4] = {_mm512_load_ps(step.scales[0]), _mm512_load_ps(step.scales[1]),
                             _mm512_load_ps(step.scales[2]), _mm512_load_ps(step.scales[3])};
    for (int64_t t = 0; t < step.tokens; ++t) {
        const auto part = [&](int g) {
            const __m512i dots = _mm512_load_si512(buffers.dots[g][t]);
            return _mm512_mul_ps(_mm512_cvtepi32_ps(dots), scale[g]);
        };
        const __m512 sum =
            _mm512_add_ps(_mm512_add_ps(part(0), part(1)), _mm512_add_ps(part(2), part(3)));
        float* total = step.totals + t * kInt8RowBlock;
        const __m512 x_scale = _mm512_set1_ps(step.x_scale[t * step.x_scale_stride]);
        _mm512_store_ps(total, _mm512_fmadd_ps(sum, x_scale, _mm512_load_ps(total)));
    }
}

/// A tile of a product, for many tokens.
template <int kBits, class Out>
class ManyTokens {
  public:
    ManyTokens(const Int8Product& product, const MatmulTile& tile, Int8Scratch& scratch)
        : product_(product),
          tile_(tile),
          buffers_(*reinterpret_cast<ManyBuffers*>(scratch.memory)),
          blocks_((tile.n_count + kTokenBlock - 1) / kTokenBlock) {}

    void compute() {
        const int64_t strips = (tile_.m_count + kInt8RowBlock - 1) / kInt8RowBlock;
        __builtin_memset(buffers_.totals, 0,
                         size_t(strips * blocks_ * kTokenBlock * kInt8RowBlock) * sizeof(float));
        configure_tiles(tile_.n_count < kTokenBlock ? tile_.n_count : kTokenBlock);
        const int64_t depth = packed_depth(blocks_, product_.in);
        for (int64_t k = 0; k < product_.in; k += depth) {
            const int64_t k_end = k + depth < product_.in ? k + depth : product_.in;
            pack_tokens(k, k_end - k);
            for (int64_t strip = 0; strip < strips; ++strip) add_rows(strip, k, k_end);
        }
        release_tiles();
        for (int64_t strip = 0; strip < strips; ++strip) store_rows(strip);
    }

  private:
    void pack_tokens(int64_t k, int64_t count) {
        // Whole tiles: groups behind the end and tokens behind the last are zeros.
        groups_ = (count + 127) / 128 * 4;
        if (count % 128 != 0 || tile_.n_count % kTokenBlock != 0) {
            __builtin_memset(buffers_.x, 0, size_t(blocks_ * groups_ * kGroupBytes));
            __builtin_memset(buffers_.start, 0, size_t(blocks_ * groups_ * kTokenBlock * 4));
        }
        for (int64_t t = 0; t < tile_.n_count; ++t) {
            const int64_t block = t / kTokenBlock * groups_, in_block = t % kTokenBlock;
            pack_token_of_block<kBits>(product_.x + (tile_.n_begin + t) * product_.x_stride + k,
                                       count, buffers_.x + block * kGroupBytes + in_block * 32,
                                       buffers_.start + block * kTokenBlock + in_block);
        }
    }

    float* totals(int64_t strip, int64_t block) {
        return buffers_.totals + (strip * blocks_ + block) * kTokenBlock * kInt8RowBlock;
    }
    int64_t rows_of(int64_t strip) const {
        const int64_t left = tile_.m_count - strip * kInt8RowBlock;
        return left < kInt8RowBlock ? left : kInt8RowBlock;
    }

    /// Sixteen rows by all tokens, activations k … k_end − 1.
    void add_rows(int64_t strip, int64_t k, int64_t k_end) {
        const RowBlock rows(product_, tile_.m_begin + strip * kInt8RowBlock, rows_of(strip));
        for (int64_t at = k; at < k_end; at += kSpan) {
            const int64_t span = k_end - at < kSpan ? k_end - at : kSpan;
            const int64_t tiles = (span + 127) / 128;
            BlockAhead ahead = after(strip, at + span, k, k_end);
            unpack_span<kBits>(rows, at, span, ahead, buffers_);
            for (int64_t block = 0; block < blocks_; ++block) {
                for (int64_t tile = 0; tile < tiles; ++tile) {
                    const Step step = step_at(strip, block, tile, at, at - k);
                    multiply_step(step, buffers_);
                    drain_step(step, buffers_);
                }
            }
        }
    }

    Step step_at(int64_t strip, int64_t block, int64_t tile, int64_t k, int64_t packed_k) {
        const int64_t group = block * groups_ + packed_k / 32 + tile * 4;
        const int64_t first = block * kTokenBlock, left = tile_.n_count - first;
        return {.x = buffers_.x + group * kGroupBytes,
                .start = buffers_.start + group * kTokenBlock,
                .w = buffers_.w[tile],
                .scales = buffers_.scales[tile],
                .x_scale = product_.x_scale + (tile_.n_begin + first) * product_.x_scale_stride +
                           k / 128 + tile,
                .x_scale_stride = product_.x_scale_stride,
                .totals = totals(strip, block),
                .tokens = left < kTokenBlock ? left : kTokenBlock};
    }

    /// The span that is unpacked after the one that ends at `at`, a portion for each of its groups.
    BlockAhead after(int64_t strip, int64_t at, int64_t k, int64_t k_end) const {
        if (at == k_end) {
            at = k;
            ++strip;
        }
        if (strip * kInt8RowBlock >= tile_.m_count) return {};
        const int64_t count = k_end - at < kSpan ? k_end - at : kSpan;
        return {product_,  tile_.m_begin + strip * kInt8RowBlock, rows_of(strip), at, count,
                kSpan / 32};
    }

    void store_rows(int64_t strip) {
        using V = Floats<Isa::HADAL_THIS_ISA>;
        for (int64_t t = 0; t < tile_.n_count; ++t) {
            const float* sums = totals(strip, 0) + t * kInt8RowBlock;
            Out* y = static_cast<Out*>(product_.y) + (tile_.n_begin + t) * product_.y_stride +
                     tile_.m_begin + strip * kInt8RowBlock;
            for_each_vector<V>(rows_of(strip), [&](int64_t i, auto part) {
                const V sum = V::load(sums + i, part);
                store(y + i, product_.add ? sum + V::load(y + i, part) : sum, part);
            });
        }
    }

    const Int8Product& product_;
    const MatmulTile& tile_;
    ManyBuffers& buffers_;
    int64_t blocks_;
    int64_t groups_ = 0;  // of a packed token
};

}  // namespace
}  // namespace hadal::ops::cpu

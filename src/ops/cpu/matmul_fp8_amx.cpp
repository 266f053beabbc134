// Products of FP8 codes on AMX tile registers.
//
// As matmul_amx.cpp: blocks of 32×32 results from two tiles of rows and two of columns. Codes
// become bf16 in the cache: columns in strips of 16 for a whole tile of the plan, rows 32 at a
// time. While the tile unit multiplies 128 of k (4 steps of 4 instructions, 256 cycles), the sums
// of the block before leave the tiles one by one, and the vector units scale them and add them to
// the totals, and decode the next 32 rows: the promotion of report figure 7b, with the processor's
// units in the roles of Hopper's two groups of warps.
//
// Decoding looks up both bytes of 64 values at a time: 7 to 9 instructions on the shuffle port for
// 64 codes (rows, columns), against the 8 cycles in which the tile unit multiplies 64 codes with
// one tile. A code of an operand that meets 256 others costs a thirtieth of its arithmetic.
//
// Few rows (decoding a text) exchange the operands: the weight is then the operand that is not
// transposed, and V3's codes and blocks take the way of matmul_narrow_amx.h.
#include "ops/cpu/matmul_fp8.h"

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include "ops/cpu/amx_block.h"
#include "ops/cpu/matmul_fp8_pack.h"
#include "ops/cpu/matmul_narrow_amx.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kStep = 32;       // k of one instruction
constexpr int64_t kPart = 512;      // k decoded at a time: 32 rows, 32 KiB, in L1
constexpr int64_t kMostSide = 512;  // of a tile of the plan: columns 512 KiB, totals 1 MiB in L2
// Tile stores are slow to complete, and a load that shares their address below 4 KiB waits for
// them. A step of k loads one quarter of such a page, the same of all operands: sums go to the
// quarter that is loaded last, each tile in a page of its own.
constexpr int64_t kPage = 4096;
constexpr int64_t kSumStride = kPage;
constexpr int64_t kLastQuarter = kPage - kTileBytes;
constexpr int64_t kMostScales = kPart / kStep;  // of a row, in a part of k

/// The sums of a finished block of k that wait to be scaled and added to the totals, eight rows at
/// a time, during the next. These are some hundred instructions beside sixteen of the tile unit:
/// they must not wait for each other, nor for loads that a register could spare.
template <class Out>
struct Promotion {
    const std::byte* sums = nullptr;       // four tiles
    float* totals = nullptr;               // [32][32]
    const float* row_scales = nullptr;     // [32]
    const float* column_scales = nullptr;  // [32]
    int64_t rows = 0;                      // 0: nothing waits
    bool two_columns = false;              // tiles
    bool first = false;                    // there are no totals yet
    bool to_c = false;                     // the last block of k: the totals go to c
    bool add = false;
    Out* c = nullptr;
    int64_t stride = 0;
    __mmask16 lanes[2] = {};

    /// All of it at once.
    void finish() {
        for (int64_t group = 0; group * kGroup < rows; ++group) {
            if (to_c) {
                first ? promote_edges<true, true>(group) : promote_edges<false, true>(group);
            } else {
                first ? promote_edges<true, false>(group) : promote_edges<false, false>(group);
            }
        }
        rows = 0;
    }

    /// A group of 32×32 sums.
    template <bool is_first, bool stores>
    __attribute__((always_inline)) void promote_whole(int64_t group) const {
        promote<is_first, stores, 2>(group, kGroup);
    }

  private:
    static constexpr int64_t kGroup = 8;

    template <bool is_first, bool stores>
    void promote_edges(int64_t group) const {
        const int64_t count = least(rows - group * kGroup, kGroup);
        if (two_columns) return promote<is_first, stores, 2>(group, count);
        promote<is_first, stores, 1>(group, count);
    }

    template <bool is_first, bool stores, int tiles>
    __attribute__((always_inline)) void promote(int64_t group, int64_t count) const {
        const std::byte* sum = sums + group % 2 * 512 + group / 2 * 2 * kSumStride;
        const float* row_scale = row_scales + group * kGroup;
        float* total = totals + group * kGroup * kBlock;
        Out* to = c + group * kGroup * stride;
        const int64_t c_stride = stride;
        const bool adds = add;
        const __mmask16 to_lanes[2] = {lanes[0], lanes[1]};
        __m512 column_scale[tiles];
        for (int j = 0; j < tiles; ++j) column_scale[j] = _mm512_loadu_ps(column_scales + 16 * j);
#pragma GCC unroll 8
        for (int64_t i = 0; i < count; ++i) {
            const __m512 scale = _mm512_set1_ps(row_scale[i]);
#pragma GCC unroll 2
            for (int j = 0; j < tiles; ++j) {
                const __m512 before =
                    is_first ? _mm512_setzero_ps() : _mm512_load_ps(total + i * kBlock + 16 * j);
                const __m512 after = _mm512_fmadd_ps(_mm512_load_ps(sum + i * 64 + j * kSumStride),
                                                     _mm512_mul_ps(scale, column_scale[j]), before);
                if constexpr (stores) {
                    store_sums(after, to_lanes[j], adds, to + i * c_stride + 16 * j);
                } else {
                    _mm512_store_ps(total + i * kBlock + 16 * j, after);
                }
            }
        }
    }
};

/// The operands of a block of 32×32 results over a block of k.
struct BlockOperands {
    const std::byte* a;  // decoded rows
    int64_t a_next;      // bytes from the first 16 to the others
    const std::byte* b;  // decoded columns
    int64_t b_stride;
    int64_t b_next;
    int64_t steps;
};

/// sums = rows·columns of fewer than 32 rows or columns, or of nothing.
template <int row_tiles, int column_tiles>
void multiply_edge(const BlockOperands& block, std::byte* sums) {
    asm volatile("" ::: "memory");  // the tile loads below are opaque to the compiler
    _tile_zero(0);
    if constexpr (column_tiles == 2) _tile_zero(1);
    if constexpr (row_tiles == 2) _tile_zero(2);
    if constexpr (row_tiles == 2 && column_tiles == 2) _tile_zero(3);
    const std::byte *a = block.a, *b = block.b;
    for (int64_t i = 0; i < block.steps; ++i, a += kTileBytes, b += 16 * block.b_stride) {
        _tile_stream_loadd(6, b, block.b_stride);
        _tile_loadd(4, a, 64);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (column_tiles == 2) {
            _tile_stream_loadd(7, b + block.b_next, block.b_stride);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (row_tiles == 2) {
            _tile_loadd(5, a + block.a_next, 64);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (column_tiles == 2) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, sums, 64);
    if constexpr (column_tiles == 2) _tile_stored(1, sums + kSumStride, 64);
    if constexpr (row_tiles == 2) _tile_stored(2, sums + 2 * kSumStride, 64);
    if constexpr (row_tiles == 2 && column_tiles == 2) _tile_stored(3, sums + 3 * kSumStride, 64);
    asm volatile("" ::: "memory");
}

/// What goes on beside the tile unit while a whole block is multiplied.
template <class Out>
struct Beside {
    std::byte* sums;                  // receives what the block before left in the tiles
    const Promotion<Out>& promotion;  // of these
    RowDecoder& ahead;
    int64_t ahead_count;  // portions
    const Out* result;    // where this block's totals will go: fetched; null if later
    int64_t stride;
};

enum class Stage { nothing, first_total, add_to_total, total_to_c, sums_to_c };

/// 32×32 results over up to 128 of k; the sums stay in the tiles. A tile is stored just before its
/// next use, while the tile unit multiplies those before it: stored at the end of a block, all four
/// would wait for the last product, and the next block for them. Nor is there a branch that could
/// be mispredicted, with tile instructions behind it.
template <class Out, Stage stage>
void multiply_whole(const BlockOperands& block, const Beside<Out>& beside) {
    constexpr bool kIsFirst = stage == Stage::first_total || stage == Stage::sums_to_c;
    constexpr bool kStores = stage == Stage::total_to_c || stage == Stage::sums_to_c;
    const std::byte *a = block.a, *b = block.b;
    const int64_t a_next = block.a_next, b_next = block.b_next;
    const Out* result = beside.result;
    std::byte* sums = beside.sums;
    asm volatile("" ::: "memory");  // the tile instructions below are opaque to the compiler
    const auto group = [&](int64_t i) __attribute__((always_inline)) {
        if constexpr (stage != Stage::nothing) {
            beside.promotion.template promote_whole<kIsFirst, kStores>(i);
        }
        if (result == nullptr) return;
#pragma GCC unroll 8
        for (int row = 0; row < 8; ++row, result += beside.stride) {
            for (size_t line = 0; line < kBlock * sizeof(Out) / 64; ++line) {
                __builtin_prefetch(result + line * (64 / sizeof(Out)), 1, 3);
            }
        }
    };
    const auto step = [&]<bool is_first_step>(int64_t i) __attribute__((always_inline)) {
        _tile_stream_loadd(6, b, 64);
        _tile_loadd(4, a, 64);
        if constexpr (is_first_step) {
            _tile_stored(0, sums, 64);
            _tile_zero(0);
        }
        _tile_dpbf16ps(0, 4, 6);
        _tile_stream_loadd(7, b + b_next, 64);
        if constexpr (is_first_step) {
            _tile_stored(1, sums + kSumStride, 64);
            _tile_zero(1);
        }
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + a_next, 64);
        if constexpr (is_first_step) {
            _tile_stored(2, sums + 2 * kSumStride, 64);
            _tile_zero(2);
        }
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (is_first_step) {
            _tile_stored(3, sums + 3 * kSumStride, 64);
            _tile_zero(3);
        }
        _tile_dpbf16ps(3, 5, 7);
        if constexpr (!is_first_step) group(i - 1);
        a += kTileBytes;
        b += kTileBytes;
    };
    step.template operator()<true>(0);
    beside.ahead.advance(beside.ahead_count);
#pragma GCC unroll 3
    for (int64_t i = 1; i < block.steps; ++i) step.template operator()<false>(i);
    for (int64_t i = block.steps; i < 5; ++i) group(i - 1);
    asm volatile("" ::: "memory");
}

/// To memory what multiply_whole left.
[[maybe_unused]] void store_tiles(std::byte* sums) {
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + kSumStride, 64);
    _tile_stored(2, sums + 2 * kSumStride, 64);
    _tile_stored(3, sums + 3 * kSumStride, 64);
    asm volatile("" ::: "memory");
}

/// Where things lie in a thread's scratch memory.
struct alignas(kPage) Buffers {
    std::byte columns[kMostSide * kPart * 2];
    std::byte rows[2][kBlock * kPart * 2];
    std::byte sums[4][kPage];
    std::byte totals[kPage + kMostSide * kMostSide * 4];
    float row_scales[kMostScales][kMostSide];
    float column_scales[kMostScales][kMostSide];
};

constexpr BlockShape kWhole{{16, 16}, {16, 16}};

/// One tile of the plan while it is computed.
template <class Out>
class TileProduct {
  public:
    TileProduct(const Fp8Product& product, const MatmulTile& tile, Fp8Scratch& scratch)
        : product_(product),
          tile_(tile),
          scratch_(scratch),
          buffers_(*reinterpret_cast<Buffers*>(  // NOLINT(performance-no-int-to-ptr): page aligned
              (reinterpret_cast<uintptr_t>(scratch.memory) + kPage - 1) / kPage * kPage)),
          width_(least(16, tile.n_count)) {
        promotion_.add = product.add;
        promotion_.stride = product.c_stride;
        promotion_.sums = sums();
    }

    void compute() {
        for (int64_t k = 0; k < product_.k || k == 0; k += kPart) {
            decode_columns(k, least(k + kPart, product_.k));
            compute_part(k);
        }
        _tile_release();
    }

  private:
    void compute_part(int64_t k) {
        begin_ = k;
        end_ = least(k + kPart, product_.k);
        expand_all_scales();
        multiply();
    }

    int64_t steps() const {
        return (end_ - begin_ + kStep - 1) / kStep;
    }
    /// Strip after strip: [k/2][width_] pairs.
    void decode_columns(int64_t begin, int64_t end) {
        columns_begin_ = begin;
        strip_bytes_ = (end - begin + kStep - 1) / kStep * 64 * width_;
        const bool whole_k = begin == 0 && end == product_.k;
        if (whole_k && scratch_.packed_product == &product_ &&
            scratch_.packed_begin == tile_.n_begin && scratch_.packed_count == tile_.n_count) {
            return;
        }
        scratch_.packed_product = whole_k ? &product_ : nullptr;
        scratch_.packed_begin = tile_.n_begin;
        scratch_.packed_count = tile_.n_count;
        const ColumnDecoder decoder(product_.b, begin, end, width_);
        decoder.decode(tile_.n_begin, tile_.n_count, buffers_.columns, strip_bytes_);
    }

    void expand_all_scales() {
        if (product_.k == 0) {  // one block of nothing
            __builtin_memset(buffers_.row_scales[0], 0, sizeof buffers_.row_scales[0]);
            __builtin_memset(buffers_.column_scales[0], 0, sizeof buffers_.column_scales[0]);
        }
        int64_t i = 0;
        for (int64_t k = begin_; k < end_; k += product_.block, ++i) {
            expand_scales(product_.a.scales, tile_.m_begin, tile_.m_count, k,
                          buffers_.row_scales[i]);
            expand_scales(product_.b.scales, tile_.n_begin, tile_.n_count, k,
                          buffers_.column_scales[i]);
        }
    }

    RowDecoder row_decoder(int64_t m) {
        if (m >= tile_.m_count) return {};
        return {product_.a,
                tile_.m_begin + m,
                least(kBlock, tile_.m_count - m),
                begin_,
                end_,
                buffers_.rows[m / kBlock % 2]};
    }

    void multiply() {
        BlockShape configured = {};
        const int64_t across = (tile_.n_count + kBlock - 1) / kBlock;
        RowDecoder first = row_decoder(0);
        first.advance(first.left());
        for (int64_t m = 0; m < tile_.m_count; m += kBlock) {
            RowDecoder ahead = row_decoder(m + kBlock);
            const int64_t rows = least(kBlock, tile_.m_count - m);
            const int64_t slots = across * (end_ - begin_ + product_.block - 1) / product_.block;
            const int64_t ahead_count = slots == 0 ? 0 : (ahead.left() + slots - 1) / slots;
            for (int64_t n = 0; n < tile_.n_count; n += kBlock) {
                const BlockShape shape = {{least(16, rows), rows > 16 ? rows - 16 : 0},
                                          {width_, tile_.n_count - n > 16 ? width_ : 0}};
                if (!(shape == configured)) {
                    finish_promotion();
                    configure(shape);
                }
                configured = shape;
                multiply_block(m, n, shape, ahead, ahead_count);
            }
            ahead.advance(ahead.left());
        }
        finish_promotion();
    }

    void multiply_block(int64_t m, int64_t n, const BlockShape& shape, RowDecoder& ahead,
                        int64_t ahead_count) {
        float* totals = totals_of(m, n);
        const std::byte* rows = buffers_.rows[m / kBlock % 2];
        int64_t index = 0;
        for (int64_t k = begin_; k < end_ || k == 0; k += product_.block, ++index) {
            const BlockOperands block{
                .a = rows + (k - begin_) / kStep * kTileBytes,
                .a_next = steps() * kTileBytes,
                .b = strip(n) + (k - columns_begin_) * 2 * width_,
                .b_stride = 4 * width_,
                .b_next = strip_bytes_,
                .steps = (least(product_.block, end_ - k) + kStep - 1) / kStep};
            const bool to_c = k + product_.block >= product_.k && !product_.c_transposed;
            const bool whole = shape == kWhole && block.steps > 0;
            if (whole) {
                multiply_whole(block, ahead, ahead_count, to_c ? result_of(m, n) : nullptr);
            } else {
                finish_promotion();
                multiply_edge(block, shape);
            }
            // Member by member: a copy of the whole would be read before its parts have left the
            // store buffer, behind the tiles' sums, and stand still until those are in memory.
            promotion_.totals = totals;
            promotion_.rows = shape.rows[0] + shape.rows[1];
            promotion_.two_columns = shape.columns[1] > 0;
            promotion_.row_scales = buffers_.row_scales[index] + m;
            promotion_.column_scales = buffers_.column_scales[index] + n;
            promotion_.first = k == 0;
            promotion_.to_c = to_c;
            promotion_.c = result_of(m, n);
            promotion_.lanes[0] = first_lanes(tile_.n_count - n);
            promotion_.lanes[1] = first_lanes(tile_.n_count - n > 16 ? tile_.n_count - n - 16 : 0);
            in_tiles_ = whole;
        }
        if (product_.c_transposed && end_ == product_.k) {
            finish_promotion();
            store_transposed(m, n, shape, totals);
        }
    }

    void multiply_whole(const BlockOperands& block, RowDecoder& ahead, int64_t ahead_count,
                        const Out* result) {
        if (!in_tiles_) promotion_.finish();
        const Promotion<Out>& promotion = promotion_;
        const Beside<Out> beside{.sums = sums(),
                                 .promotion = promotion,
                                 .ahead = ahead,
                                 .ahead_count = ahead_count,
                                 .result = result,
                                 .stride = product_.c_stride};
        if (promotion.rows == 0) return cpu::multiply_whole<Out, Stage::nothing>(block, beside);
        if (promotion.to_c) {
            return promotion.first ? cpu::multiply_whole<Out, Stage::sums_to_c>(block, beside)
                                   : cpu::multiply_whole<Out, Stage::total_to_c>(block, beside);
        }
        return promotion.first ? cpu::multiply_whole<Out, Stage::first_total>(block, beside)
                               : cpu::multiply_whole<Out, Stage::add_to_total>(block, beside);
    }

    void multiply_edge(const BlockOperands& block, const BlockShape& shape) {
        if (shape.rows[1] > 0 && shape.columns[1] > 0) {
            cpu::multiply_edge<2, 2>(block, sums());
        } else if (shape.rows[1] > 0) {
            cpu::multiply_edge<2, 1>(block, sums());
        } else if (shape.columns[1] > 0) {
            cpu::multiply_edge<1, 2>(block, sums());
        } else {
            cpu::multiply_edge<1, 1>(block, sums());
        }
    }

    void finish_promotion() {
        if (in_tiles_) store_tiles(sums());
        in_tiles_ = false;
        promotion_.finish();
    }

    std::byte* sums() {
        return buffers_.sums[0] + kLastQuarter;
    }
    Out* result_of(int64_t m, int64_t n) const {
        return static_cast<Out*>(product_.c) + (tile_.m_begin + m) * product_.c_stride +
               tile_.n_begin + n;
    }

    void store_transposed(int64_t m, int64_t n, const BlockShape& shape, const float* totals) {
        for (int i = 0; i < 2; ++i) {
            for (int j = 0; j < 2; ++j) {
                if (shape.rows[i] == 0 || shape.columns[j] == 0) continue;
                __m512i v[16];
                load_transposed(
                    reinterpret_cast<const std::byte*>(totals + 16 * i * kBlock + 16 * j),
                    kBlock * 4, v);
                auto* c = static_cast<Out*>(product_.c) +
                          (tile_.n_begin + n + 16 * j) * product_.c_stride + tile_.m_begin + m +
                          16 * i;
                const int64_t columns = least(width_, tile_.n_count - n - 16 * j);
                for (int64_t l = 0; l < columns; ++l) {
                    store_sums(_mm512_castsi512_ps(v[l]), first_lanes(shape.rows[i]), product_.add,
                               c + l * product_.c_stride);
                }
            }
        }
    }

    /// The decoded columns n … n + 15.
    const std::byte* strip(int64_t n) const {
        return buffers_.columns + n / 16 * strip_bytes_;
    }
    /// [32][32]. Eight rows are a quarter of a page, written three steps before it is loaded.
    float* totals_of(int64_t m, int64_t n) {
        const int64_t blocks = (tile_.n_count + kBlock - 1) / kBlock;
        const int64_t index = product_.k <= kPart ? 0 : m / kBlock * blocks + n / kBlock;
        return reinterpret_cast<float*>(buffers_.totals + kLastQuarter + index * kPage);
    }

    const Fp8Product& product_;
    const MatmulTile& tile_;
    Fp8Scratch& scratch_;
    Buffers& buffers_;
    int64_t width_;              // of a strip: 16, or fewer columns where the tile has fewer
    int64_t columns_begin_ = 0;  // k of which columns are decoded
    int64_t strip_bytes_ = 0;
    int64_t begin_ = 0;  // k of which rows are decoded
    int64_t end_ = 0;
    Promotion<Out> promotion_;  // of the block before
    bool in_tiles_ = false;     // its sums
};

/// Rows of an E4M3 weight that share scales by 32.
class Fp8Rows {
  public:
    static constexpr bool kPromotes = true;

    explicit Fp8Rows(const Fp8Operand& weight) : weight_(weight) {}

    static bool can_read(const Fp8Product& product) {
        const Fp8Scales& scales = product.a.scales;
        return product.c_transposed && product.a.code == Code::e4m3 && product.a.k_contiguous &&
               product.b.k_contiguous && product.block == kUnit && product.k > 0 &&
               (scales.data == nullptr || scales.free_tile % kBlock == 0 ||
                scales.free_tile >= product.m);
    }

    int64_t rows_in_page() const {
        return cpu::rows_in_page(weight_.stride);
    }
    void decode(const SomeRows& some, int64_t k, int64_t count, std::byte* to) const {
        if (count == kUnit) {
            decode(some, k, to,
                   [](const uint8_t* codes, int64_t) { return _mm512_loadu_si512(codes); });
            return;
        }
        const __mmask64 masks[2] = {first_bytes(count), first_bytes(count - 64)};
        decode(some, k, to, [&](const uint8_t* codes, int64_t half) {
            return _mm512_maskz_loadu_epi8(masks[half], codes);
        });
    }
    float scale(int64_t row, int64_t k) const {
        float scale;
        expand_scales(weight_.scales, row, 1, k, &scale);
        return scale;
    }

  private:
    static constexpr int64_t kAhead = 256;  // from L2, where the processor has put it

    template <class Load>
    __attribute__((always_inline)) void decode(const SomeRows& some, int64_t k, std::byte* to,
                                               const Load& load) const {
        const uint8_t* codes = codes_of(some.begin, k);
        const int64_t stride = some.apart * weight_.stride;
        const Decoder512 decoder = decoder_;  // in registers: the stores cannot reach it
        for (int64_t i = 0; i < some.count; ++i, to += 64, codes += stride) {
            _mm_prefetch(codes + kAhead, _MM_HINT_T0);
            _mm_prefetch(codes + kAhead + 64, _MM_HINT_T0);
            __m512i values[4];
            decoder.decode(load(codes, 0), values[0], values[1]);
            decoder.decode(load(codes + 64, 1), values[2], values[3]);
            for (int64_t j = 0; j < 4; ++j) _mm512_store_si512(to + j * kTileBytes, values[j]);
        }
    }

    const uint8_t* codes_of(int64_t row, int64_t k) const {
        return static_cast<const uint8_t*>(weight_.data) + row * weight_.stride + k;
    }

    Fp8Operand weight_;
    Decoder512 decoder_{kE4M3Table};
};

/// Rows of x, in bf16 or in codes, which become columns.
struct Fp8Columns {
    Fp8Operand x;

    bool has_scales() const {
        return x.scales.data != nullptr;
    }

    void pack(int64_t begin, int64_t count, int64_t k, int64_t k_end, std::byte* to,
              int64_t width) const {
        ColumnDecoder(x, k, k_end, width).decode(begin, count, to, 0);
    }
    void expand_scales(int64_t begin, int64_t count, int64_t k, float* to) const {
        cpu::expand_scales(x.scales, begin, count, k, to);
    }
};

template <class Out>
void multiply_narrow(const Fp8Product& product, const MatmulTile& tile, Fp8Scratch& scratch) {
    const Fp8Rows rows(product.a);
    const Fp8Columns columns{product.b};
    NarrowProduct<Fp8Rows, Fp8Columns, Out> narrow(
        rows, columns, {static_cast<Out*>(product.c), product.c_stride, product.add}, tile,
        product.k, narrow_buffers(scratch.memory));
    const bool is_packed = scratch.packed_product == &product &&
                           scratch.packed_begin == tile.n_begin &&
                           scratch.packed_count == tile.n_count;
    narrow.compute(is_packed);
    scratch.packed_product = narrow.packs_once() ? &product : nullptr;
    scratch.packed_begin = tile.n_begin;
    scratch.packed_count = tile.n_count;
}

}  // namespace

MatmulLimits matmul_fp8_amx_limits(const Fp8Product& product) {
    if (Fp8Rows::can_read(product)) return narrow_limits(rows_in_page(product.a.stride));
    return {.m_step = kBlock,
            .n_step = kBlock,
            .m_most = kMostSide,
            .n_most = kMostSide,
            .least_cost = 3 << 20,
            .bytes = int64_t(sizeof(Buffers)) + kPage};
}

template <class Out>
void matmul_fp8_amx_tile(const Fp8Product& product, const MatmulTile& tile, Fp8Scratch& scratch) {
    if (Fp8Rows::can_read(product)) return multiply_narrow<Out>(product, tile, scratch);
    TileProduct<Out>(product, tile, scratch).compute();
}
template void matmul_fp8_amx_tile<bf16>(const Fp8Product&, const MatmulTile&, Fp8Scratch&);
template void matmul_fp8_amx_tile<float>(const Fp8Product&, const MatmulTile&, Fp8Scratch&);

}  // namespace hadal::ops::cpu

#endif

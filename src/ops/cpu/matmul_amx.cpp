// Products of bf16 matrices on AMX tile registers.
//
// One instruction multiplies 16 rows by 16 columns over 32 values of k. Its sum per element is
// fixed by the architecture: the even k and the odd k are each accumulated from zero with fused
// multiply-add, then c += even + odd. Rows and columns do not meet, so an element has the same bits
// in a full or a partial tile, and with the operands exchanged.
//
// Rows (a) are loaded as they lie in memory where k is contiguous; columns (b) are packed in pairs
// of k, so that few-row products exchange the operands (c_transposed) and stream the weight once,
// unpacked.
//
// A block is 32×32: four result tiles, two of rows, two of columns, so that each loaded tile is
// used twice: 4 KiB of loads for 4 instructions of 16 cycles. L2 alone does not give 64 bytes a
// cycle. Hence k is cut at 512: the block's rows, 32 KiB, are used by all blocks beside it and stay
// in L1, because the packed columns are loaded with the hint not to be kept there (that alone took
// the block loop from 65 to 88 % of the peak).
//
// What is not multiplication runs beside it: a finished block is stored during the next, and during
// each block the next block's place in the result, the next rows and the next product's columns are
// fetched. A result that lies in memory, as a gradient always does and an activation mostly, has to
// be read before lines of it are overwritten: fetching it took products of training's size from 600
// to 930 GFLOP/s where nothing was in the caches.
//
// Bytes: beyond L2 a core reads some 10 bytes a cycle, against 1024 operations. A product of
// training's size is near both limits; with 512 values of k one thread reaches 72 % of the tiles'
// peak, with 256 54 % (4096 rows, 2026-11-22, a Sapphire Rapids core); see bench/matmul.cpp.
#include "ops/cpu/matmul.h"

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include "ops/cpu/amx_block.h"
#include "ops/cpu/amx_row_copy.h"
#include "ops/cpu/int4_pack512.h"
#include "ops/cpu/matmul_ahead.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kStep = 32;         // k of one instruction
constexpr int64_t kMultiplied = 512;  // k of a block: its rows, 32 KiB, stay in L1
constexpr int64_t kMostLines = 4;  // fetched ahead at a step: more would only wait for each other

// Shares of L2 (2 MiB on every processor that has tiles).
constexpr int64_t kPackedBytes = int64_t(512) << 10;   // columns packed at a time
constexpr int64_t kRowsBytes = int64_t(512) << 10;     // rows packed at a time, where they must be
constexpr int64_t kSums = int64_t(256) << 10;          // partial sums between blocks of k
constexpr int64_t kMostSide = 1024;                    // of a tile of the plan
constexpr int64_t kTailBytes = kMostSide * kStep * 2;  // rows' last values of k, filled with zeros

int64_t round_up(int64_t x, int64_t step) {
    return (x + step - 1) / step * step;
}

/// Where the tiles of one operand lie: `step` bytes from one step of k to the next, `stride` bytes
/// between tile rows, `next` bytes from the block's first tile to its second.
struct Tiles {
    const std::byte* data;
    int64_t step;
    int64_t stride;
    int64_t next;
};

/// A finished block of sums that waits to be stored row by row during the next block: the vector
/// units would otherwise stand still there, and the tile unit here.
template <class Out>
struct Pending {
    const std::byte* sums = nullptr;
    Out* c = nullptr;  // its first element
    int64_t stride = 0;
    int64_t rows = 0;
    __mmask16 lanes[2] = {};
    bool add = false;
    int64_t stored = 0;

    void store(int64_t count) {
        for (const int64_t end = least(stored + count, rows); stored < end; ++stored) {
            const std::byte* from = sums + stored / 16 * 2 * kTileBytes + stored % 16 * 64;
            Out* to = c + stored * stride;
            store_sums(_mm512_load_ps(from), lanes[0], add, to);
            if (lanes[1] != 0) {
                store_sums(_mm512_load_ps(from + kTileBytes), lanes[1], add, to + 16);
            }
        }
    }
};

/// sums += rows·columns over `steps` steps of k, and one more with the rows' zero-filled tail if
/// there is one.
template <class Out, int row_tiles, int column_tiles>
void multiply_tiles(const Tiles& rows, const std::byte* tail, const Tiles& columns, int64_t steps,
                    Fetched& fetched, RowCopy& copied, Pending<Out>& pending, bool first,
                    std::byte* sums) {
    asm volatile("" ::: "memory");  // the tile loads below are opaque to the compiler
    if (first) {
        _tile_zero(0);
        if constexpr (column_tiles == 2) _tile_zero(1);
        if constexpr (row_tiles == 2) _tile_zero(2);
        if constexpr (row_tiles == 2 && column_tiles == 2) _tile_zero(3);
    } else {
        _tile_loadd(0, sums, 64);
        if constexpr (column_tiles == 2) _tile_loadd(1, sums + kTileBytes, 64);
        if constexpr (row_tiles == 2) _tile_loadd(2, sums + 2 * kTileBytes, 64);
        if constexpr (row_tiles == 2 && column_tiles == 2) {
            _tile_loadd(3, sums + 3 * kTileBytes, 64);
        }
    }
    const auto step = [&](const std::byte* a, int64_t a_stride, int64_t a_next,
                          const std::byte* b) {
        _tile_stream_loadd(6, b, columns.stride);
        _tile_loadd(4, a, a_stride);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (column_tiles == 2) {
            _tile_stream_loadd(7, b + columns.next, columns.stride);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (row_tiles == 2) {
            _tile_loadd(5, a + a_next, a_stride);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (column_tiles == 2) _tile_dpbf16ps(3, 5, 7);
        }
    };
    const std::byte* a = rows.data;
    const std::byte* b = columns.data;
    const int64_t pending_rows = steps == 0 ? 0 : (pending.rows + steps - 1) / steps;
    for (int64_t i = 0; i < steps; ++i, a += rows.step, b += columns.step) {
        fetched.fetch();
        copied.copy();
        step(a, rows.stride, rows.next, b);
        pending.store(pending_rows);
    }
    if (tail != nullptr) step(tail, 64, kTileBytes, b);
    _tile_stored(0, sums, 64);
    if constexpr (column_tiles == 2) _tile_stored(1, sums + kTileBytes, 64);
    if constexpr (row_tiles == 2) _tile_stored(2, sums + 2 * kTileBytes, 64);
    if constexpr (row_tiles == 2 && column_tiles == 2) _tile_stored(3, sums + 3 * kTileBytes, 64);
    asm volatile("" ::: "memory");
}

/// A finished tile of sums [rows, 16] to its place in a transposed c.
template <class Out>
void store_transposed(const MatmulProduct& product, const std::byte* sums, int64_t m, int64_t rows,
                      int64_t n, int64_t columns) {
    auto* c = static_cast<Out*>(product.c) + n * product.c_stride + m;
    __m512i v[16];
    load_transposed(sums, 64, v);
    const __mmask16 lanes = first_lanes(rows);
#pragma GCC unroll 16
    for (int64_t j = 0; j < 16; ++j) {
        if (j < columns) {
            store_sums(_mm512_castsi512_ps(v[j]), lanes, product.add, c + j * product.c_stride);
        }
    }
}

/// Eight columns of a square [32 of k][32] become eight rows [32 of k]. 128-bit lanes (8 values)
/// are placed while loading, as in load_transposed; three exchanges within lanes do the rest.
void transpose_columns(const bf16* square, std::byte* to) {
    __m512i v[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {  // lane q: row 8q + i
        const auto at = [&](int row) {
            return _mm_load_si128(reinterpret_cast<const __m128i*>(square + row * 32));
        };
        v[i] = _mm512_castsi128_si512(at(i));
        v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x00F0, at(i + 8));
        v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x0F00, at(i + 16));
        v[i] = _mm512_mask_broadcast_i32x4(v[i], 0xF000, at(i + 24));
    }
    __m512i pairs[8];  // [row pair][low, high columns]
    __m512i quads[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm512_unpacklo_epi16(v[i], v[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi16(v[i], v[i + 1]);
    }
#pragma GCC unroll 2
    for (int h = 0; h < 8; h += 4) {
        quads[h] = _mm512_unpacklo_epi32(pairs[h], pairs[h + 2]);
        quads[h + 1] = _mm512_unpackhi_epi32(pairs[h], pairs[h + 2]);
        quads[h + 2] = _mm512_unpacklo_epi32(pairs[h + 1], pairs[h + 3]);
        quads[h + 3] = _mm512_unpackhi_epi32(pairs[h + 1], pairs[h + 3]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
        _mm512_store_si512(to + 2 * c * 64, _mm512_unpacklo_epi64(quads[c], quads[c + 4]));
        _mm512_store_si512(to + (2 * c + 1) * 64, _mm512_unpackhi_epi64(quads[c], quads[c + 4]));
    }
}

/// Stored rows [k_count ≤ 32][count ≤ 32] to the tiles [16][32] of columns 0 and 16, zeros behind
/// both counts. The square between them reads each line once: rows that lie a power of two apart
/// share few sets of L1.
void pack_row_tiles(const bf16* from, int64_t stride, int64_t count, int64_t k_count,
                    std::byte* const (&to)[2]) {
    alignas(64) bf16 square[32 * 32];
    const __mmask32 lanes = count >= 32 ? ~0u : (1u << count) - 1u;
    for (int64_t k = 0; k < 32; ++k) {
        const __mmask32 here = k < k_count ? lanes : 0u;
        _mm512_store_si512(square + k * 32, _mm512_maskz_loadu_epi16(here, from + k * stride));
    }
    for (int i = 0; i < 2 && 16 * i < count; ++i) {
        transpose_columns(square + 16 * i, to[i]);
        transpose_columns(square + 16 * i + 8, to[i] + kTileBytes / 2);
    }
}

/// One tile of the plan while it is computed.
template <class Out>
class TileProduct {
  public:
    TileProduct(const MatmulProduct& product, const MatmulTile& tile, MatmulScratch& scratch)
        : product_(product), tile_(tile), scratch_(scratch) {
        packed_ = scratch.memory;
        rows_ = packed_ + kPackedBytes;
        tail_ = rows_ + kRowsBytes;
        sums_ = tail_ + kTailBytes;
        width_ = least(16, tile.n_count);
    }

    void compute() {
        const int64_t most_k = most_packed(product_, tile_);
        whole_k_ = product_.k <= most_k;
        for (int64_t k = 0; k < product_.k || k == 0; k += most_k) {
            pack_begin_ = k;
            pack_end_ = least(k + most_k, product_.k);
            pack_columns();
            pack_rows();
            plan_ahead();
            // A single block across: its rows are multiplied once, as memory gives them.
            const int64_t most = blocks_across() > 1 ? kMultiplied : most_k;
            const int64_t parts = (pack_end_ - k + most - 1) / most;
            const int64_t part =
                parts <= 1 ? most_k : round_up((pack_end_ - k + parts - 1) / parts, kStep);
            for (int64_t i = k; i < pack_end_ || i == 0; i += part) {
                multiply(i, least(i + part, pack_end_));
            }
        }
        _tile_release();
    }

  private:
    /// As many values of k as the packed columns (and rows) have room for: where one cuts does not
    /// change a bit.
    static int64_t most_packed(const MatmulProduct& product, const MatmulTile& tile) {
        int64_t most_k = kPackedBytes / 2 / round_up(tile.n_count, 16);
        if (!product.a.k_contiguous) {
            most_k = least(most_k, kRowsBytes / 2 / round_up(tile.m_count, 16));
        }
        return most_k / kStep * kStep;
    }

    /// Strip after strip: [k/2][width_] pairs.
    void pack_columns() {
        if (whole_k_ && scratch_.packed_product == &product_ &&
            scratch_.packed_begin == tile_.n_begin && scratch_.packed_count == tile_.n_count) {
            return;
        }
        scratch_.packed_product = whole_k_ ? &product_ : nullptr;
        scratch_.packed_begin = tile_.n_begin;
        scratch_.packed_count = tile_.n_count;
        const __mmask16 lanes = first_lanes(width_);
        if (product_.b.scale != nullptr) {
            const Int4StripPacker packer;
            for (int64_t n = 0; n < tile_.n_count; n += 16) {
                packer.pack(product_.b, tile_.n_begin + n, least(16, tile_.n_count - n),
                            pack_begin_, pack_end_, strip_units(n, pack_begin_), width_, lanes);
            }
            return;
        }
        if (product_.b.k_contiguous) {
            for (int64_t n = 0; n < tile_.n_count; n += 16) {
                pack_strip<bf16>(product_.b, tile_.n_begin + n, least(16, tile_.n_count - n),
                                 pack_begin_, pack_end_, strip_units(n, pack_begin_), width_,
                                 lanes);
            }
            return;
        }
        // Along the stored rows, so that each is read once from end to end.
        for (int64_t k = pack_begin_; k < pack_end_; k += kStep) {
            Ahead next = next_step(product_.b, tile_.n_begin, tile_.n_count, k);
            for (int64_t n = 0; n < tile_.n_count; n += 32) {
                next.fetch();
                pack_two_strips(product_.b, tile_.n_begin + n, tile_.n_count - n, k, pack_end_,
                                {strip_units(n, k), strip_units(n + 16, k)}, width_, lanes);
            }
        }
    }

    /// The stored rows to pack after those of k.
    Ahead next_step(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k) const {
        const int64_t next = least(k + kStep, pack_end_);
        return ahead_of(x, begin, count, next, least(next + kStep, pack_end_), (count + 31) / 32);
    }

    /// Tiles of rows [16][32] where k is not contiguous in memory; otherwise only what does not
    /// fill a step.
    void pack_rows() {
        const MatmulOperand& a = product_.a;
        if (a.k_contiguous) {
            const int64_t rest = (pack_end_ - pack_begin_) % kStep;
            for (int64_t m = 0; m < tile_.m_count && rest != 0; m += 16) {
                copy_square(reinterpret_cast<const std::byte*>(row_of(m) + pack_end_ - rest),
                            a.stride * 2, least(16, tile_.m_count - m), rest * 2, tail_ + m * 64);
            }
            return;
        }
        for (int64_t k = pack_begin_; k < pack_end_; k += kStep) {
            Ahead next = next_step(a, tile_.m_begin, tile_.m_count, k);
            for (int64_t m = 0; m < tile_.m_count; m += 32) {
                next.fetch();
                pack_row_tiles(static_cast<const bf16*>(a.data) + k * a.stride + tile_.m_begin + m,
                               a.stride, tile_.m_count - m, least(kStep, pack_end_ - k),
                               {packed_row_tile(m, k), packed_row_tile(m + 16, k)});
            }
        }
    }

    void multiply(int64_t k, int64_t k_end) {
        BlockShape configured = {};
        int64_t index = 0;
        for (int64_t m = 0; m < tile_.m_count; m += kBlock) {
            const int64_t rows = least(kBlock, tile_.m_count - m);
            if (copies_rows()) {
                if (m == 0) copied_ = row_copy(0, k, k_end);
                copied_.finish();
                copied_ = row_copy(m + kBlock, k, k_end);
            }
            fetched_.rows = rows_ahead(m, k, k_end);
            for (int64_t n = 0; n < tile_.n_count; n += kBlock, ++index) {
                const BlockShape shape = {{least(16, rows), rows > 16 ? rows - 16 : 0},
                                          {width_, tile_.n_count - n > 16 ? width_ : 0}};
                if (!(shape == configured)) configure(shape);
                configured = shape;
                fetched_.result = result_ahead(m, n, k, k_end);
                std::byte* sums = sums_of(m, n, index);
                multiply_block(m, n, k, k_end, shape, sums);
                pending_.store(kBlock);
                pending_ = {};
                if (k_end == product_.k) finish_block(m, n, shape, sums);
            }
        }
        pending_.store(kBlock);
        pending_ = {};
    }

    /// Rows that do not lie well for L1 are copied where enough blocks use them.
    bool copies_rows() const {
        return product_.a.k_contiguous && rows_crowd(product_.a.stride * 2) && blocks_across() >= 4;
    }
    /// Of block row m, to one of two places that take turns.
    RowCopy row_copy(int64_t m, int64_t k, int64_t k_end) const {
        if (m >= tile_.m_count) return {};
        return {reinterpret_cast<const std::byte*>(row_of(m) + k),
                product_.a.stride * 2,
                least(kBlock, tile_.m_count - m),
                k_end - k,
                copied_rows(m),
                (k_end - k + kStep - 1) / kStep * blocks_across()};
    }
    std::byte* copied_rows(int64_t m) const {
        return rows_ + m / kBlock % 2 * (kMultiplied * kBlock * 2);
    }

    int64_t blocks_across() const {
        return (tile_.n_count + kBlock - 1) / kBlock;
    }

    /// What will be packed after this part of k: the next part, or the next tile's first.
    void plan_ahead() {
        const bool last = pack_end_ == product_.k;
        const MatmulProduct* next = last ? scratch_.next_product : &product_;
        const MatmulTile& tile = last ? scratch_.next_tile : tile_;
        fetched_ = {};
        if (next == nullptr || !next->a.k_contiguous) return;
        const int64_t k = last ? 0 : pack_end_;
        const int64_t k_end = least(k + most_packed(*next, tile), next->k);
        const int64_t steps = (pack_end_ - pack_begin_ + kStep - 1) / kStep * blocks_across() *
                              ((tile_.m_count + kBlock - 1) / kBlock);
        const bool packed = last && whole_k_ && next == &product_ && tile.n_begin == tile_.n_begin;
        if (!packed) {
            fetched_.columns = ahead_of(next->b, tile.n_begin, tile.n_count, k, k_end, steps);
        }
        if (fetched_.columns.each() > kMostLines) fetched_.columns = {};
    }

    /// Where rows are not packed: the next 32, or the next tile's first.
    Ahead rows_ahead(int64_t m, int64_t k, int64_t k_end) const {
        const int64_t steps = (k_end - k + kStep - 1) / kStep * blocks_across();
        const int64_t after = m + (copies_rows() ? 2 * kBlock : kBlock);
        Ahead ahead;
        if (after < tile_.m_count) {
            if (!product_.a.k_contiguous) return {};
            ahead = ahead_of(product_.a, tile_.m_begin + after,
                             least(kBlock, tile_.m_count - after), k, k_end, steps);
        } else if (scratch_.next_product != nullptr && k_end == product_.k) {
            const MatmulProduct& next = *scratch_.next_product;
            const MatmulTile& tile = scratch_.next_tile;
            if (!next.a.k_contiguous) return {};
            ahead = ahead_of(next.a, tile.m_begin, least(kBlock, tile.m_count), 0,
                             least(kMultiplied, next.k), steps);
        }
        return ahead.each() > kMostLines ? Ahead() : ahead;
    }

    /// The place of the block after (m, n), or of the next tile's first.
    Ahead result_ahead(int64_t m, int64_t n, int64_t k, int64_t k_end) const {
        if (k_end != product_.k) return {};
        const MatmulProduct* next = &product_;
        const MatmulTile* tile = &tile_;
        n += kBlock;
        if (n >= tile->n_count) {
            n = 0;
            m += kBlock;
        }
        if (m >= tile->m_count) {
            next = scratch_.next_product;
            tile = &scratch_.next_tile;
            m = 0;
        }
        if (next == nullptr || next->c_transposed) return {};
        const auto* c = static_cast<const Out*>(next->c) + (tile->m_begin + m) * next->c_stride +
                        tile->n_begin + n;
        return {c, next->c_stride * int64_t(sizeof(Out)), least(kBlock, tile->m_count - m),
                least(kBlock, tile->n_count - n) * int64_t(sizeof(Out)),
                (k_end - k + kStep - 1) / kStep};
    }

    void multiply_block(int64_t m, int64_t n, int64_t k, int64_t k_end, const BlockShape& shape,
                        std::byte* sums) {
        const bool copied = copies_rows();
        const bool straight = product_.a.k_contiguous && !copied;
        const bool tailed = straight && k_end == pack_end_ && (k_end - k) % kStep != 0;
        const std::byte* tail = tailed ? tail_ + m * 64 : nullptr;
        const int64_t steps = (k_end - k + (tailed ? 0 : kStep - 1)) / kStep;
        const Tiles rows = copied     ? Tiles{copied_rows(m), 2 * kTileBytes, 64, kTileBytes}
                           : straight ? Tiles{reinterpret_cast<const std::byte*>(row_of(m) + k), 64,
                                              product_.a.stride * 2, product_.a.stride * 32}
                                      : Tiles{packed_row_tile(m, k), kTileBytes, 64,
                                              packed_row_tile(16, k) - packed_row_tile(0, k)};
        const Tiles columns = {strip(n, k), 64 * width_, 4 * width_, strip(16, k) - strip(0, k)};
        const auto run = [&](auto function) {
            function(rows, tail, columns, steps, fetched_, copied_, pending_, k == 0, sums);
        };
        if (shape.rows[1] > 0 && shape.columns[1] > 0) {
            run(multiply_tiles<Out, 2, 2>);
        } else if (shape.rows[1] > 0) {
            run(multiply_tiles<Out, 2, 1>);
        } else if (shape.columns[1] > 0) {
            run(multiply_tiles<Out, 1, 2>);
        } else {
            run(multiply_tiles<Out, 1, 1>);
        }
    }

    /// Stores the block, or leaves it to be stored during the next.
    void finish_block(int64_t m, int64_t n, const BlockShape& shape, std::byte* sums) {
        const int64_t row = tile_.m_begin + m, column = tile_.n_begin + n;
        if (!product_.c_transposed) {
            const int64_t columns = tile_.n_count - n;
            pending_ = {
                .sums = sums,
                .c = static_cast<Out*>(product_.c) + row * product_.c_stride + column,
                .stride = product_.c_stride,
                .rows = shape.rows[0] + shape.rows[1],
                .lanes = {first_lanes(columns), first_lanes(columns > 16 ? columns - 16 : 0)},
                .add = product_.add};
            return;
        }
        for (int i = 0; i < 2; ++i) {
            for (int j = 0; j < 2; ++j) {
                if (shape.rows[i] == 0 || shape.columns[j] == 0) continue;
                store_transposed<Out>(product_, sums + (2 * i + j) * kTileBytes, row + 16 * i,
                                      shape.rows[i], column + 16 * j,
                                      least(width_, tile_.n_count - n - 16 * j));
            }
        }
    }

    /// Unit k/2 of the packed columns n … n + 15.
    std::byte* strip(int64_t n, int64_t k) const {
        return packed_ + n * round_up(pack_end_ - pack_begin_, kStep) * 2 +
               (k - pack_begin_) * 2 * width_;
    }
    uint32_t* strip_units(int64_t n, int64_t k) const {
        return reinterpret_cast<uint32_t*>(strip(n, k));
    }
    std::byte* packed_row_tile(int64_t m, int64_t k) const {
        const int64_t steps = (pack_end_ - pack_begin_ + kStep - 1) / kStep;
        return rows_ + (m / 16 * steps + (k - pack_begin_) / kStep) * kTileBytes;
    }
    /// Four tiles. Where k is not cut, blocks take turns with two places in L1: one is multiplied,
    /// one stored.
    std::byte* sums_of(int64_t m, int64_t n, int64_t index) const {
        if (product_.k <= kMultiplied) return sums_ + index % 2 * 4 * kTileBytes;
        const int64_t blocks = (tile_.n_count + kBlock - 1) / kBlock;
        return sums_ + (m / kBlock * blocks + n / kBlock) * 4 * kTileBytes;
    }
    const bf16* row_of(int64_t m) const {
        return static_cast<const bf16*>(product_.a.data) + (tile_.m_begin + m) * product_.a.stride;
    }

    const MatmulProduct& product_;
    const MatmulTile& tile_;
    MatmulScratch& scratch_;
    int64_t width_;           // of a strip: 16, or fewer columns where the tile has fewer
    bool whole_k_ = false;    // packed at once: the next tile may use the packed columns again
    int64_t pack_begin_ = 0;  // k that is packed now
    int64_t pack_end_ = 0;
    Fetched fetched_;
    RowCopy copied_;
    Pending<Out> pending_;
    std::byte* packed_;  // columns
    std::byte* rows_;
    std::byte* tail_;
    std::byte* sums_;
};

}  // namespace

MatmulLimits matmul_amx_limits(const MatmulProduct& product) {
    if (product.a.scale != nullptr) return matmul_int4_amx_limits();
    MatmulLimits limits = {.m_step = kBlock,
                           .n_step = kBlock,
                           .m_most = kMostSide,
                           .n_most = kMostSide,
                           .least_cost = 3 << 20,
                           .bytes = kPackedBytes + kRowsBytes + kTailBytes + 4 * kSums};
    const int64_t whole_k = kPackedBytes / 2 / (product.k > 0 ? product.k : 1) / kBlock * kBlock;
    if (product.k <= kMultiplied && product.a.k_contiguous) {
        limits.n_most = least(kMostSide, whole_k);  // sums stay in registers, columns in L2
    } else {
        limits.n_most = product.n > 256 ? 512 : 256;
        limits.m_most = kSums / limits.n_most / kBlock * kBlock;
    }
    return limits;
}

template <class Out>
void matmul_amx_tile(const MatmulProduct& product, const MatmulTile& tile, MatmulScratch& scratch) {
    if (product.a.scale != nullptr) return matmul_int4_amx_tile<Out>(product, tile, scratch);
    if (matmul_few_amx_fits(product)) return matmul_few_amx_tile<Out>(product, tile);
    TileProduct<Out>(product, tile, scratch).compute();
}
template void matmul_amx_tile<bf16>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);
template void matmul_amx_tile<float>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);

}  // namespace hadal::ops::cpu

#endif

// Few rows of x by a weight of codes, on AMX tiles: a text being generated. The operands are
// exchanged, so that rows of the weight are decoded as they lie, each code once, and x is packed.
//
// The work is cut into units of 32 rows by 128 of k. While the tile unit multiplies one, the vector
// units decode the next into the other half of a buffer in L1 and scale the sums of the one before.
//
// Memory is left to the processor's own prefetching, which runs ahead in every page of 4 KiB that
// is read in one direction, but not where several rows of a page are read in turns. So the 32 rows
// lie on as many pages: where r rows fit into one, every r-th row is taken, and then those after
// them. (32 rows in succession, fetched to L2 by instructions, which wait for each other: 0.55 of
// the read bandwidth with FP8. So: 0.7 to 0.9.)
//
// An element's sum is that of the kernels for many rows: k in steps of 32, and what a tile
// instruction does to one element knows neither its neighbours nor which operand is which.
//
// A kind of weight gives:
//     kPromotes       whether a unit's sums are scaled and added up in float32, or stay in tiles
//     rows_in_page()  how many rows share a page: see rows_in_page below
//     decode(rows, k, count, to)  count ≤ 128 values of some rows, 64 bytes from one row to the
//                     next, 32 values every 1024 bytes; zeros behind the last, to a multiple of 32
//     scale(row, k)   of 32 rows, where promoted
// and columns:
//     pack(…)         strips of sixteen, see ColumnDecoder
//     has_scales(), expand_scales(…)
#pragma once

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ops/cpu/amx_block.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kUnit = 128;               // of k: that of a block with a scale
constexpr int64_t kUnitSteps = 4;            // tile instructions over it
constexpr int64_t kNarrowRows = 512;         // of a tile of the plan
constexpr int64_t kNarrowBytes = 256 << 10;  // columns packed at a time

struct alignas(4096) NarrowBuffers {
    std::byte columns[kNarrowBytes];
    std::byte rows[2][2 * kUnitSteps * kTileBytes];          // [row tile][step] tiles of 16×32
    std::byte sums[4 * kTileBytes];                          // of a unit
    std::byte totals[kNarrowRows / kBlock][4 * kTileBytes];  // [row tile][column tile]
};

inline MatmulLimits narrow_limits(int64_t rows_in_page) {
    return {.m_step = kBlock * rows_in_page,
            .n_step = kBlock,
            .m_most = kNarrowRows,
            .n_most = kBlock,
            .least_cost = 1 << 20,
            .bytes = int64_t(sizeof(NarrowBuffers)) + int64_t(alignof(NarrowBuffers))};
}

inline NarrowBuffers& narrow_buffers(std::byte* memory) {
    constexpr auto kAlignment = uintptr_t(alignof(NarrowBuffers));
    return *reinterpret_cast<NarrowBuffers*>(  // NOLINT(performance-no-int-to-ptr): page aligned
        (reinterpret_cast<uintptr_t>(memory) + kAlignment - 1) / kAlignment * kAlignment);
}

/// How many rows of a weight share a page of memory, if several do: a power of two, and at most 4,
/// which keeps 32 times as many within a block of 128 rows that has one scale.
inline int64_t rows_in_page(int64_t row_bytes) {
    int64_t rows = 1;
    while (rows < 4 && 2 * rows * row_bytes <= 4096) rows *= 2;
    return rows;
}

/// Rows of a weight, each `apart` rows from the one before.
struct SomeRows {
    int64_t begin;
    int64_t apart;
    int64_t count;
};

/// Where the results go: c[column · stride + row].
template <class Out>
struct NarrowResult {
    Out* c;
    int64_t stride;
    bool add;
};

template <class Weights, class Columns, class Out>
class NarrowProduct {
  public:
    /// `tile` with the weight's rows as m.
    NarrowProduct(const Weights& weights, const Columns& columns, const NarrowResult<Out>& result,
                  const MatmulTile& tile, int64_t k, NarrowBuffers& buffers)
        : weights_(weights),
          columns_(columns),
          result_(result),
          tile_(tile),
          k_(k),
          buffers_(buffers),
          two_(tile.n_count > 16) {
        while (width_ < tile.n_count && width_ < 16) width_ *= 2;
        part_ = kNarrowBytes / (2 * width_ * (two_ ? 2 : 1)) / kUnit * kUnit;
    }

    bool packs_once() const {
        return k_ <= part_;
    }

    /// `is_packed`: the buffers hold the columns of all k already.
    void compute(bool is_packed) {
        configure({{16, 16}, {width_, two_ ? width_ : 0}});
        for (int64_t k = 0; k < k_ || k == 0; k += part_) {
            part_begin_ = k;
            part_end_ = least(k + part_, k_);
            if (!is_packed) pack();
            two_ ? compute_part<true>() : compute_part<false>();
        }
        _tile_release();
    }

  private:
    /// 32 rows, each `apart` rows from the one before.
    struct RowBlock {
        int64_t m;  // in the tile
        int64_t apart;
        int64_t count;
    };
    /// A block of rows by up to 128 of k.
    struct Unit {
        RowBlock block;
        int64_t index;  // of the block: where its totals are
        int64_t k;
        int64_t count;    // of k
        std::byte* rows;  // null: there is no unit

        int64_t steps() const {
            return (count + 31) / 32;
        }
    };

    void pack() {
        strip_bytes_ = (part_end_ - part_begin_ + 31) / 32 * 64 * width_;
        for (int64_t n = 0; n < tile_.n_count; n += 16) {
            columns_.pack(tile_.n_begin + n, least(16, tile_.n_count - n), part_begin_, part_end_,
                          buffers_.columns + n / 16 * strip_bytes_, width_);
        }
    }

    /// Each unit passes three stages: decoded, multiplied, promoted.
    template <bool two>
    void compute_part() {
        strip_bytes_ = (part_end_ - part_begin_ + 31) / 32 * 64 * width_;
        Unit before{}, stored{};
        int64_t units = 0;
        const auto advance = [&](const Unit& now) __attribute__((always_inline)) {
            if (before.rows != nullptr) begin<two>(before);
            for (int64_t step = 0; step < kUnitSteps; ++step) {
                decode_quarter(now, step);
                if (step < before.steps()) multiply<two>(before, step);
                if (step == 1 && stored.rows != nullptr) promote(stored);
            }
            if (before.rows != nullptr) store_tiles<two>(before);
            stored = before;
            before = now;
        };
        for_each_row_block([&](const RowBlock& block, int64_t index) {
            for (int64_t k = part_begin_; k < part_end_ || k == part_begin_; k += kUnit, ++units) {
                advance({.block = block,
                         .index = index,
                         .k = k,
                         .count = least(kUnit, part_end_ - k),
                         .rows = buffers_.rows[units % 2]});
            }
        });
        advance({});
        advance({});
    }

    /// f(block, index) for all rows of the tile.
    template <class F>
    void for_each_row_block(const F& f) const {
        const int64_t most = weights_.rows_in_page();
        int64_t index = 0;
        for (int64_t m = 0; m < tile_.m_count;) {
            int64_t apart = most;
            while (apart > 1 && ((tile_.m_begin + m) % (kBlock * apart) != 0 ||
                                 m + kBlock * apart > tile_.m_count)) {
                apart /= 2;
            }
            for (int64_t i = 0; i < apart; ++i, ++index) {
                const int64_t count = apart > 1 ? kBlock : least(kBlock, tile_.m_count - m);
                f(RowBlock{.m = m + i, .apart = apart, .count = count}, index);
            }
            m += kBlock * apart;
        }
    }

    /// Eight rows of a unit.
    void decode_quarter(const Unit& unit, int64_t quarter) const {
        const RowBlock& block = unit.block;
        const int64_t rows = least(8, block.count - 8 * quarter);
        if (rows <= 0) return;
        weights_.decode({.begin = tile_.m_begin + block.m + 8 * quarter * block.apart,
                         .apart = block.apart,
                         .count = rows},
                        unit.k, unit.count,
                        unit.rows + quarter / 2 * (kUnitSteps * kTileBytes) + quarter % 2 * 512);
    }

    bool is_first(const Unit& unit) const {
        return unit.k == part_begin_;
    }
    bool is_last(const Unit& unit) const {
        return unit.k + kUnit >= part_end_;
    }

    template <bool two>
    void begin(const Unit& unit) {
        asm volatile("" ::: "memory");  // tile loads and stores are opaque to the compiler
        if (unit.k == 0 || Weights::kPromotes) {
            _tile_zero(0);
            _tile_zero(2);
            if constexpr (two) {
                _tile_zero(1);
                _tile_zero(3);
            }
        } else if (is_first(unit)) {
            const std::byte* sums = totals_of(unit);
            _tile_loadd(0, sums, 4 * width_);
            _tile_loadd(2, sums + 2 * kTileBytes, 4 * width_);
            if constexpr (two) {
                _tile_loadd(1, sums + kTileBytes, 4 * width_);
                _tile_loadd(3, sums + 3 * kTileBytes, 4 * width_);
            }
        }
    }

    template <bool two>
    void multiply(const Unit& unit, int64_t step) {
        asm volatile("" ::: "memory");
        const std::byte* rows = unit.rows + step * kTileBytes;
        const std::byte* columns =
            buffers_.columns + (unit.k - part_begin_ + 32 * step) * 2 * width_;
        _tile_loadd(6, columns, 4 * width_);
        _tile_loadd(4, rows, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, rows + kUnitSteps * kTileBytes, 64);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (two) {
            _tile_loadd(7, columns + strip_bytes_, 4 * width_);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
        }
        asm volatile("" ::: "memory");
    }

    /// Sums that are to be promoted, or totals at the end of k.
    template <bool two>
    void store_tiles(const Unit& unit) {
        if (!Weights::kPromotes && !is_last(unit)) return;
        std::byte* to = Weights::kPromotes ? buffers_.sums : totals_of(unit);
        _tile_stored(0, to, 4 * width_);
        _tile_stored(2, to + 2 * kTileBytes, 4 * width_);
        if constexpr (two) {
            _tile_stored(1, to + kTileBytes, 4 * width_);
            _tile_stored(3, to + 3 * kTileBytes, 4 * width_);
        }
        asm volatile("" ::: "memory");
    }

    /// totals += scale of the rows · scale of the column · sums: see Promotion in
    /// matmul_fp8_amx.cpp. At the end of k, the totals to the result.
    void promote(const Unit& unit) {
        if constexpr (Weights::kPromotes) {
            const float row_scale = weights_.scale(tile_.m_begin + unit.block.m, unit.k);
            for (int64_t n = 0; n < tile_.n_count; n += 16) {
                const __m512 scale =
                    _mm512_mul_ps(_mm512_set1_ps(row_scale), column_scales(n, unit.k));
                for (int64_t i = 0; i < 2; ++i) {
                    const int64_t tile = (2 * i + n / 16) * kTileBytes;
                    add_scaled(buffers_.sums + tile, scale, unit.k == 0, totals_of(unit) + tile);
                }
            }
        }
        if (is_last(unit) && part_end_ == k_) store(unit);
    }

    void add_scaled(const std::byte* sums, __m512 scale, bool is_first, std::byte* totals) const {
        for (int64_t i = 0; i < 64 * width_; i += 64) {
            const __m512 total = is_first ? _mm512_setzero_ps() : _mm512_load_ps(totals + i);
            _mm512_store_ps(totals + i, _mm512_fmadd_ps(_mm512_load_ps(sums + i), scale, total));
        }
    }

    /// Of the columns that sixteen sums in a row belong to: `width_` columns, over and over.
    __m512 column_scales(int64_t n, int64_t k) const {
        if (!columns_.has_scales()) return _mm512_set1_ps(1);
        alignas(64) float scales[16] = {};
        columns_.expand_scales(tile_.n_begin + n, least(16, tile_.n_count - n), k, scales);
        const __m512i lane =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i column = _mm512_and_si512(lane, _mm512_set1_epi32(int(width_ - 1)));
        return _mm512_permutexvar_ps(column, _mm512_load_ps(scales));
    }

    void store(const Unit& unit) const {
        const std::byte* totals = totals_of(unit);
        const __m512i lane =
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i places = _mm512_mullo_epi32(lane, _mm512_set1_epi32(int(width_)));
        const RowBlock& block = unit.block;
        for (int64_t i = 0; i < 2 && 16 * i < block.count; ++i) {
            const __mmask16 rows = first_lanes(block.count - 16 * i);
            for (int64_t n = 0; n < tile_.n_count; ++n) {
                const std::byte* from = totals + (2 * i + n / 16) * kTileBytes + n % 16 * 4;
                Out* to = result_.c + (tile_.n_begin + n) * result_.stride + tile_.m_begin +
                          block.m + 16 * i * block.apart;
                const __m512 sums = _mm512_i32gather_ps(places, from, 4);
                if (block.apart == 1) {
                    store_sums(sums, rows, result_.add, to);
                } else {
                    store_apart(sums, block.apart, to);
                }
            }
        }
    }

    /// Sixteen sums to places some elements from each other.
    void store_apart(__m512 sums, int64_t apart, Out* to) const {
        alignas(64) Out values[16];
        if (result_.add) {
            for (int64_t i = 0; i < 16; ++i) values[i] = to[i * apart];
        }
        store_sums(sums, first_lanes(16), result_.add, values);
        for (int64_t i = 0; i < 16; ++i) to[i * apart] = values[i];
    }

    std::byte* totals_of(const Unit& unit) const {
        return buffers_.totals[unit.index];
    }

    const Weights& weights_;
    const Columns& columns_;
    NarrowResult<Out> result_;
    MatmulTile tile_;
    int64_t k_;
    NarrowBuffers& buffers_;
    bool two_;           // tiles of columns
    int64_t width_ = 1;  // of a tile of columns: a power of two
    int64_t part_ = 0;   // k packed at a time
    int64_t part_begin_ = 0;
    int64_t part_end_ = 0;
    int64_t strip_bytes_ = 0;
};

}  // namespace
}  // namespace hadal::ops::cpu

#endif

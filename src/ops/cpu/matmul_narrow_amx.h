// Few rows of x by a weight of codes, on AMX tiles: a text being generated. The operands are
// exchanged, so that rows of the weight are decoded as they lie, each code once, and x is packed.
//
// The work is cut into units of 32 rows by 64 of k. While the tile unit multiplies one, the vector
// units decode the next into the other half of a buffer in L1, and the next 32 rows are fetched to
// L2, from end to end as they lie: the memory is then read in one direction, at its full speed.
//
// An element's sum is that of the kernels for many rows: k in steps of 32, and what a tile
// instruction does to one element knows neither its neighbours nor which operand is which.
//
// A kind of weight gives:
//     kPromotes           whether a unit's sums are scaled and added up in float32, or stay in
//     tiles decode(row, k, count, to)   count ≤ 128 values of a row; 32 of them every 1024 bytes;
//     zeros
//                                 behind the last, to a multiple of 32
//     fetch(row, k)       a unit's part of a row
//     scale(row, k)       of 32 rows, where promoted
#pragma once

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ops/cpu/amx_block.h"
#include "ops/cpu/matmul_ahead.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kUnit = 64;                // of k
constexpr int64_t kUnitSteps = 2;            // tile instructions over it
constexpr int64_t kPromoted = 128;           // k of a block with a scale
constexpr int64_t kNarrowRows = 512;         // of a tile of the plan
constexpr int64_t kNarrowBytes = 256 << 10;  // columns packed at a time

struct alignas(4096) NarrowBuffers {
    std::byte columns[kNarrowBytes];
    std::byte rows[2][2 * kUnitSteps * kTileBytes];          // [row tile][step] tiles of 16×32
    std::byte sums[4 * kTileBytes];                          // of a unit
    std::byte totals[kNarrowRows / kBlock][4 * kTileBytes];  // [row tile][column tile]
};

inline MatmulLimits narrow_limits() {
    return {.m_step = kBlock,
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

/// Where the results go: c[column · stride + row].
template <class Out>
struct NarrowResult {
    Out* c;
    int64_t stride;
    bool add;
};

/// Codes and scales of some rows, fetched a little at every unit.
struct RowsAhead {
    Ahead codes;
    Ahead scales;

    void fetch() {
        codes.fetch();
        scales.fetch();
    }
};

template <class Weights, class Columns, class Out>
class NarrowProduct {
  public:
    /// `tile` with the weight's rows as m.
    NarrowProduct(const Weights& weights, const Columns& columns, const NarrowResult<Out>& result,
                  const MatmulTile& tile, int64_t k, const RowsAhead& next, NarrowBuffers& buffers)
        : weights_(weights),
          columns_(columns),
          result_(result),
          tile_(tile),
          k_(k),
          next_(next),
          buffers_(buffers),
          two_(tile.n_count > 16) {
        while (width_ < tile.n_count && width_ < 16) width_ *= 2;
        part_ = kNarrowBytes / (2 * width_ * (two_ ? 2 : 1)) / kPromoted * kPromoted;
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
    /// 32 rows by up to 64 of k.
    struct Unit {
        int64_t m;  // in the tile
        int64_t k;
        int64_t count;  // of k
        const std::byte* rows;
    };

    void pack() {
        strip_bytes_ = steps_of(part_end_ - part_begin_) * 64 * width_;
        for (int64_t n = 0; n < tile_.n_count; n += 16) {
            columns_.pack(tile_.n_begin + n, least(16, tile_.n_count - n), part_begin_, part_end_,
                          buffers_.columns + n / 16 * strip_bytes_, width_);
        }
    }

    static int64_t steps_of(int64_t count) {
        return (count + 31) / 32;
    }

    template <bool two>
    void compute_part() {
        strip_bytes_ = steps_of(part_end_ - part_begin_) * 64 * width_;
        Unit before{.m = 0, .k = 0, .count = 0, .rows = nullptr};
        int64_t index = 0;
        for (int64_t m = 0; m < tile_.m_count; m += kBlock) {
            ahead_ = ahead_of_rows(m + kBlock);
            for (int64_t k = part_begin_; k < part_end_ || k == part_begin_; k += kUnit, ++index) {
                const Unit now{.m = m,
                               .k = k,
                               .count = least(kUnit, part_end_ - k),
                               .rows = buffers_.rows[0] + index % 2 * kUnitSteps * kTileBytes};
                decode_beside<two>(now, before);
                before = now;
            }
        }
        begin(before);
        for (int64_t s = 0; s < steps_of(before.count); ++s) multiply<two>(before, s);
        finish(before);
    }

    /// Decodes one unit while the one before is multiplied.
    template <bool two>
    void decode_beside(const Unit& now, const Unit& before) {
        const bool has_before = before.rows != nullptr;
        if (has_before) begin(before);
        const int64_t rows = least(kBlock, tile_.m_count - now.m);
        auto* to = const_cast<std::byte*>(now.rows);
        for (int64_t s = 0; s < kUnitSteps; ++s, to += 2 * kUnitSteps * kTileBytes) {
            const int64_t row = tile_.m_begin + now.m + 16 * s;
            weights_.decode(row, least(16, rows - 16 * s), now.k, now.count, to);
            if (has_before && s < steps_of(before.count)) multiply<two>(before, s);
        }
        if (has_before) finish(before);
        ahead_.fetch();
    }

    /// The rows after these, or those that the thread will probably be given next.
    RowsAhead ahead_of_rows(int64_t m) const {
        const int64_t steps = (part_end_ - part_begin_ + kUnit - 1) / kUnit;
        if (m < tile_.m_count) {
            return weights_.ahead(tile_.m_begin + m, least(kBlock, tile_.m_count - m), part_begin_,
                                  part_end_, steps);
        }
        if (part_end_ < k_) {
            return weights_.ahead(tile_.m_begin, least(kBlock, tile_.m_count), part_end_,
                                  least(part_end_ + part_, k_), steps);
        }
        return next_;
    }

    bool is_first(const Unit& unit) const {
        return unit.k == part_begin_;
    }
    bool is_last(const Unit& unit) const {
        return unit.k + kUnit >= part_end_;
    }

    void begin(const Unit& unit) {
        asm volatile("" ::: "memory");  // tile loads and stores are opaque to the compiler
        if (unit.k == 0 || (Weights::kPromotes && unit.k % kPromoted == 0)) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
        } else if (!Weights::kPromotes && is_first(unit)) {
            const std::byte* sums = totals_of(unit);
            _tile_loadd(0, sums, 4 * width_);
            _tile_loadd(2, sums + 2 * kTileBytes, 4 * width_);
            if (two_) _tile_loadd(1, sums + kTileBytes, 4 * width_);
            if (two_) _tile_loadd(3, sums + 3 * kTileBytes, 4 * width_);
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
        _tile_loadd(5, rows + 2 * kUnitSteps * kTileBytes, 64);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (two) {
            _tile_loadd(7, columns + strip_bytes_, 4 * width_);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
        }
        asm volatile("" ::: "memory");
    }

    void store_tiles(std::byte* to) {
        _tile_stored(0, to, 4 * width_);
        _tile_stored(2, to + 2 * kTileBytes, 4 * width_);
        if (two_) _tile_stored(1, to + kTileBytes, 4 * width_);
        if (two_) _tile_stored(3, to + 3 * kTileBytes, 4 * width_);
        asm volatile("" ::: "memory");
    }

    void finish(const Unit& unit) {
        if constexpr (Weights::kPromotes) {
            if (!is_last(unit) && (unit.k + kUnit) % kPromoted != 0) return;
            store_tiles(buffers_.sums);
            promote(unit);
        } else if (is_last(unit)) {
            store_tiles(totals_of(unit));
        }
        if (is_last(unit) && part_end_ == k_) store(unit);
    }

    /// totals += scale of the rows · scale of the column · sums: see Promotion in
    /// matmul_fp8_amx.cpp.
    void promote(const Unit& unit) {
        auto* totals = reinterpret_cast<float*>(totals_of(unit));
        const auto* sums = reinterpret_cast<const float*>(buffers_.sums);
        const __m512 row_scale = _mm512_set1_ps(weights_.scale(tile_.m_begin + unit.m, unit.k));
        for (int64_t tile = 0; tile < 4; ++tile) {  // [row tile][column tile]
            const int64_t n = tile % 2 * 16, first = tile * kTileBytes / 4;
            if (n >= tile_.n_count) continue;
            const __m512 scale = _mm512_mul_ps(
                row_scale, column_scales(tile_.n_begin + n, least(16, tile_.n_count - n), unit.k));
            for (int64_t i = first; i < first + 16 * width_; i += 16) {
                const __m512 total =
                    unit.k < kPromoted ? _mm512_setzero_ps() : _mm512_load_ps(totals + i);
                _mm512_store_ps(totals + i,
                                _mm512_fmadd_ps(_mm512_load_ps(sums + i), scale, total));
            }
        }
    }

    /// Of the columns that sixteen sums in a row belong to: `width_` columns, over and over.
    __m512 column_scales(int64_t begin, int64_t count, int64_t k) const {
        alignas(64) float scales[16] = {};
        columns_.expand_scales(begin, count, k, scales);
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
        for (int64_t i = 0; i < 2; ++i) {
            const int64_t rows = tile_.m_count - unit.m - 16 * i;
            if (rows <= 0) break;
            for (int64_t n = 0; n < tile_.n_count; ++n) {
                const std::byte* sums = totals + (2 * i + n / 16) * kTileBytes + n % 16 * 4;
                Out* to = result_.c + (tile_.n_begin + n) * result_.stride + tile_.m_begin +
                          unit.m + 16 * i;
                store_sums(_mm512_i32gather_ps(places, sums, 4), first_lanes(rows), result_.add,
                           to);
            }
        }
    }

    std::byte* totals_of(const Unit& unit) const {
        return buffers_.totals[unit.m / kBlock];
    }

    const Weights& weights_;
    const Columns& columns_;
    NarrowResult<Out> result_;
    MatmulTile tile_;
    int64_t k_;
    RowsAhead next_;  // to be fetched after this tile
    NarrowBuffers& buffers_;
    bool two_;           // tiles of columns
    int64_t width_ = 1;  // of a tile of columns: a power of two
    int64_t part_ = 0;   // k packed at a time
    int64_t part_begin_ = 0;
    int64_t part_end_ = 0;
    int64_t strip_bytes_ = 0;
    RowsAhead ahead_;  // what is fetched
};

}  // namespace
}  // namespace hadal::ops::cpu

#endif

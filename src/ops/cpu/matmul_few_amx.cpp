// Few rows of x by a matrix stored [k, n], with the bits of the tile registers but without them: a
// query and the part of kv_b_proj that makes keys, while a text is generated. Tiles would want the
// matrix in pairs of k, a packing that costs more than reading it; here its rows are read once from
// end to end, 32 columns to a line.
//
// A tile instruction adds the even and the odd of 32 values of k apart, each from zero with fused
// multiply-add, and c += even + odd; it takes subnormal numbers for zero and gives none. So does
// this, with the control register set to do the same.
#include "ops/cpu/matmul.h"

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include "ops/cpu/amx_block.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kFewest = 4;     // rows of x: with more the arithmetic takes longer than reading
constexpr int64_t kColumns = 512;  // at a time: three sums of each for four rows are 24 KiB, in L1
constexpr int64_t kAhead = 4096;   // bytes: a page, where the processor's own prefetching stops

/// Subnormal numbers are zero, as on tile registers, until this is gone.
class FlushSubnormals {
  public:
    FlushSubnormals() : before_(_mm_getcsr()) {
        constexpr unsigned kResults = 1u << 15, kOperands = 1u << 6;
        _mm_setcsr(before_ | kResults | kOperands);
    }
    ~FlushSubnormals() {
        _mm_setcsr(before_);
    }
    FlushSubnormals(const FlushSubnormals&) = delete;
    FlushSubnormals& operator=(const FlushSubnormals&) = delete;

  private:
    unsigned before_;
};

/// A line of 32 columns as float32: the even ones and the odd ones.
struct Line {
    __m512 half[2];

    explicit Line(__m512i values) {
        half[0] = _mm512_castsi512_ps(_mm512_slli_epi32(values, 16));
        half[1] = _mm512_castsi512_ps(_mm512_and_si512(values, _mm512_set1_epi32(int(0xFFFF0000))));
    }
};

/// Sums of up to kColumns columns: [line][even or odd columns][16].
struct alignas(64) Sums {
    float at[kColumns / 32][2][16];

    void clear(int64_t lines) {
        __builtin_memset(at, 0, size_t(lines) * sizeof at[0]);
    }
};

/// `rows` rows of x by columns [n, n + count) of the matrix.
template <int rows, class Out>
class FewRows {
  public:
    FewRows(const MatmulProduct& product, int64_t m, int64_t n, int64_t count)
        : product_(product), m_(m), n_(n), count_(count), lines_((count + 31) / 32) {}

    void compute() {
        for (Sums& c : c_) c.clear(lines_);
        for (int64_t k = 0; k < product_.k; k += 32) multiply(k, least(k + 32, product_.k));
        for (int i = 0; i < rows; ++i) store(i);
    }

  private:
    void multiply(int64_t k, int64_t k_end) {
        for (int i = 0; i < rows; ++i) {
            for (Sums& sums : parts_[i]) sums.clear(lines_);
        }
        for (; k < k_end; ++k) add_row(k);
        for (int i = 0; i < rows; ++i) {
            for (int64_t l = 0; l < lines_; ++l) {
                for (int h = 0; h < 2; ++h) {
                    float* c = c_[i].at[l][h];
                    const __m512 sum = _mm512_add_ps(_mm512_load_ps(parts_[i][0].at[l][h]),
                                                     _mm512_load_ps(parts_[i][1].at[l][h]));
                    _mm512_store_ps(c, _mm512_add_ps(_mm512_load_ps(c), sum));
                }
            }
        }
    }

    void add_row(int64_t k) {
        const auto* row = static_cast<const bf16*>(product_.b.data) + k * product_.b.stride + n_;
        const auto* x = static_cast<const bf16*>(product_.a.data) + m_ * product_.a.stride + k;
        __m512 factor[rows];
        for (int i = 0; i < rows; ++i) {
            factor[i] = _mm512_castsi512_ps(
                _mm512_set1_epi32(int(uint32_t(x[i * product_.a.stride].bits) << 16)));
        }
        const int64_t whole = count_ / 32;
        for (int64_t l = 0; l < whole; ++l) {
            _mm_prefetch(reinterpret_cast<const std::byte*>(row + 32 * l) + kAhead, _MM_HINT_T0);
            add_line(Line(_mm512_loadu_si512(row + 32 * l)), factor, k % 2, l);
        }
        if (whole < lines_) {
            const __mmask32 mask = (1u << count_ % 32) - 1;
            add_line(Line(_mm512_maskz_loadu_epi16(mask, row + 32 * whole)), factor, k % 2, whole);
        }
    }

    void add_line(const Line& line, const __m512 (&factor)[rows], int64_t part, int64_t l) {
        for (int i = 0; i < rows; ++i) {
            for (int h = 0; h < 2; ++h) {
                float* sum = parts_[i][part].at[l][h];
                _mm512_store_ps(sum, _mm512_fmadd_ps(factor[i], line.half[h], _mm512_load_ps(sum)));
            }
        }
    }

    void store(int i) const {
        const __m512i first =
            _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
        Out* to = static_cast<Out*>(product_.c) + (m_ + i) * product_.c_stride + n_;
        for (int64_t l = 0; l < lines_; ++l, to += 32) {
            const __m512 even = _mm512_load_ps(c_[i].at[l][0]);
            const __m512 odd = _mm512_load_ps(c_[i].at[l][1]);
            const int64_t left = count_ - 32 * l;
            store_sums(_mm512_permutex2var_ps(even, first, odd), first_lanes(left), product_.add,
                       to);
            if (left <= 16) continue;
            store_sums(_mm512_permutex2var_ps(even, second, odd), first_lanes(left - 16),
                       product_.add, to + 16);
        }
    }

    const MatmulProduct& product_;
    int64_t m_;
    int64_t n_;
    int64_t count_;
    int64_t lines_;
    Sums c_[rows];
    Sums parts_[rows][2];  // of even and of odd k
};

}  // namespace

bool matmul_few_amx_fits(const MatmulProduct& product) {
    return product.a.k_contiguous && !product.b.k_contiguous && product.m <= kFewest &&
           product.b.scale == nullptr;
}

template <class Out>
void matmul_few_amx_tile(const MatmulProduct& product, const MatmulTile& tile) {
    const FlushSubnormals as_tiles_do;
    const int64_t n_end = tile.n_begin + tile.n_count, m_end = tile.m_begin + tile.m_count;
    for (int64_t n = tile.n_begin; n < n_end; n += kColumns) {
        const int64_t count = least(kColumns, n_end - n);
        int64_t m = tile.m_begin;
        for (; m + 4 <= m_end; m += 4) FewRows<4, Out>(product, m, n, count).compute();
        for (; m + 2 <= m_end; m += 2) FewRows<2, Out>(product, m, n, count).compute();
        if (m < m_end) FewRows<1, Out>(product, m, n, count).compute();
    }
}

template void matmul_few_amx_tile<bf16>(const MatmulProduct&, const MatmulTile&);
template void matmul_few_amx_tile<float>(const MatmulProduct&, const MatmulTile&);

}  // namespace hadal::ops::cpu

#endif

// Blocked product on vector registers: the columns of b are packed panel by panel, 6 rows of a are
// multiplied with a panel at a time.
//
// An element is summed over k = 0, 1, 2, … in one accumulator, whatever its row, tile or panel:
// where k is cut, the float32 sum goes through memory and comes back with the same bits. Few rows
// (decoding) take the same way; packing then costs about as much as one row's arithmetic and keeps
// up with memory.
//
// Per unit of k the inner loop loads one panel row (4 vectors on AVX-512) and 6 broadcasts for 24
// multiply-adds. A panel of 128 units is 32 KiB: it comes from L1 or L2 at 11 bytes a cycle, half
// of what Zen 4's L2 gives.
#include "ops/cpu/matmul.h"

#if !defined(__AMX_TILE__)  // the set with tiles uses the AVX-512 instance for f32

#include "ops/cpu/int4.h"
#include "ops/cpu/int4_pack512.h"
#include "ops/cpu/matmul_store.h"
#include "ops/cpu/matmul_vector.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kRows = 6;        // of a register block
constexpr int64_t kUnits = 128;     // of k packed at a time
constexpr int64_t kMostRows = 480;  // of a tile: packing b costs a few percent of the arithmetic

int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/// The rows of a as units: `row` and `unit` are distances in bytes.
struct Rows {
    const std::byte* data;
    int64_t row;
    int64_t unit;
};

/// sums[rows, vectors] (+)= a·b over `units` units of k.
template <class V, int rows, int vectors>
void multiply_block(const Rows& a, const uint32_t* b, int64_t units, bool first, float* sums,
                    int64_t sums_stride) {
    typename V::Sums sum[rows][vectors];
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; ++j) {
            sum[i][j] = first ? V::zero() : V::load(sums + i * sums_stride + j * V::kLanes);
        }
    }
    const std::byte* row[rows];
    for (int i = 0; i < rows; ++i) row[i] = a.data + i * a.row;
    int64_t offset = 0;
    for (int64_t u = 0; u < units; ++u, offset += a.unit, b += V::kVectors * V::kLanes) {
        typename V::Units columns[vectors];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; ++j) columns[j] = V::units(b + j * V::kLanes);
#pragma GCC unroll 6
        for (int i = 0; i < rows; ++i) {
            const auto value = V::broadcast(row[i] + offset);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; ++j) {
                sum[i][j] = V::multiply_add(sum[i][j], value, columns[j]);
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; ++j) {
            V::store(sums + i * sums_stride + j * V::kLanes, sum[i][j]);
        }
    }
}

using BlockFunction = void (*)(const Rows&, const uint32_t*, int64_t, bool, float*, int64_t);

/// The function for 1 … 6 rows and 1 … kVectors vectors of columns.
template <class V, int vectors = 1>
BlockFunction block_function(int64_t rows, int64_t wanted_vectors) {
    if constexpr (vectors < V::kVectors) {
        if (wanted_vectors > vectors) return block_function<V, vectors + 1>(rows, wanted_vectors);
    }
    constexpr BlockFunction functions[] = {
        multiply_block<V, 1, vectors>, multiply_block<V, 2, vectors>,
        multiply_block<V, 3, vectors>, multiply_block<V, 4, vectors>,
        multiply_block<V, 5, vectors>, multiply_block<V, 6, vectors>};
    return functions[rows - 1];
}

template <class V>
constexpr int64_t kMostColumns = 16 * V::kLanes;
template <class V>
constexpr int64_t kPanel = int64_t(V::kVectors) * V::kLanes;

/// Of INT4 columns before they are packed: one vector of them over the panel's k.
template <class V>
constexpr int64_t kDecoded = int64_t(V::kLanes) * kUnits * V::kPerUnit;

/// One tile of the plan while it is computed. Scratch: a panel of b, rows of a, decoded columns,
/// sums.
template <class V, class In, class Out>
class BlockedProduct {
  public:
    BlockedProduct(const MatmulProduct& product, const MatmulTile& tile, std::byte* memory)
        : product_(product), tile_(tile) {
        panel_ = reinterpret_cast<uint32_t*>(memory);
        rows_ = panel_ + kPanel<V> * kUnits;
        decoded_ = reinterpret_cast<bf16*>(rows_ + kMostRows * kUnits);
        sums_ = reinterpret_cast<float*>(decoded_ + kDecoded<V>);
        sums_stride_ = (tile.n_count + V::kLanes - 1) / V::kLanes * V::kLanes;
    }

    void compute() {
        constexpr int64_t kStep = kUnits * V::kPerUnit;
        for (int64_t k = 0; k < product_.k || k == 0; k += kStep) {
            const int64_t k_end = least(k + kStep, product_.k);
            const Rows rows = rows_of(k, k_end);
            for (int64_t n = 0; n < tile_.n_count; n += kPanel<V>) {
                const int64_t columns = least(kPanel<V>, tile_.n_count - n);
                pack_panel(n, columns, k, k_end);
                multiply_panel(rows, n, columns, (k_end - k + V::kPerUnit - 1) / V::kPerUnit,
                               k == 0);
            }
        }
        store();
    }

  private:
    /// a as it lies in memory where it consists of units already, otherwise packed: [m][unit] or
    /// [unit][m].
    Rows rows_of(int64_t k, int64_t k_end) {
        const MatmulOperand& a = product_.a;
        const auto* data = static_cast<const In*>(a.data);
        constexpr bool kIsUnits = sizeof(In) * V::kPerUnit == 4;
        if (a.k_contiguous && kIsUnits && (k_end - k) % V::kPerUnit == 0) {
            return {reinterpret_cast<const std::byte*>(data + tile_.m_begin * a.stride + k),
                    a.stride * int64_t(sizeof(In)), 4};
        }
        if (a.k_contiguous) {
            for (int64_t m = 0; m < tile_.m_count; ++m) {
                pack_row(data + (tile_.m_begin + m) * a.stride + k, k_end - k, rows_ + m * kUnits);
            }
            return {reinterpret_cast<const std::byte*>(rows_), kUnits * 4, 4};
        }
        for (int64_t m = 0; m < tile_.m_count; m += V::kLanes) {
            pack_strip(a, tile_.m_begin + m, least(V::kLanes, tile_.m_count - m), k, k_end,
                       rows_ + m, kMostRows);
        }
        return {reinterpret_cast<const std::byte*>(rows_), 4, kMostRows * 4};
    }

    static void pack_row(const In* from, int64_t count, uint32_t* to) {
        if constexpr (V::kPerUnit == 2) {
            __builtin_memcpy(to, from, size_t(count) * sizeof(In));
            if (count % 2 != 0) to[count / 2] &= 0xFFFFu;  // the value behind an odd k is zero
        } else {
            for (int64_t i = 0; i < count; ++i) {
                to[i] = __builtin_bit_cast(uint32_t, widen(from[i]));
            }
        }
    }

    /// Columns begin … begin + count − 1 (count ≤ kLanes): unit u of column j to to[u·stride + j].
    static void pack_strip(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k,
                           int64_t k_end, uint32_t* to, int64_t stride) {
        for (; k < k_end; k += V::kLanes * V::kPerUnit, to += V::kLanes * stride) {
            typename V::Units v[V::kLanes];
            V::template load_square<In>(x, begin, count, k, k_end, v);
#pragma GCC unroll 16
            for (int i = 0; i < V::kLanes; ++i) V::store_units(to + i * stride, v[i]);
        }
    }

    void pack_panel(int64_t n, int64_t columns, int64_t k, int64_t k_end) {
        for (int64_t j = 0; j < columns; j += V::kLanes) {
            const int64_t begin = tile_.n_begin + n + j, count = least(V::kLanes, columns - j);
            if constexpr (sizeof(In) == sizeof(bf16)) {
                if (product_.b.scale != nullptr) {
                    pack_int4_strip(begin, count, k, k_end, panel_ + j);
                    continue;
                }
            }
            pack_strip(product_.b, begin, count, k, k_end, panel_ + j, kPanel<V>);
        }
    }

    void pack_int4_strip(int64_t begin, int64_t count, int64_t k, int64_t k_end, uint32_t* to) {
#if defined(__AVX512VBMI__)
        Int4StripPacker().pack(product_.b, begin, count, k, k_end, to, kPanel<V>,
                               first_lanes(V::kLanes));
#else  // as bf16 first
        constexpr int64_t kStride = kUnits * V::kPerUnit;
        const MatmulOperand& b = product_.b;
        const Int4Decoder decoder;
        for (int64_t i = 0; i < count; ++i) {
            decode_int4(decoder,
                        static_cast<const int32_t*>(b.data) + (begin + i) * b.stride + k / 8,
                        b.scale + (begin + i) * b.scale_stride + k / kInt4Group,
                        (k_end - k) / kInt4Group, decoded_ + i * kStride, kInt4Group);
        }
        pack_strip({decoded_, kStride, true}, 0, count, 0, k_end - k, to, kPanel<V>);
#endif
    }

    void multiply_panel(const Rows& rows, int64_t n, int64_t columns, int64_t units, bool first) {
        const int64_t vectors = (columns + V::kLanes - 1) / V::kLanes;
        // Equal groups: 7 rows are 4 and 3, since a single row would wait for its own sums.
        const int64_t groups = (tile_.m_count + kRows - 1) / kRows;
        for (int64_t g = 0; g < groups; ++g) {
            const int64_t m = g * tile_.m_count / groups;
            const int64_t count = (g + 1) * tile_.m_count / groups - m;
            block_function<V>(count, vectors)({rows.data + m * rows.row, rows.row, rows.unit},
                                              panel_, units, first, sums_ + m * sums_stride_ + n,
                                              sums_stride_);
        }
    }

    void store() {
        for (int64_t m = 0; m < tile_.m_count; ++m) {
            const float* sums = sums_ + m * sums_stride_;
            Out* c = static_cast<Out*>(product_.c) + (tile_.m_begin + m) * product_.c_stride +
                     tile_.n_begin;
            if (product_.add) {
                for (int64_t n = 0; n < tile_.n_count; ++n) narrow(sums[n] + widen(c[n]), c[n]);
            } else {
                for (int64_t n = 0; n < tile_.n_count; ++n) narrow(sums[n], c[n]);
            }
        }
    }

    const MatmulProduct& product_;
    const MatmulTile& tile_;
    uint32_t* panel_;  // [kUnits][kPanel]
    uint32_t* rows_;   // [m][kUnits] or [kUnits][kMostRows]
    bf16* decoded_;    // [kLanes][k of a panel]
    float* sums_;      // [m][sums_stride_]
    int64_t sums_stride_;
};

}  // namespace

template <Isa isa, class In>
MatmulLimits matmul_limits(const MatmulProduct&) {
    using V = typename VectorOf<In>::Type;
    // A square of rows may end behind the last row, a line of sums in its padding.
    constexpr int64_t kBytes =
        4 *
        (kPanel<V> * kUnits + kMostRows * (kUnits + V::kLanes) + kMostRows * kMostColumns<V>)+2 *
        kDecoded<V>;
    return {.m_step = kRows,
            .n_step = V::kLanes,
            .m_most = kMostRows,
            .n_most = kMostColumns<V>,
            .least_cost = 1 << 20,
            .bytes = kBytes};
}

template <Isa isa, class In, class Out>
void matmul_tile(const MatmulProduct& product, const MatmulTile& tile, MatmulScratch& scratch) {
    BlockedProduct<typename VectorOf<In>::Type, In, Out>(product, tile, scratch.memory).compute();
}

constexpr Isa kThisIsa = Isa::HADAL_THIS_ISA;
template MatmulLimits matmul_limits<kThisIsa, float>(const MatmulProduct&);
template MatmulLimits matmul_limits<kThisIsa, bf16>(const MatmulProduct&);
template void matmul_tile<kThisIsa, float, float>(const MatmulProduct&, const MatmulTile&,
                                                  MatmulScratch&);
template void matmul_tile<kThisIsa, bf16, float>(const MatmulProduct&, const MatmulTile&,
                                                 MatmulScratch&);
template void matmul_tile<kThisIsa, bf16, bf16>(const MatmulProduct&, const MatmulTile&,
                                                MatmulScratch&);

}  // namespace hadal::ops::cpu

#endif

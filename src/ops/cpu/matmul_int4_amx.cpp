// Few rows by an INT4 weight on AMX tile registers: the operands exchanged, see
// matmul_narrow_amx.h.
#include "ops/cpu/matmul.h"

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include "ops/cpu/int4.h"
#include "ops/cpu/matmul_narrow_amx.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

/// The rows of an INT4 weight: see matmul_narrow_amx.h.
class Int4Rows {
  public:
    static constexpr bool kPromotes = false;

    explicit Int4Rows(const MatmulOperand& weight) : weight_(weight) {}

    static int64_t rows_in_page() {
        return 1;  // decoding takes longer than reading
    }
    void decode(const SomeRows& some, int64_t k, int64_t count, std::byte* to) const {
        const int32_t* codes = words(some.begin, k);
        const bf16* scale = scales(some.begin, k);
        const int64_t scales_ahead = kBlock * weight_.scale_stride;  // the next rows'
        const Int4Decoder decoder = decoder_;  // in registers: the stores cannot reach it
        for (int64_t i = 0; i < some.count; ++i, to += 64) {
            _mm_prefetch(codes + kAhead, _MM_HINT_T0);
            _mm_prefetch(scale + scales_ahead, _MM_HINT_T0);
            if (count == kUnit) {
                decode_64(decoder, codes, scale, to);
                decode_64(decoder, codes + 8, scale + 2, to + 2 * kTileBytes);
            } else {
                decode_int4(decoder_, codes, scale, count / kInt4Group, reinterpret_cast<bf16*>(to),
                            kTileBytes / int64_t(sizeof(bf16)));
            }
            codes += weight_.stride;
            scale += weight_.scale_stride;
        }
    }
    static float scale(int64_t, int64_t) {
        return 1;
    }

  private:
    static constexpr int64_t kAhead = 32;  // words: two lines on, which are in L2 already

    static void decode_64(const Int4Decoder& decoder, const int32_t* codes, const bf16* scale,
                          std::byte* to) {
        __m512i values[2];
        decoder.decode_two(codes, scale, values);
        _mm512_store_si512(to, values[0]);
        _mm512_store_si512(to + kTileBytes, values[1]);
    }
    const int32_t* words(int64_t row, int64_t k) const {
        return static_cast<const int32_t*>(weight_.data) + row * weight_.stride + k / 8;
    }
    const bf16* scales(int64_t row, int64_t k) const {
        return weight_.scale + row * weight_.scale_stride + k / kInt4Group;
    }

    MatmulOperand weight_;
    Int4Decoder decoder_;
};

/// Rows of x, which become columns.
struct Bf16Columns {
    MatmulOperand x;

    static bool has_scales() {
        return false;
    }

    void pack(int64_t begin, int64_t count, int64_t k, int64_t k_end, std::byte* to,
              int64_t width) const {
        pack_strip<bf16>(x, begin, count, k, k_end, reinterpret_cast<uint32_t*>(to), width,
                         first_lanes(width));
    }
    static void expand_scales(int64_t, int64_t, int64_t, float*) {}
};

}  // namespace

MatmulLimits matmul_int4_amx_limits() {
    return narrow_limits(1);
}

template <class Out>
void matmul_int4_amx_tile(const MatmulProduct& product, const MatmulTile& tile,
                          MatmulScratch& scratch) {
    const Int4Rows rows(product.a);
    const Bf16Columns columns{product.b};
    NarrowProduct<Int4Rows, Bf16Columns, Out> narrow(
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

template void matmul_int4_amx_tile<bf16>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);
template void matmul_int4_amx_tile<float>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);

}  // namespace hadal::ops::cpu

#endif

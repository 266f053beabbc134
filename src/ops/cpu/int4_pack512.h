// INT4 columns to strips of sixteen, as matmul_pack512.h has them: units of 32 bits that hold the
// bf16 values of k and k + 1.
//
// Words of codes are transposed, eight codes at a time, so that a lane belongs to a column; what a
// code stands for is then looked up and multiplied in float32. A vector makes the pairs of eight
// columns, two of them, rounded together, a unit of sixteen.
#pragma once

#if defined(__AVX512VBMI__)

#include "ops/cpu/int4.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

class Int4StripPacker {
  public:
    /// Columns begin … begin + count − 1 (count ≤ 16) over [k_begin, k_end), whole groups: unit u
    /// of column j goes to to[u·stride + j], for the columns of `lanes`.
    void pack(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k_begin, int64_t k_end,
              uint32_t* to, int64_t stride, __mmask16 lanes) const {
        constexpr int64_t kScaled = 1024;  // of k, under the scales that a square holds
        for (int64_t k = k_begin; k < k_end; k += kScaled) {
            const int64_t end = k_end - k < kScaled ? k_end : k + kScaled;
            __m512i scales[16];  // pairs of groups
            load_units<bf16>({x.scale, x.scale_stride, true}, begin, count, k / kInt4Group,
                             end / kInt4Group, scales);
            for (int64_t at = k; at < end; at += 128, to += 64 * stride) {
                __m512i words[16];
                load_units<float>({x.data, x.stride, true}, begin, count, at / 8, end / 8, words);
                const int64_t groups = (end - at < 128 ? end - at : 128) / kInt4Group;
                for (int64_t g = 0; g < groups; ++g) {
                    const int64_t group = (at - k) / kInt4Group + g;
                    const __m512i scale = group % 2 == 0
                                              ? _mm512_slli_epi32(scales[group / 2], 16)
                                              : _mm512_and_si512(scales[group / 2], upper_);
                    pack_group(words + 4 * g, scale, to + 16 * g * stride, stride, lanes);
                }
            }
        }
    }

  private:
    void pack_group(const __m512i* words, __m512i scale, uint32_t* to, int64_t stride,
                    __mmask16 lanes) const {
        const __m512 first = _mm512_castsi512_ps(_mm512_permutexvar_epi32(first_, scale));
        const __m512 second = _mm512_castsi512_ps(_mm512_permutexvar_epi32(second_, scale));
        const __m512 values = _mm512_castsi512_ps(values_);
        for (int64_t w = 0; w < kInt4Words; ++w) {
            __m512i low = _mm512_srlv_epi32(_mm512_permutexvar_epi32(first_, words[w]), shift_);
            __m512i high = _mm512_srlv_epi32(_mm512_permutexvar_epi32(second_, words[w]), shift_);
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i, to += stride) {
                const __m512 a = _mm512_mul_ps(_mm512_permutexvar_ps(low, values), first);
                const __m512 b = _mm512_mul_ps(_mm512_permutexvar_ps(high, values), second);
                _mm512_mask_storeu_epi32(to, lanes, __m512i(_mm512_cvtne2ps_pbh(b, a)));
                low = _mm512_srli_epi32(low, 8);
                high = _mm512_srli_epi32(high, 8);
            }
        }
    }

    __m512i values_ = kept(_mm512_castps_si512(_mm512_load_ps(kInt4Values)));
    __m512i upper_ = kept(_mm512_set1_epi32(int(0xFFFF0000u)));
    __m512i first_ = kept(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7));
    __m512i second_ =
        kept(_mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15));
    __m512i shift_ = kept(_mm512_set1_epi64(int64_t(4) << 32));  // of the odd code of a pair
};

}  // namespace
}  // namespace hadal::ops::cpu

#endif

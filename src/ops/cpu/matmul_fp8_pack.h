// Codes to the operands of AMX tiles: rows of 32 bf16 values of k, columns as pairs of k in strips
// of sixteen. Transposing is done on codes, where a vector holds twice as many, and ends in the
// order that the decoder's last step, bytes to words within 128-bit lanes, puts right.
#pragma once

#if defined(__AVX512VBMI__)

#include <immintrin.h>

#include "ops/cpu/matmul_fp8.h"
#include "ops/cpu/matmul_pack512.h"

namespace hadal::ops::cpu {
namespace {

inline const DecodeTable& table_of(Code code) {
    return code == Code::e5m2 ? kE5M2Table : kE4M3Table;
}
inline __mmask64 first_bytes(int64_t count) {
    return count >= 64 ? ~0ull : count <= 0 ? 0 : (1ull << count) - 1;
}

/// Decodes up to 32 rows of an operand into tiles [16][32], step after step of k, for the first 16
/// rows and then for the others; zeros behind the last k. A little at a time, beside other work: a
/// portion is a row, or a square of 16 rows and 32 of k where k is not contiguous.
class RowDecoder {
  public:
    RowDecoder() = default;
    RowDecoder(const Fp8Operand& x, int64_t begin, int64_t count, int64_t k_begin, int64_t k_end,
               std::byte* to)
        : x_(&x), begin_(begin), count_(count), k_begin_(k_begin), k_end_(k_end), to_(to) {
        const int64_t k_count = k_end - k_begin;
        steps_ = (k_count + 31) / 32;
        left_ = !x.k_contiguous ? (count + 15) / 16 * steps_ : k_count > 0 ? count : 0;
    }

    /// Portions of work that are not done.
    int64_t left() const {
        return left_;
    }

    void advance(int64_t portions) {
        if (left_ == 0) return;
        const Decoder512 decoder(table_of(x_->code));
        for (; portions > 0 && left_ > 0; --portions, --left_) {
            if (!x_->k_contiguous) {
                decode_square(decoder);
            } else if (x_->code == Code::bf16) {
                copy_row();
            } else {
                decode_row_of_codes(decoder);
            }
        }
    }

  private:
    std::byte* place(int64_t row, int64_t k) const {
        return to_ + (row / 16 * steps_ + k / 32) * 1024 + row % 16 * 64;
    }

    void decode_row_of_codes(const Decoder512& decoder) {
        const auto* codes =
            static_cast<const uint8_t*>(x_->data) + (begin_ + row_) * x_->stride + k_begin_;
        std::byte* to = place(row_++, 0);
        int64_t left = k_end_ - k_begin_;
        const int64_t later = 32 * x_->stride;  // of the 32 rows that are decoded next
        for (; left >= 64; left -= 64, codes += 64, to += 2 * 1024) {
            __m512i values[2];
            decoder.decode(_mm512_loadu_si512(codes), values[0], values[1]);
            _mm512_store_si512(to, values[0]);
            _mm512_store_si512(to + 1024, values[1]);
            _mm_prefetch(codes + later, _MM_HINT_T0);
        }
        if (left > 0) {
            __m512i values[2];
            decoder.decode(_mm512_maskz_loadu_epi8(first_bytes(left), codes), values[0], values[1]);
            _mm512_store_si512(to, values[0]);
            if (left > 32) _mm512_store_si512(to + 1024, values[1]);
        }
    }

    void copy_row() {
        const auto* values =
            static_cast<const bf16*>(x_->data) + (begin_ + row_) * x_->stride + k_begin_;
        std::byte* to = place(row_++, 0);
        for (int64_t left = k_end_ - k_begin_; left > 0; left -= 32, values += 32, to += 1024) {
            const __mmask32 lanes = left >= 32 ? ~0u : (1u << left) - 1;
            _mm512_store_si512(to, _mm512_maskz_loadu_epi16(lanes, values));
        }
    }

    /// Sixteen rows over 32 values of k, stored [k][rows]. Lane q of a vector takes k = 8q + i
    /// while loading; three exchanges within lanes bring the codes of a row's eight k together; two
    /// rows of 32 are decoded at a time.
    void decode_square(const Decoder512& decoder) {
        const int64_t rows = count_ - row_ < 16 ? count_ - row_ : 16;
        const int64_t k_count = k_end_ - k_begin_ - k_;
        const auto* codes =
            static_cast<const uint8_t*>(x_->data) + (k_begin_ + k_) * x_->stride + begin_ + row_;
        int64_t stride = x_->stride;
        if ((begin_ + row_) % 64 < 16) {  // once a line: the one after next in the same rows
            for (int64_t k = 0; k < k_count && k < 32; ++k) {
                _mm_prefetch(codes + k * stride + 64, _MM_HINT_T1);
            }
        }
        alignas(64) uint8_t edge[32 * 16];
        if (rows < 16 || k_count < 32) {
            for (int64_t k = 0; k < 32; ++k) {
                const __mmask16 here = k < k_count ? first_lanes(rows) : __mmask16(0);
                _mm_store_si128(reinterpret_cast<__m128i*>(edge + 16 * k),
                                _mm_maskz_loadu_epi8(here, codes + k * stride));
            }
            codes = edge;
            stride = 16;
        }
        __m512i v[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
            const auto at = [&](int k) {
                return _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + k * stride));
            };
            v[i] = _mm512_castsi128_si512(at(i));
            v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x00F0, at(i + 8));
            v[i] = _mm512_mask_broadcast_i32x4(v[i], 0x0F00, at(i + 16));
            v[i] = _mm512_mask_broadcast_i32x4(v[i], 0xF000, at(i + 24));
        }
        __m512i pairs[8];  // [pair of k][rows 0–7, 8–15]
        __m512i quads[8];  // [four k][rows 0–3, 4–7, 8–11, 12–15]
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            pairs[2 * i] = _mm512_unpacklo_epi8(v[2 * i], v[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi8(v[2 * i], v[2 * i + 1]);
        }
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 2
            for (int h = 0; h < 2; ++h) {
                quads[4 * i + 2 * h] =
                    _mm512_unpacklo_epi16(pairs[4 * i + h], pairs[4 * i + 2 + h]);
                quads[4 * i + 2 * h + 1] =
                    _mm512_unpackhi_epi16(pairs[4 * i + h], pairs[4 * i + 2 + h]);
            }
        }
        std::byte* to = place(row_, k_);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            __m512i values[2];
            decoder.decode_lanes(_mm512_unpacklo_epi32(quads[i], quads[4 + i]), values[0],
                                 values[1]);
            _mm512_store_si512(to + (4 * i) * 64, values[0]);
            _mm512_store_si512(to + (4 * i + 1) * 64, values[1]);
            decoder.decode_lanes(_mm512_unpackhi_epi32(quads[i], quads[4 + i]), values[0],
                                 values[1]);
            _mm512_store_si512(to + (4 * i + 2) * 64, values[0]);
            _mm512_store_si512(to + (4 * i + 3) * 64, values[1]);
        }
        k_ += 32;
        if (k_ < k_end_ - k_begin_) return;
        k_ = 0;
        row_ += 16;
    }

    const Fp8Operand* x_ = nullptr;
    int64_t begin_ = 0;
    int64_t count_ = 0;
    int64_t k_begin_ = 0;
    int64_t k_end_ = 0;
    int64_t steps_ = 0;
    std::byte* to_ = nullptr;
    int64_t row_ = 0;  // what comes next
    int64_t k_ = 0;    // from k_begin_
    int64_t left_ = 0;
};

/// Decodes columns into strips of 16: unit u, the values of k = 2u and 2u + 1, of column j at
/// strip + (u · width + j) · 4 bytes; zeros behind the last k, to a multiple of 32.
class ColumnDecoder {
  public:
    ColumnDecoder(const Fp8Operand& x, int64_t k_begin, int64_t k_end, int64_t width)
        : x_(x),
          decoder_(table_of(x.code)),
          k_begin_(k_begin),
          k_end_(k_end),
          width_(width),
          lanes_(first_lanes(width)) {}

    /// `next` bytes from one strip to the next.
    void decode(int64_t begin, int64_t count, std::byte* to, int64_t next) const {
        if (x_.k_contiguous) {
            for (int64_t n = 0; n < count; n += 16, to += next) {
                decode_strip(begin + n, count - n < 16 ? count - n : 16, to);
            }
            return;
        }
        for (int64_t n = 0; n < count; n += 64, to += 4 * next) {
            decode_four_strips(begin + n, count - n, to, next);
        }
    }

  private:
    void decode_strip(int64_t begin, int64_t count, std::byte* to) const {
        if (x_.code == Code::bf16) {
            pack_strip<bf16>({x_.data, x_.stride, true}, begin, count, k_begin_, k_end_,
                             reinterpret_cast<uint32_t*>(to), width_, lanes_);
            return;
        }
        // The four codes of a unit of 32 bits, k to k + 3, of four columns a lane: first the pairs
        // k and k + 1, then k + 2 and k + 3.
        const __m512i order = _mm512_broadcast_i32x4(
            _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
        for (int64_t k = k_begin_; k < k_end_; k += 64) {
            const auto* rows = static_cast<const std::byte*>(x_.data) + begin * x_.stride + k;
            __m512i v[16];
            if (count == 16 && k_end_ - k >= 64) {
                load_transposed(rows, x_.stride, v);
            } else {
                alignas(64) std::byte square[16 * 64];
                copy_square(rows, x_.stride, count, k_end_ - k, square);
                load_transposed(square, 64, v);
            }
            const int64_t units = k_end_ - k > 32 ? 32 : 16;
#pragma GCC unroll 16
            for (int i = 0; i < 16; ++i) {
                if (2 * i >= units) break;
                __m512i pairs[2];
                decoder_.decode_lanes(_mm512_shuffle_epi8(v[i], order), pairs[0], pairs[1]);
                for (int h = 0; h < 2; ++h, to += 4 * width_) {
                    _mm512_mask_storeu_epi32(to, lanes_, pairs[h]);
                }
            }
        }
    }

    /// Stored [k][columns]: two rows of 64 codes give a unit of four strips.
    void decode_four_strips(int64_t begin, int64_t count, std::byte* to, int64_t next) const {
        const __m512i order =  // so that lane q has columns 4q … 4q + 3 of each strip
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        const auto* row = static_cast<const uint8_t*>(x_.data) + k_begin_ * x_.stride + begin;
        const __mmask64 columns = first_bytes(count);
        const int64_t end = k_begin_ + (k_end_ - k_begin_ + 31) / 32 * 32;
        for (int64_t k = k_begin_; k < end; k += 2, row += 2 * x_.stride, to += 4 * width_) {
            const __m512i even = _mm512_permutexvar_epi32(
                order, _mm512_maskz_loadu_epi8(k < k_end_ ? columns : 0, row));
            const __m512i odd = _mm512_permutexvar_epi32(
                order, _mm512_maskz_loadu_epi8(k + 1 < k_end_ ? columns : 0, row + x_.stride));
            __m512i units[4];
            decoder_.decode_lanes(_mm512_unpacklo_epi8(even, odd), units[0], units[1]);
            decoder_.decode_lanes(_mm512_unpackhi_epi8(even, odd), units[2], units[3]);
#pragma GCC unroll 4
            for (int64_t j = 0; j < 4; ++j) {
                if (16 * j < count) {
                    _mm512_mask_storeu_epi32(to + j * next, lanes_, units[j]);
                }
            }
        }
    }

    const Fp8Operand& x_;
    Decoder512 decoder_;
    int64_t k_begin_;
    int64_t k_end_;
    int64_t width_;
    __mmask16 lanes_;
};

}  // namespace
}  // namespace hadal::ops::cpu

#endif

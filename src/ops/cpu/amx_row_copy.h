// Rows of an operand laid out as tiles, copied beside the arithmetic of the block before.
#pragma once

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include "ops/cpu/amx_block.h"

namespace hadal::ops::cpu {
namespace {

/// Whether 32 rows that lie `stride` bytes apart crowd one another out of a first cache of 64 sets
/// and 12 ways: with two KiB or a multiple between them a line of each falls on two sets or one.
inline bool rows_crowd(int64_t stride) {
    return stride % 2048 == 0;
}

/// Up to 32 rows [k] of bf16 to tiles [k/32][2][16][32], zeros behind the last k; some lines at
/// every step.
class RowCopy {
  public:
    RowCopy() = default;
    RowCopy(const std::byte* from, int64_t stride, int64_t rows, int64_t k, std::byte* to,
            int64_t steps)
        : from_(from), to_(to), stride_(stride), rows_(rows), lines_((k + 31) / 32) {
        const int64_t rest = k % 32 * 2;
        last_ = rest == 0 ? ~0ull : (1ull << rest) - 1;
        each_ = (rows * lines_ + steps - 1) / (steps > 0 ? steps : 1);
    }

    void copy() {
        copy(each_);
    }
    void finish() {
        copy(rows_ * lines_);
    }

  private:
    void copy(int64_t count) {
        for (; count > 0 && row_ < rows_; --count) {
            const __mmask64 bytes = line_ + 1 < lines_ ? ~0ull : last_;
            _mm512_store_si512(to_ + line_ * 2 * kTileBytes + row_ * 64,
                               _mm512_maskz_loadu_epi8(bytes, from_ + line_ * 64));
            if (++line_ < lines_) continue;
            line_ = 0;
            ++row_;
            from_ += stride_;
        }
    }

    const std::byte* from_ = nullptr;
    std::byte* to_ = nullptr;
    int64_t stride_ = 0;
    int64_t rows_ = 0;
    int64_t lines_ = 0;
    int64_t row_ = 0;
    int64_t line_ = 0;
    int64_t each_ = 0;
    __mmask64 last_ = 0;
};

}  // namespace
}  // namespace hadal::ops::cpu

#endif

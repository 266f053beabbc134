// Fetching what a matrix product will need, line by line beside its arithmetic.
#pragma once

#include "ops/cpu/matmul.h"

namespace hadal::ops::cpu {
namespace {

/// A rectangle of memory to fetch while blocks are multiplied, some lines at every step: the
/// memory's share of the time then runs beside the arithmetic.
class Ahead {
  public:
    Ahead() = default;
    /// `rows` pieces of `bytes`, spread over `steps` steps.
    Ahead(const void* data, int64_t stride, int64_t rows, int64_t bytes, int64_t steps)
        : row_(static_cast<const std::byte*>(data)), stride_(stride), rows_(rows) {
        line_end_ = (int64_t(reinterpret_cast<uintptr_t>(data)) % 64 + bytes + 63) / 64;
        each_ = (rows * line_end_ + steps - 1) / (steps > 0 ? steps : 1);
    }
    int64_t each() const {  // lines at every step
        return each_;
    }

    /// To L2 for reading, or to L1 for writing: a store would otherwise wait until memory has sent
    /// the line that it overwrites.
    template <bool for_writing = false>
    void fetch() {
        for (int64_t i = each_; i > 0 && rows_ > 0; --i) {
            __builtin_prefetch(row_ + 64 * line_, for_writing ? 1 : 0, for_writing ? 3 : 2);
            if (++line_ < line_end_) continue;
            line_ = 0;
            row_ += stride_;
            --rows_;
        }
    }

  private:
    const std::byte* row_ = nullptr;
    int64_t stride_ = 0;
    int64_t rows_ = 0;
    int64_t line_ = 0;
    int64_t line_end_ = 0;
    int64_t each_ = 0;
};

/// What x holds of [begin, begin + count) × [k, k_end).
[[maybe_unused]] Ahead ahead_of(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k,
                                int64_t k_end, int64_t steps) {
    if (x.scale != nullptr) {  // INT4
        const auto* words = static_cast<const int32_t*>(x.data);
        return {words + begin * x.stride + k / 8, x.stride * 4, count, (k_end - k) / 2, steps};
    }
    const auto* data = static_cast<const bf16*>(x.data);
    if (x.k_contiguous) {
        return {data + begin * x.stride + k, x.stride * 2, count, (k_end - k) * 2, steps};
    }
    return {data + k * x.stride + begin, x.stride * 2, k_end - k, count * 2, steps};
}

/// All that is fetched during a block.
struct Fetched {
    Ahead columns;  // what is packed next
    Ahead rows;     // where they are not packed: the next block row's
    Ahead result;   // where the next block is stored

    void fetch() {
        columns.fetch();
        rows.fetch();
        result.fetch<true>();
    }
};

}  // namespace
}  // namespace hadal::ops::cpu

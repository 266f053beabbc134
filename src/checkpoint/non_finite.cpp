#include "checkpoint/non_finite.h"

namespace hadal::checkpoint {

namespace {

/// All ones in the exponent; on the bits, because a comparison in float would convert every
/// element.
template <class Word>
int64_t count_special(const Tensor& tensor, Word exponent) {
    const auto* words = reinterpret_cast<const Word*>(tensor.data());
    int64_t count = 0;
    for (int64_t i = 0; i < tensor.count(); ++i) count += (words[i] & exponent) == exponent;
    return count;
}

}  // namespace

int64_t count_non_finite(const Tensor& tensor) {
    HADAL_ASSERT(tensor.contiguous());
    switch (tensor.dtype()) {
        case DType::f64:
            return count_special<uint64_t>(tensor, 0x7FF0'0000'0000'0000);
        case DType::f32:
            return count_special<uint32_t>(tensor, 0x7F80'0000);
        case DType::bf16:
            return count_special<uint16_t>(tensor, 0x7F80);
        case DType::f16:
            return count_special<uint16_t>(tensor, 0x7C00);
        // E4M3 spends its highest exponent on numbers: all ones below the sign is its only NaN.
        case DType::f8_e4m3:
            return count_special<uint8_t>(tensor, 0x7F);
        case DType::f8_e5m2:
            return count_special<uint8_t>(tensor, 0x7C);
        case DType::i64:
        case DType::i32:
        case DType::i16:
        case DType::i8:
        case DType::u8:
            return 0;
    }
    return 0;
}

}  // namespace hadal::checkpoint

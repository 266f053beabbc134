#include "formats/int8_group.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <type_traits>

#include "formats/bfloat16.h"

namespace hadal::formats {

namespace {

constexpr float kLeast = -128, kMost = 127;
constexpr int32_t kZero = 128;  // the byte of the value 0

/// `w / scale` as a value, −128 … 127.
int32_t value_of(float w, float scale) {
    // Adding 1.5·2²³ leaves the value, rounded to nearest even, in the low bits of the sum.
    constexpr float kShift = 0x1.8p23f;
    const float clipped = std::min(kMost, std::max(kLeast, w / scale));
    return std::bit_cast<int32_t>(clipped + kShift) - std::bit_cast<int32_t>(kShift);
}

template <class T>
void read_group(std::span<const T> row, size_t group, std::span<float> values) {
    const auto begin = row.begin() + int64_t(group) * kInt8Group;
    std::transform(begin, begin + kInt8Group, values.begin(), [](T value) {
        if constexpr (std::is_same_v<T, bf16>) {
            return to_float(value);
        } else {
            return value;
        }
    });
}

template <class T>
void quantize_row(std::span<const T> w, std::span<int32_t> packed, std::span<bf16> scale) {
    std::array<float, size_t(kInt8Group)> values;
    for (size_t group = 0; group < scale.size(); ++group) {
        read_group(w, group, values);
        scale[group] = int8_scale(values);
        encode_int8(values, scale[group],
                    packed.subspan(group * size_t(kInt8WordsPerGroup))
                        .template first<size_t(kInt8WordsPerGroup)>());
    }
}

template <class T>
void dequantize_row(std::span<const int32_t> packed, std::span<const bf16> scale, std::span<T> y) {
    for (size_t word = 0; word < packed.size(); ++word) {
        const float factor = to_float(scale[word / size_t(kInt8WordsPerGroup)]);
        const auto bits = uint32_t(packed[word]);
        for (size_t i = 0; i < size_t(kInt8PerWord); ++i) {
            const float value = float(int32_t(bits >> (8 * i) & 255) - kZero) * factor;
            if constexpr (std::is_same_v<T, bf16>) {
                y[word * size_t(kInt8PerWord) + i] = to_bf16(value);
            } else {
                y[word * size_t(kInt8PerWord) + i] = value;
            }
        }
    }
}

}  // namespace

bool fits_int8(const Shape& shape) {
    return shape.rank() == 2 && shape[1] % kInt8Group == 0;
}

Int8Matrix Int8Matrix::uninitialized(const Shape& shape) {
    HADAL_ASSERT(fits_int8(shape));
    return {.packed = Tensor::uninitialized({shape[0], shape[1] / kInt8PerWord}, DType::i32),
            .scale = Tensor::uninitialized({shape[0], shape[1] / kInt8Group}, DType::bf16)};
}

Shape Int8Matrix::shape() const {
    return {packed.shape()[0], packed.shape()[1] * kInt8PerWord};
}

Int8Matrix Int8Matrix::rows(int64_t begin, int64_t count) const {
    return {packed.rows(begin, count), scale.rows(begin, count)};
}

bf16 int8_scale(Int8Values w) {
    float amax = 0;
    for (const float value : w) {
        // A comparison would pass over NaN.
        if (!std::isfinite(value)) return to_bf16(std::abs(value));
        amax = std::max(amax, std::abs(value));
    }
    // Rounded down, by 2⁻⁹ at most, the scale makes the largest code 127.25: still 127.
    const bf16 scale = to_bf16(amax / kMost);
    return to_float(scale) == 0 ? to_bf16(1.f) : scale;  // zeros, or too small for any scale
}

void encode_int8(Int8Values w, bf16 scale, Int8Words packed) {
    const float divisor = to_float(scale);
    const bool is_finite = std::isfinite(divisor);
    for (size_t word = 0; word < packed.size(); ++word) {
        uint32_t bits = 0;
        for (size_t i = 0; i < size_t(kInt8PerWord); ++i) {
            // The value 0 is NaN under such a scale: 0·∞ is, and 0·NaN.
            const int32_t value =
                is_finite ? value_of(w[word * size_t(kInt8PerWord) + i], divisor) : 0;
            bits |= uint32_t(value + kZero) << (8 * i);
        }
        packed[word] = int32_t(bits);
    }
}

void quantize_int8(const Tensor& w, Int8Matrix& q) {
    require(q, w.shape(), "quantize_int8");
    for (int64_t row = 0; row < w.shape()[0]; ++row) {
        const std::span<int32_t> packed = q.packed.row<int32_t>(row);
        const std::span<bf16> scale = q.scale.row<bf16>(row);
        if (w.dtype() == DType::f32) {
            quantize_row<float>(w.row<float>(row), packed, scale);
        } else {
            quantize_row<bf16>(w.row<bf16>(row), packed, scale);
        }
    }
}

void dequantize_int8(const Int8Matrix& q, Tensor& y) {
    require(q, y.shape(), "dequantize_int8");
    for (int64_t row = 0; row < y.shape()[0]; ++row) {
        const std::span<const int32_t> packed = q.packed.row<int32_t>(row);
        const std::span<const bf16> scale = q.scale.row<bf16>(row);
        if (y.dtype() == DType::f32) {
            dequantize_row(packed, scale, y.row<float>(row));
        } else {
            dequantize_row(packed, scale, y.row<bf16>(row));
        }
    }
}

void require(const Int8Matrix& matrix, const Shape& shape, std::string_view what) {
    if (!fits_int8(shape)) {
        throw Error(Error::Kind::internal,
                    concat(what, ": ", shape.text(), " is not a matrix of whole groups of 32"));
    }
    hadal::require(matrix.packed, DType::i32, {shape[0], shape[1] / kInt8PerWord}, what);
    hadal::require(matrix.scale, DType::bf16, {shape[0], shape[1] / kInt8Group}, what);
}

}  // namespace hadal::formats

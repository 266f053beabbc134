#include "formats/int4_group.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "formats/bfloat16.h"

namespace hadal::formats {

namespace {

constexpr float kLeast = -8, kMost = 7;

/// `w / scale` as a code, −8 … 7.
int32_t code_of(float w, float scale) {
    // Adding 1.5·2²³ leaves the value, rounded to nearest even, in the low bits of the sum.
    constexpr float kShift = 0x1.8p23f;
    const float clipped = std::min(kMost, std::max(kLeast, w / scale));
    return std::bit_cast<int32_t>(clipped + kShift) - std::bit_cast<int32_t>(kShift);
}

double squared_error(Int4Values w, float scale) {
    double sum = 0;
    for (const float value : w) {
        const double error = double(value) - double(code_of(value, scale)) * double(scale);
        sum += error * error;
    }
    return sum;
}

double weighted_error(Int4Values w, Int4Values importance, float scale) {
    double sum = 0;
    for (size_t i = 0; i < w.size(); ++i) {
        const double error = double(w[i]) - double(code_of(w[i], scale)) * double(scale);
        sum += double(importance[i]) * error * error;
    }
    return sum;
}

/// Σ h·w·c / Σ h·c²: the scale that suits the codes c of `scale` best; `scale` if all are 0.
float best_for_codes(Int4Values w, Int4Values importance, float scale) {
    double products = 0, squares = 0;
    for (size_t i = 0; i < w.size(); ++i) {
        const double code = code_of(w[i], scale);
        products += double(importance[i]) * double(w[i]) * code;
        squares += double(importance[i]) * code * code;
    }
    return squares > 0 ? float(products / squares) : scale;
}

/// The codes to which the largest magnitude of a group may go: at 7 nothing is clipped.
constexpr std::array kLargestCodes = {7.f, 7.25f, 7.5f, 7.75f, 8.f, 8.5f, 9.f};

void read_group(const Tensor& w, int64_t row, int64_t group, std::span<float> values) {
    const auto begin = size_t(group * kInt4Group), count = size_t(kInt4Group);
    if (w.dtype() == DType::f32) {
        std::ranges::copy(w.row<float>(row).subspan(begin, count), values.begin());
    } else {
        std::ranges::transform(w.row<bf16>(row).subspan(begin, count), values.begin(),
                               [](bf16 value) { return to_float(value); });
    }
}

float rounded(float value, float*) {
    return value;
}
bf16 rounded(float value, bf16*) {
    return to_bf16(value);
}

template <class T>
void dequantize_row(std::span<const int32_t> packed, std::span<const bf16> scale, std::span<T> y) {
    for (size_t word = 0; word < packed.size(); ++word) {
        const float factor = to_float(scale[word / size_t(kInt4WordsPerGroup)]);
        const auto bits = uint32_t(packed[word]);
        for (size_t i = 0; i < size_t(kInt4PerWord); ++i) {
            const int32_t code = int32_t(bits >> (4 * i) & 15) - 8;
            y[word * size_t(kInt4PerWord) + i] =
                rounded(float(code) * factor, static_cast<T*>(nullptr));
        }
    }
}

}  // namespace

bool fits_int4(const Shape& shape) {
    return shape.rank() == 2 && shape[1] % kInt4Group == 0;
}

Int4Matrix Int4Matrix::uninitialized(const Shape& shape) {
    HADAL_ASSERT(fits_int4(shape));
    return {.packed = Tensor::uninitialized({shape[0], shape[1] / kInt4PerWord}, DType::i32),
            .scale = Tensor::uninitialized({shape[0], shape[1] / kInt4Group}, DType::bf16)};
}

Shape Int4Matrix::shape() const {
    return {packed.shape()[0], packed.shape()[1] * kInt4PerWord};
}

Int4Matrix Int4Matrix::rows(int64_t begin, int64_t count) const {
    return {packed.rows(begin, count), scale.rows(begin, count)};
}

bf16 int4_scale(Int4Values w) {
    float amax = 0;
    for (const float value : w) {
        // A comparison would pass over NaN.
        if (!std::isfinite(value)) return to_bf16(std::abs(value));
        amax = std::max(amax, std::abs(value));
    }
    bf16 best{};
    double least = -1;
    for (const float largest_code : kLargestCodes) {
        const bf16 scale = to_bf16(amax / largest_code);
        if (to_float(scale) == 0) break;  // zeros, or too small for any scale
        const double error = squared_error(w, to_float(scale));
        if (least >= 0 && error >= least) continue;
        best = scale;
        least = error;
    }
    return least < 0 ? to_bf16(1.f) : best;
}

bf16 int4_scale(Int4Values w, Int4Values importance) {
    bf16 best = int4_scale(w);
    if (!std::isfinite(to_float(best))) return best;
    double least = weighted_error(w, importance, to_float(best));
    float amax = 0;
    for (const float value : w) amax = std::max(amax, std::abs(value));
    for (const float largest_code : kLargestCodes) {
        float scale = amax / largest_code;
        for (int round = 0; round < 3; ++round) {
            const bf16 candidate = to_bf16(scale);
            if (!(to_float(candidate) > 0)) break;
            const double error = weighted_error(w, importance, to_float(candidate));
            if (error < least) {
                best = candidate;
                least = error;
            }
            scale = best_for_codes(w, importance, to_float(candidate));
        }
    }
    return best;
}

void encode_int4(Int4Values w, bf16 scale, Int4Words packed) {
    const float divisor = to_float(scale);
    const bool is_finite = std::isfinite(divisor);
    for (size_t word = 0; word < packed.size(); ++word) {
        uint32_t bits = 0;
        for (size_t i = 0; i < size_t(kInt4PerWord); ++i) {
            const int32_t code =
                is_finite ? code_of(w[word * size_t(kInt4PerWord) + i], divisor) : 0;
            bits |= uint32_t(code + 8) << (4 * i);
        }
        packed[word] = int32_t(bits);
    }
}

void quantize_int4(const Tensor& w, std::span<const float> importance, Int4Matrix& q) {
    require(q, w.shape(), "quantize_int4");
    HADAL_ASSERT(importance.empty() || int64_t(importance.size()) == w.shape()[1]);
    std::array<float, size_t(kInt4Group)> values;
    for (int64_t row = 0; row < w.shape()[0]; ++row) {
        const std::span<int32_t> packed = q.packed.row<int32_t>(row);
        const std::span<bf16> scale = q.scale.row<bf16>(row);
        for (size_t group = 0; group < scale.size(); ++group) {
            read_group(w, row, int64_t(group), values);
            scale[group] = importance.empty()
                               ? int4_scale(values)
                               : int4_scale(values, importance.subspan(group * size_t(kInt4Group))
                                                        .first<size_t(kInt4Group)>());
            encode_int4(values, scale[group],
                        packed.subspan(group * size_t(kInt4WordsPerGroup))
                            .first<size_t(kInt4WordsPerGroup)>());
        }
    }
}

void dequantize_int4(const Int4Matrix& q, Tensor& y) {
    require(q, y.shape(), "dequantize_int4");
    for (int64_t row = 0; row < y.shape()[0]; ++row) {
        if (y.dtype() == DType::f32) {
            dequantize_row(q.packed.row<int32_t>(row), q.scale.row<bf16>(row), y.row<float>(row));
        } else {
            dequantize_row(q.packed.row<int32_t>(row), q.scale.row<bf16>(row), y.row<bf16>(row));
        }
    }
}

void require(const Int4Matrix& matrix, const Shape& shape, std::string_view what) {
    if (!fits_int4(shape)) {
        throw Error(Error::Kind::internal,
                    concat(what, ": ", shape.text(), " is not a matrix of whole groups of 32"));
    }
    hadal::require(matrix.packed, DType::i32, {shape[0], shape[1] / kInt4PerWord}, what);
    hadal::require(matrix.scale, DType::bf16, {shape[0], shape[1] / kInt4Group}, what);
}

}  // namespace hadal::formats

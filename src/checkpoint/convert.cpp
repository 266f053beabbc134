#include "checkpoint/convert.h"

#include "formats/bfloat16.h"

namespace hadal::checkpoint {

namespace {

template <class To, class From>
To round_to(From value) {
    float single = 0;
    if constexpr (std::is_same_v<From, double>) {
        if constexpr (std::is_same_v<To, double>) return value;
        single = float(value);
    } else if constexpr (std::is_same_v<From, float>) {
        single = value;
    } else {
        single = to_float(value);
    }
    if constexpr (std::is_same_v<To, bf16>) {
        return to_bf16(single);
    } else if constexpr (std::is_same_v<To, f16>) {
        return to_f16(single);
    } else {
        return To(single);
    }
}

template <class From, class To>
void copy_rows(const Tensor& x, Tensor& y) {
    const int64_t rows = x.shape().rank() == 0 ? 1 : x.shape()[0];
    for (int64_t i = 0; i < rows; ++i) {
        const auto from = x.row<From>(i);
        const auto to = y.row<To>(i);
        for (size_t j = 0; j < from.size(); ++j) to[j] = round_to<To>(from[j]);
    }
}

template <class From>
bool copy_from(const Tensor& x, Tensor& y) {
    switch (y.dtype()) {
        case DType::f64:
            copy_rows<From, double>(x, y);
            return true;
        case DType::f32:
            copy_rows<From, float>(x, y);
            return true;
        case DType::bf16:
            copy_rows<From, bf16>(x, y);
            return true;
        case DType::f16:
            copy_rows<From, f16>(x, y);
            return true;
        default:
            return false;
    }
}

bool copy_converted(const Tensor& x, Tensor& y) {
    switch (x.dtype()) {
        case DType::f64:
            return copy_from<double>(x, y);
        case DType::f32:
            return copy_from<float>(x, y);
        case DType::bf16:
            return copy_from<bf16>(x, y);
        case DType::f16:
            return copy_from<f16>(x, y);
        default:
            return false;
    }
}

}  // namespace

Tensor converted(const Tensor& tensor, DType dtype) {
    if (tensor.dtype() == dtype) return tensor;
    Tensor result = Tensor::uninitialized(tensor.shape(), dtype);
    if (!copy_converted(tensor, result)) {
        throw Error(Error::Kind::unsupported, concat("a tensor of type ", name(tensor.dtype()),
                                                     " cannot be read as ", name(dtype)));
    }
    return result;
}

}  // namespace hadal::checkpoint

#include "ops/convert.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "formats/bfloat16.h"
#include "ops/cpu/convert.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

/// x in float32, rounded to odd: a later rounding to fewer bits gives what one rounding of x would
/// have (Boldo and Melquiond 2008).
float round_to_odd(double x) {
    const auto nearest = float(x);
    if (double(nearest) == x || std::isnan(x)) return nearest;
    uint32_t bits = std::bit_cast<uint32_t>(nearest);
    if (std::abs(double(nearest)) > std::abs(x)) --bits;  // towards zero
    return std::bit_cast<float>(bits | 1u);
}

double as_double(double x) {
    return x;
}
double as_double(float x) {
    return double(x);
}
double as_double(bf16 x) {
    return double(to_float(x));
}
double as_double(f16 x) {
    return double(to_float(x));
}

template <class To>
To rounded(double x) {
    if constexpr (std::is_same_v<To, bf16>) {
        return to_bf16(round_to_odd(x));
    } else if constexpr (std::is_same_v<To, f16>) {
        return to_f16(round_to_odd(x));
    } else {
        return To(x);
    }
}

template <Isa isa, class From, class To>
void convert_row(const From* x, To* y, int64_t n) {
    if constexpr (std::is_same_v<From, To>) {
        std::memcpy(y, x, size_t(n) * sizeof(From));
    } else if constexpr (std::is_same_v<From, bf16> && std::is_same_v<To, float>) {
        cpu::widen<isa>(x, y, n);
    } else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, bf16>) {
        cpu::narrow<isa>(x, y, n);
    } else {
        for (int64_t i = 0; i < n; ++i) y[i] = rounded<To>(as_double(x[i]));
    }
}

template <class F>
void with_any_float_type(DType dtype, const F& f) {
    if (dtype == DType::f16) return f.template operator()<f16>();
    with_float_type(dtype, "convert", f);
}

}  // namespace

void convert(Context& context, const Tensor& x, Tensor& y) {
    require(y, y.dtype(), x.shape(), "convert: y");
    if (x.count() == 0) return;
    constexpr int64_t kRun = 16384;  // a contiguous tensor is cut without regard to its rows
    const bool flat = x.contiguous() && y.contiguous();
    const int64_t row = flat ? kRun : x.count() / x.shape()[0];
    const int64_t rows = flat ? (x.count() + kRun - 1) / kRun : x.shape()[0];
    with_any_float_type(x.dtype(), [&]<class From>() {
        with_any_float_type(y.dtype(), [&]<class To>() {
            cpu::with_isa(context.isa, [&]<Isa isa>() {
                context.threads.parallel_for(rows, rows_per_task(row), [&](int64_t i) {
                    const int64_t x_step = flat ? row : x.row_stride();
                    const int64_t y_step = flat ? row : y.row_stride();
                    const int64_t n = flat ? std::min(row, x.count() - i * row) : row;
                    convert_row<isa, From, To>(x.data_as<From>() + i * x_step,
                                               y.data_as<To>() + i * y_step, n);
                });
            });
        });
    });
}

void copy(Context& context, const Tensor& x, Tensor& y) {
    require(y, x.dtype(), x.shape(), "copy: y");
    convert(context, x, y);
}

}  // namespace hadal::ops

// What the operators' tests share: tensors of random values, element access as double, contexts for
// every instruction set and thread count, comparison of bits, central differences.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/random.h"
#include "core/tensor.h"
#include "formats/bfloat16.h"

namespace hadal::test {

/// Element i of a tensor's row-major order, whatever its type and the distance of its rows.
inline double value_at(const Tensor& x, int64_t i) {
    const int64_t row = x.shape().rank() == 0 || x.shape()[0] == 0 ? 1 : x.count() / x.shape()[0];
    const int64_t at = i / row * x.row_stride() + i % row;
    switch (x.dtype()) {
        case DType::f64:
            return x.data_as<double>()[at];
        case DType::f32:
            return double(x.data_as<float>()[at]);
        case DType::bf16:
            return double(to_float(x.data_as<bf16>()[at]));
        case DType::f16:
            return double(to_float(x.data_as<f16>()[at]));
        case DType::i32:
            return double(x.data_as<int32_t>()[at]);
        default:
            FAIL("value_at: no such type here");
    }
    return 0;
}

/// Rounds to the tensor's type (through float32 for the narrow ones).
inline void set_at(Tensor& x, int64_t i, double value) {
    const int64_t row = x.shape().rank() == 0 || x.shape()[0] == 0 ? 1 : x.count() / x.shape()[0];
    const int64_t at = i / row * x.row_stride() + i % row;
    switch (x.dtype()) {
        case DType::f64:
            x.data_as<double>()[at] = value;
            return;
        case DType::f32:
            x.data_as<float>()[at] = float(value);
            return;
        case DType::bf16:
            x.data_as<bf16>()[at] = to_bf16(float(value));
            return;
        case DType::f16:
            x.data_as<f16>()[at] = to_f16(float(value));
            return;
        case DType::i32:
            x.data_as<int32_t>()[at] = int32_t(value);
            return;
        default:
            FAIL("set_at: no such type here");
    }
}

inline Tensor filled(Shape shape, DType dtype, const std::function<double(int64_t)>& value) {
    Tensor x = Tensor::uninitialized(shape, dtype);
    for (int64_t i = 0; i < x.count(); ++i) set_at(x, i, value(i));
    return x;
}

/// Standard normal values times `scale`.
inline Tensor random_tensor(Shape shape, DType dtype, uint64_t seed, double scale = 1) {
    return filled(shape, dtype,
                  [&](int64_t i) { return scale * random_normal(seed, 0, uint64_t(i)); });
}

/// Integers in [0, bound).
inline Tensor random_ids(Shape shape, int64_t bound, uint64_t seed) {
    return filled(shape, DType::i32, [&](int64_t i) {
        return double(random_bits(seed, 1, uint64_t(i)) % uint64_t(bound));
    });
}

/// The same values in rows that lie `spare` elements apart, with NaN between them, which no
/// operator may touch.
inline Tensor with_gaps(const Tensor& x, int64_t spare = 3) {
    const auto [rows, columns] = x.shape<2>();
    Tensor whole = filled({rows, columns + spare}, x.dtype(), [](int64_t) { return std::nan(""); });
    Tensor view = whole.columns(0, columns);
    for (int64_t i = 0; i < x.count(); ++i) set_at(view, i, value_at(x, i));
    return view;
}

/// The same values in another type.
inline Tensor as(const Tensor& x, DType dtype) {
    return filled(x.shape(), dtype, [&](int64_t i) { return value_at(x, i); });
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
    if (a.dtype() != b.dtype() || !(a.shape() == b.shape())) return false;
    const Tensor x = a.clone();
    const Tensor y = b.clone();
    return x.count() == 0 || std::memcmp(x.data(), y.data(), size_t(x.bytes())) == 0;
}

/// Relative error of one rounding to this type: half the distance of neighbours.
inline double unit_roundoff(DType dtype) {
    switch (dtype) {
        case DType::f64:
            return 0x1p-53;
        case DType::f32:
            return 0x1p-24;
        case DType::bf16:
            return 0x1p-8;
        case DType::f16:
            return 0x1p-11;
        default:
            return 0;
    }
}

/// Checks |x − expected| ≤ bound for every element; the first that fails is named, the rest are
/// spared.
inline void check_close(const Tensor& x, const std::function<double(int64_t)>& expected,
                        const std::function<double(int64_t)>& bound) {
    for (int64_t i = 0; i < x.count(); ++i) {
        const double difference = std::abs(value_at(x, i) - expected(i));
        if (difference <= bound(i)) continue;
        CAPTURE(i);
        CAPTURE(value_at(x, i));
        CAPTURE(expected(i));
        CHECK(difference <= bound(i));
        return;
    }
}

/// A context with memory of its own.
class OwnContext {
  public:
    explicit OwnContext(Isa isa = best_isa(), int threads = 1)
        : threads_(threads), context_{threads_, workspace_, isa} {}

    operator Context&() {
        return context_;
    }

  private:
    ThreadPool threads_;
    Workspace workspace_;
    Context context_;
};

/// body(context) for every instruction set of this machine, on `threads` threads.
inline void for_each_isa(const std::function<void(Context&)>& body, int threads = 2) {
    for (const Isa isa : available_isas()) {
        CAPTURE(std::string(name(isa)));
        OwnContext context(isa, threads);
        body(context);
    }
}

/// Checks that the tensors that `result(context)` returns have the same bits on 1, 2 and 4 threads,
/// for every instruction set.
inline void check_thread_independence(const std::function<std::vector<Tensor>(Context&)>& result) {
    for (const Isa isa : available_isas()) {
        CAPTURE(std::string(name(isa)));
        OwnContext one(isa, 1);
        const std::vector<Tensor> expected = result(one);
        for (const int threads : {2, 4}) {
            CAPTURE(threads);
            OwnContext context(isa, threads);
            const std::vector<Tensor> tensors = result(context);
            REQUIRE(tensors.size() == expected.size());
            for (size_t i = 0; i < tensors.size(); ++i) {
                CAPTURE(i);
                CHECK(same_bits(tensors[i], expected[i]));
            }
        }
    }
}

/// Σ x·y over all elements, in double.
inline double dot(const Tensor& x, const Tensor& y) {
    double sum = 0;
    for (int64_t i = 0; i < x.count(); ++i) sum += value_at(x, i) * value_at(y, i);
    return sum;
}

/// Checks `gradient` against (f(x + h) − f(x − h)) / 2h of `f` as x's elements are moved in place,
/// in float64. h = 10⁻⁵: truncation h²·f‴/6 and rounding 10⁻¹⁶·f/h are both near 10⁻¹¹ for values
/// near 1.
inline void check_gradient(Tensor& x, const Tensor& gradient, const std::function<double()>& f,
                           double tolerance = 1e-8) {
    constexpr double kStep = 1e-5;
    REQUIRE(x.dtype() == DType::f64);
    for (int64_t i = 0; i < x.count(); ++i) {
        const double kept = value_at(x, i);
        set_at(x, i, kept + kStep);
        const double above = f();
        set_at(x, i, kept - kStep);
        const double below = f();
        set_at(x, i, kept);
        const double numeric = (above - below) / (2 * kStep);
        CAPTURE(i);
        CHECK(std::abs(value_at(gradient, i) - numeric) <=
              tolerance * std::max(1.0, std::abs(numeric)));
    }
}

}  // namespace hadal::test

#include "ops/fp8_accumulation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "formats/float8.h"

namespace hadal::ops {

namespace {

/// 2^e of |x| in [2^e, 2^(e+1)), a normal number; 0 for 0.
double power_below(double x) {
    return std::bit_cast<double>(std::bit_cast<uint64_t>(x) & 0x7FF0'0000'0000'0000u);
}

/// x with `bits` bits below and at `power`; the rest is cut off, towards minus infinity: what a
/// shift to the right with sign fill does.
double cut(double x, double power, int bits) {
    if (power == 0) return 0;
    const double unit = std::ldexp(power, 1 - bits);
    return std::floor(x / unit) * unit;
}

/// The register after `count` more products.
double accumulate(const float* a, const float* b, int64_t count, int bits, double sum) {
    double largest = 0;
    for (int64_t i = 0; i < count; ++i) {
        largest = std::max(largest, std::abs(double(a[i]) * double(b[i])));
    }
    const double power = power_below(largest);
    if (power == 0) return sum;
    const double unit = std::ldexp(power, 1 - bits), per_unit = 1 / unit;
    double added = 0;
    for (int64_t i = 0; i < count; ++i) {
        added += std::floor(double(a[i]) * double(b[i]) * per_unit);
    }
    sum += added * unit;
    return cut(sum, power_below(sum), bits);
}

double accumulate_row(const std::vector<float>& a, const std::vector<float>& b,
                      const Accumulation& how) {
    const auto k = int64_t(a.size());
    double total = 0, sum = 0;
    for (int64_t i = 0; i < k; i += how.products) {
        const int64_t count = std::min(how.products, k - i);
        sum = accumulate(a.data() + i, b.data() + i, count, how.bits, sum);
        if (how.promotion != 0 && (i + count) % how.promotion == 0) {
            total = double(float(total + sum));
            sum = 0;
        }
    }
    return total + sum;
}

std::vector<float> values_of(const Tensor& codes, int64_t row) {
    std::vector<float> values;
    for (const f8_e4m3 code : codes.row<f8_e4m3>(row)) values.push_back(to_float(code));
    return values;
}

/// c[i, j] = f(row i of a, row j of b)
template <class F>
void for_each_pair(Context& context, const Tensor& a, const Tensor& b, Tensor& c, const F& f) {
    require(a, DType::f8_e4m3, {-1, -1}, "accumulation: a");
    require(b, DType::f8_e4m3, {-1, a.shape()[1]}, "accumulation: b");
    require(c, DType::f64, {a.shape()[0], b.shape()[0]}, "accumulation: c");
    std::vector<std::vector<float>> columns;
    for (int64_t j = 0; j < b.shape()[0]; ++j) columns.push_back(values_of(b, j));
    context.threads.parallel_for(a.shape()[0], [&](int64_t i) {
        const std::vector<float> row = values_of(a, i);
        for (size_t j = 0; j < columns.size(); ++j) c.row<double>(i)[j] = f(row, columns[j]);
    });
}

}  // namespace

void matmul_nt_accumulated(Context& context, const Tensor& a, const Tensor& b,
                           const Accumulation& accumulation, Tensor& c) {
    if (accumulation.products < 1 || accumulation.bits < 2 || accumulation.promotion < 0 ||
        accumulation.promotion % accumulation.products != 0) {
        throw Error(Error::Kind::internal,
                    concat("accumulation: ", accumulation.products, " products of ",
                           accumulation.bits, " bits, promotion every ", accumulation.promotion,
                           ": promotion must be a multiple of the products"));
    }
    for_each_pair(context, a, b, c,
                  [&](const auto& x, const auto& y) { return accumulate_row(x, y, accumulation); });
}

void matmul_nt_exact(Context& context, const Tensor& a, const Tensor& b, Tensor& c) {
    // Products have at most 8 bits and 36 binary places: float64 drops none below k = 2^16.
    for_each_pair(context, a, b, c, [](const auto& x, const auto& y) {
        double sum = 0;
        for (size_t i = 0; i < x.size(); ++i) sum += double(x[i]) * double(y[i]);
        return sum;
    });
}

}  // namespace hadal::ops

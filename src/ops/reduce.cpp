#include "ops/reduce.h"

#include <atomic>

#include "formats/bfloat16.h"
#include "ops/cpu/reduce.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

/// Elements that are summed in one go. A constant: the order of the sum must not know the threads.
constexpr int64_t kBlock = 65536;

void require_contiguous(const Tensor& x, std::string_view operation) {
    if (!x.contiguous()) {
        throw Error(Error::Kind::internal, concat(operation, ": x has gaps between rows"));
    }
}

bool all_finite_f16(const Tensor& x) {
    constexpr uint16_t kExponent = 0x7C00;
    for (const f16 value : x.values<f16>()) {
        if ((value.bits & kExponent) == kExponent) return false;
    }
    return true;
}

}  // namespace

double sum_of_squares(Context& context, const Tensor& x) {
    require_contiguous(x, "sum_of_squares");
    const int64_t count = x.count();
    const int64_t blocks = (count + kBlock - 1) / kBlock;
    const Workspace::Scope scope(context.workspace);
    const std::span<double> sums = context.workspace.take<double>(blocks);
    for_rows(context, "sum_of_squares", x.dtype(), {blocks, kBlock},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 for (int64_t b = begin; b < end; ++b) {
                     sums[size_t(b)] = cpu::sum_of_squares<isa, T>(
                         x.data_as<T>() + b * kBlock, std::min(kBlock, x.count() - b * kBlock));
                 }
             });
    double sum = 0;
    for (const double block : sums) sum += block;
    return sum;
}

bool all_finite(Context& context, const Tensor& x) {
    require_contiguous(x, "all_finite");
    if (x.empty()) return true;
    if (x.dtype() == DType::f16) return all_finite_f16(x);
    std::atomic<bool> finite = true;
    for_rows(context, "all_finite", x.dtype(), {x.count(), 1},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 if (!cpu::all_finite<isa, T>(x.data_as<T>() + begin, end - begin)) {
                     finite.store(false, std::memory_order_relaxed);
                 }
             });
    return finite;
}

void add(Context& context, const Tensor& x, Tensor& y) {
    require(y, x.dtype(), x.shape(), "add: y");
    if (x.empty()) return;
    const bool flat = x.contiguous() && y.contiguous();
    const int64_t rows = flat ? x.count() : x.shape()[0];
    const int64_t elements = flat ? 1 : x.count() / std::max<int64_t>(1, rows);
    for_rows(context, "add", x.dtype(), {rows, elements},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 if (flat) {
                     cpu::add_to<isa, T>(x.data_as<T>() + begin, y.data_as<T>() + begin,
                                         end - begin);
                     return;
                 }
                 for (int64_t t = begin; t < end; ++t) {
                     cpu::add_to<isa, T>(x.data_as<T>() + t * x.row_stride(),
                                         y.data_as<T>() + t * y.row_stride(), elements);
                 }
             });
}

}  // namespace hadal::ops

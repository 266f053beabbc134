// What the elementwise operators share: picking the kernel for a type and an instruction set, and
// cutting rows into tasks. The cut never shows in a result: a row, or an element, is computed whole
// by one task.
#pragma once

#include <algorithm>
#include <string_view>

#include "core/context.h"
#include "core/tensor.h"
#include "ops/cpu/dispatch.h"
#include "ops/cpu/statistic.h"

namespace hadal::ops {

/// Calls f.template operator()<T>() with the element type; Error(internal) naming the operator for
/// any other type.
template <class F>
void with_float_type(DType dtype, std::string_view operation, const F& f) {
    switch (dtype) {
        case DType::bf16:
            return f.template operator()<bf16>();
        case DType::f32:
            return f.template operator()<float>();
        case DType::f64:
            return f.template operator()<double>();
        default:
            throw Error(Error::Kind::internal, concat(operation, ": no kernel for ", name(dtype),
                                                      ", only bf16, f32, f64"));
    }
}

/// The type of sums and statistics over elements of this type.
inline DType statistic_type(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

/// Some ten microseconds of work: long against a fork, short against the wait for the last task.
inline int64_t rows_per_task(int64_t row_elements) {
    constexpr int64_t kTaskElements = 16384;
    return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, row_elements));
}

/// f.template operator()<isa, T>(begin, end) over ranges of [0, rows), in parallel.
template <class F>
void for_rows(Context& context, std::string_view operation, DType dtype, Shape rows_by_elements,
              const F& f) {
    const int64_t rows = rows_by_elements[0];
    const int64_t grain = rows_per_task(rows_by_elements[1]);
    with_float_type(dtype, operation, [&]<class T>() {
        cpu::with_isa(context.isa, [&]<Isa isa>() {
            context.threads.parallel_ranges(rows, grain, [&](int64_t begin, int64_t end, int) {
                f.template operator()<isa, T>(begin, end);
            });
        });
    });
}

}  // namespace hadal::ops

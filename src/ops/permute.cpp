#include "ops/permute.h"

#include <cstring>

#include "ops/cpu/permute.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

void require_values(const Tensor& values, const Tensor& row_source, const Tensor& rows) {
    const auto [tokens, top_k] = values.shape<2>();
    const int64_t count = tokens * top_k;
    if (values.dtype() != DType::f64) {
        require(values, DType::f32, {tokens, top_k}, "permute: values");
    }
    require(row_source, DType::i32, {count}, "permute: row_source");
    require(rows, values.dtype(), {count}, "permute: y");
}

template <class T>
void gather(const Tensor& values, const Tensor& row_source, Tensor& y) {
    const auto source = row_source.values<int32_t>();
    for (size_t r = 0; r < source.size(); ++r) {
        y.values<T>()[r] = values.values<T>()[size_t(source[r])];
    }
}

template <class T>
void scatter(const Tensor& y, const Tensor& row_source, Tensor& values) {
    const auto source = row_source.values<int32_t>();
    for (size_t r = 0; r < source.size(); ++r) {
        values.values<T>()[size_t(source[r])] = y.values<T>()[r];
    }
}

}  // namespace

// A counting sort on one thread: some 10⁵ integers for the largest batch, beside 10⁹ products of
// the experts.
void expert_order(Context&, const Tensor& ids, std::span<int64_t> offsets, Tensor& row_source,
                  Tensor& slot_row) {
    const auto [tokens, top_k] = ids.shape<2>();
    require(ids, DType::i32, {tokens, top_k}, "expert_order: ids");
    require(row_source, DType::i32, {tokens * top_k}, "expert_order: row_source");
    require(slot_row, DType::i32, {tokens, top_k}, "expert_order: slot_row");
    HADAL_ASSERT(!offsets.empty());
    const auto experts = int64_t(offsets.size()) - 1;
    const auto id = ids.values<int32_t>();
    std::fill(offsets.begin(), offsets.end(), 0);
    for (const int32_t e : id) {
        if (e < 0 || e >= experts) {
            throw Error(Error::Kind::bad_input,
                        concat("expert id ", e, " is outside the ", experts, " routed experts"));
        }
        ++offsets[size_t(e) + 1];
    }
    for (size_t e = 1; e < offsets.size(); ++e) offsets[e] += offsets[e - 1];
    // offsets[e] runs from the expert's begin to its end, which is the next one's begin: shifted
    // back afterwards.
    for (size_t i = 0; i < id.size(); ++i) {
        const int64_t row = offsets[size_t(id[i])]++;
        row_source.values<int32_t>()[size_t(row)] = int32_t(i);
        slot_row.values<int32_t>()[i] = int32_t(row);
    }
    for (size_t e = offsets.size() - 1; e > 0; --e) offsets[e] = offsets[e - 1];
    offsets[0] = 0;
}

void gather_rows(Context& context, const Tensor& x, const Tensor& row_source, int64_t top_k,
                 Tensor& y) {
    const auto [tokens, hidden] = x.shape<2>();
    const auto [rows] = row_source.shape<1>();
    require(row_source, DType::i32, {rows}, "gather_rows: row_source");
    require(y, x.dtype(), {rows, hidden}, "gather_rows: y");
    const int64_t width = size_of(x.dtype());
    const int64_t row_bytes = hidden * width;
    context.threads.parallel_for(rows, rows_per_task(hidden), [&](int64_t r) {
        const int64_t token = row_source.data_as<int32_t>()[r] / top_k;
        std::memcpy(y.data() + r * y.row_stride() * width,
                    x.data() + token * x.row_stride() * width, size_t(row_bytes));
    });
}

void gather_values(Context&, const Tensor& values, const Tensor& row_source, Tensor& y) {
    require_values(values, row_source, y);
    if (values.dtype() == DType::f64) return gather<double>(values, row_source, y);
    gather<float>(values, row_source, y);
}

void scatter_values(Context&, const Tensor& y, const Tensor& row_source, Tensor& values) {
    require_values(values, row_source, y);
    if (values.dtype() == DType::f64) return scatter<double>(y, row_source, values);
    scatter<float>(y, row_source, values);
}

void combine_rows(Context& context, const Tensor& rows, const Tensor& slot_row, bool add,
                  Tensor& y) {
    const auto [tokens, hidden] = y.shape<2>();
    require(slot_row, DType::i32, {tokens, -1}, "combine_rows: slot_row");
    const int64_t top_k = slot_row.shape()[1];
    require(rows, y.dtype(), {tokens * top_k, hidden}, "combine_rows: rows");
    for_rows(context, "combine_rows", y.dtype(), {tokens, hidden * (top_k + 1)},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 const cpu::CombineRows<T> a{.rows = rows.data_as<T>(),
                                             .rows_stride = rows.row_stride(),
                                             .slot_row = slot_row.data_as<int32_t>(),
                                             .top_k = slot_row.shape()[1],
                                             .add = add,
                                             .y = y.data_as<T>(),
                                             .y_stride = y.row_stride(),
                                             .hidden = y.shape()[1]};
                 cpu::combine_rows<isa, T>(a, begin, end);
             });
}

}  // namespace hadal::ops

#include "ops/embedding.h"

#include <cstring>

#include "ops/cpu/embedding.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

void require_ids(const Tensor& ids, int64_t vocab) {
    for (const int32_t id : ids.values<int32_t>()) {
        if (id < 0 || id >= vocab) {
            throw Error(Error::Kind::bad_input,
                        concat("token id ", id, " is outside the vocabulary of ", vocab,
                               " (does the tokenizer belong to this model?)"));
        }
    }
}

}  // namespace

void embedding(Context& context, const Tensor& ids, const Tensor& table, Tensor& y) {
    const auto [vocab, hidden] = table.shape<2>();
    const auto [tokens] = ids.shape<1>();
    require(ids, DType::i32, {tokens}, "embedding: ids");
    require(y, table.dtype(), {tokens, hidden}, "embedding: y");
    require_ids(ids, vocab);
    const int64_t width = size_of(table.dtype());
    const int64_t row_bytes = hidden * width;
    context.threads.parallel_for(tokens, rows_per_task(hidden), [&](int64_t t) {
        const int64_t id = ids.data_as<int32_t>()[t];
        std::memcpy(y.data() + t * y.row_stride() * width,
                    table.data() + id * table.row_stride() * width, size_t(row_bytes));
    });
}

// Each task owns some columns and walks all tokens: no two tasks write one element, the order of
// the sum is the tokens' own, and a token that makes up half the batch (padding) leaves no thread
// idle.
void embedding_backward(Context& context, const Tensor& ids, const Tensor& dy, Tensor& d_table) {
    constexpr int64_t kColumns = 256;  // long runs for the prefetcher, enough tasks for the threads
    const auto [tokens, hidden] = dy.shape<2>();
    require(ids, DType::i32, {tokens}, "embedding: ids");
    require(d_table, statistic_type(dy.dtype()), {-1, hidden}, "embedding: d_table");
    require_ids(ids, d_table.shape()[0]);
    const int64_t blocks = (hidden + kColumns - 1) / kColumns;
    for_rows(context, "embedding", dy.dtype(), {blocks, tokens * kColumns},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 const cpu::EmbeddingGradient<T> a{.ids = ids.data_as<int32_t>(),
                                                   .tokens = dy.shape()[0],
                                                   .dy = dy.data_as<T>(),
                                                   .dy_stride = dy.row_stride(),
                                                   .d_table = d_table.data_as<cpu::Statistic<T>>(),
                                                   .d_table_stride = d_table.row_stride()};
                 cpu::embedding_backward_columns<isa, T>(a, begin * kColumns,
                                                         std::min(dy.shape()[1], end * kColumns));
             });
}

}  // namespace hadal::ops

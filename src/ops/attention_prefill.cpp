#include "ops/attention_prefill.h"

#include <algorithm>
#include <cstddef>

#include "ops/cpu/attention_prefill.h"
#include "ops/cpu/dispatch.h"
#include "ops/cpu/statistic.h"

namespace hadal::ops {

namespace {

void check_starts(std::span<const int64_t> starts, int64_t tokens) {
    bool good = !starts.empty() && starts.front() == 0 && starts.back() == tokens;
    for (size_t s = 1; s < starts.size(); ++s) good = good && starts[s - 1] <= starts[s];
    if (!good) {
        throw Error(Error::Kind::internal,
                    concat("starts must rise from 0 to the number of tokens, ", tokens));
    }
}

void check_inputs(const Tensor& q, const Tensor& kv, const Tensor& k_pe,
                  const AttentionShape& shape) {
    const int64_t tokens = kv.shape()[0];
    const int64_t nope = shape.qk_nope_head_dim, rope = shape.qk_rope_head_dim;
    require(q, q.dtype(), {-1, shape.heads * (nope + rope)}, "q");
    require(kv, q.dtype(), {tokens, shape.heads * (nope + shape.v_head_dim)}, "kv");
    require(k_pe, q.dtype(), {tokens, rope}, "k_pe");
}

DType statistics_of(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

/// Calls f.template operator()<T>() for the element type; anything but bf16, f32 and f64 is our own
/// mistake.
template <class F>
void with_type(DType dtype, const F& f) {
    switch (dtype) {
        case DType::bf16:
            return f.template operator()<bf16>();
        case DType::f32:
            return f.template operator()<float>();
        case DType::f64:
            return f.template operator()<double>();
        default:
            throw Error(Error::Kind::internal, concat("attention of ", name(dtype)));
    }
}

cpu::PrefillSizes sizes_of(const AttentionShape& shape) {
    return {.heads = shape.heads,
            .nope = shape.qk_nope_head_dim,
            .rope = shape.qk_rope_head_dim,
            .v = shape.v_head_dim,
            .scale = shape.scale};
}

template <class T>
cpu::Rows<const T> rows_of(const Tensor& tensor) {
    return {tensor.data_as<T>(), tensor.row_stride()};
}

template <class T>
cpu::Rows<T> writable_rows(Tensor& tensor) {
    return {tensor.data_as<T>(), tensor.row_stride()};
}

/// Sections of all sequences, those that see most keys first, so that no thread starts a long one
/// last.
std::span<cpu::PrefillItem> sections_of(Workspace& workspace, std::span<const int64_t> starts) {
    constexpr int64_t kSection = cpu::kQuerySection;
    int64_t count = 0, longest = 0;
    for (size_t s = 1; s < starts.size(); ++s) {
        const int64_t length = starts[s] - starts[s - 1];
        count += (length + kSection - 1) / kSection;
        longest = std::max(longest, length);
    }
    const auto sections = workspace.take<cpu::PrefillItem>(count);
    size_t next = 0;
    for (int64_t offset = (longest - 1) / kSection * kSection; offset >= 0; offset -= kSection) {
        for (size_t s = 1; s < starts.size(); ++s) {
            const int64_t begin = starts[s - 1] + offset;
            if (begin >= starts[s]) continue;
            sections[next++] = {.head = 0,
                                .start = starts[s - 1],
                                .begin = begin,
                                .end = std::min(begin + kSection, starts[s])};
        }
    }
    return sections;
}

/// Sections of a sequence's last `queries` tokens, the last first.
std::span<cpu::PrefillItem> sections_of(Workspace& workspace, int64_t tokens, int64_t queries) {
    constexpr int64_t kSection = cpu::kQuerySection;
    const auto sections = workspace.take<cpu::PrefillItem>((queries + kSection - 1) / kSection);
    const int64_t without = tokens - queries;
    for (size_t i = 0; i < sections.size(); ++i) {
        const int64_t begin = without + int64_t(sections.size() - 1 - i) * kSection;
        sections[i] = {.head = 0,
                       .start = 0,
                       .begin = begin,
                       .end = std::min(begin + kSection, tokens),
                       .without_query = without};
    }
    return sections;
}

template <Isa isa, class T, class S>
void run_forward(Context& context, const cpu::PrefillForward<T, S>& forward,
                 std::span<const cpu::PrefillItem> sections) {
    const int64_t bytes = cpu::attention_prefill_scratch<isa, T, S>(forward.sizes);
    const auto scratch = context.workspace.take<std::byte>(bytes * context.threads.size());
    const int64_t heads = forward.sizes.heads;
    context.threads.parallel_ranges(
        int64_t(sections.size()) * heads, 1, [&](int64_t begin, int64_t end, int thread) {
            for (int64_t i = begin; i < end; ++i) {
                cpu::PrefillItem item = sections[size_t(i / heads)];
                item.head = i % heads;
                cpu::attention_prefill_item<isa>(forward, item, scratch.data() + thread * bytes);
            }
        });
}

/// Sequences that are not empty, the longest first.
std::span<cpu::PrefillItem> sequences_of(Workspace& workspace, std::span<const int64_t> starts) {
    const auto all = workspace.take<cpu::PrefillItem>(int64_t(starts.size()));
    size_t count = 0;
    for (size_t s = 1; s < starts.size(); ++s) {
        if (starts[s - 1] == starts[s]) continue;
        all[count++] = {
            .head = 0, .start = starts[s - 1], .begin = starts[s - 1], .end = starts[s]};
    }
    const auto sequences = all.first(count);
    std::sort(sequences.begin(), sequences.end(), [](const auto& a, const auto& b) {
        return a.end - a.start != b.end - b.start ? a.end - a.start > b.end - b.start
                                                  : a.start < b.start;
    });
    return sequences;
}

template <Isa isa, class T, class S>
void run_backward(Context& context, const cpu::PrefillBackward<T, S>& backward,
                  std::span<const int64_t> starts, cpu::Rows<T> d_k_pe) {
    const Workspace::Scope scope(context.workspace);
    const auto sequences = sequences_of(context.workspace, starts);
    if (sequences.empty()) return;
    const cpu::PrefillSizes& sizes = backward.forward.sizes;
    const int64_t bytes = cpu::attention_prefill_backward_scratch<isa, T, S>(
        sizes, sequences[0].end - sequences[0].start);
    const auto scratch = context.workspace.take<std::byte>(bytes * context.threads.size());
    context.threads.parallel_ranges(
        int64_t(sequences.size()) * sizes.heads, 1, [&](int64_t begin, int64_t end, int thread) {
            for (int64_t i = begin; i < end; ++i) {
                const cpu::PrefillItem& sequence = sequences[size_t(i / sizes.heads)];
                cpu::attention_prefill_backward_item<isa>(backward, i % sizes.heads, sequence.start,
                                                          sequence.end,
                                                          scratch.data() + thread * bytes);
            }
        });
    context.threads.parallel_for(backward.tokens, 64, [&](int64_t token) {
        cpu::attention_prefill_sum_heads<isa>(backward, token, d_k_pe);
    });
}

}  // namespace

void attention_prefill(Context& context, const AttentionInputs& inputs,
                       std::span<const int64_t> starts, const AttentionShape& shape,
                       AttentionOutputs outputs) {
    const auto& [q, kv, k_pe] = inputs;
    const auto& [o, lse] = outputs;
    check_inputs(q, kv, k_pe, shape);
    const int64_t tokens = kv.shape()[0];
    check_starts(starts, tokens);
    require(q, q.dtype(), {tokens, q.shape()[1]}, "q");
    require(o, q.dtype(), {tokens, shape.heads * shape.v_head_dim}, "o");
    require(lse, statistics_of(q.dtype()), {tokens, shape.heads}, "lse");
    if (tokens == 0) return;
    const Workspace::Scope scope(context.workspace);
    const auto sections = sections_of(context.workspace, starts);
    with_type(q.dtype(), [&]<class T>() {
        using S = cpu::Statistic<T>;
        const cpu::PrefillForward<T, S> forward = {.sizes = sizes_of(shape),
                                                   .q = rows_of<T>(q),
                                                   .kv = rows_of<T>(kv),
                                                   .k_pe = rows_of<T>(k_pe),
                                                   .o = writable_rows<T>(o),
                                                   .lse = writable_rows<S>(lse)};
        cpu::with_matmul_isa(
            context.isa, [&]<Isa isa>() { run_forward<isa, T, S>(context, forward, sections); });
    });
}

void attention_continue(Context& context, const AttentionInputs& inputs,
                        const AttentionShape& shape, Tensor& o) {
    const auto& [q, kv, k_pe] = inputs;
    check_inputs(q, kv, k_pe, shape);
    const int64_t tokens = kv.shape()[0], queries = q.shape()[0];
    if (queries > tokens) {
        throw Error(Error::Kind::internal, concat(queries, " queries of ", tokens, " tokens"));
    }
    require(o, q.dtype(), {queries, shape.heads * shape.v_head_dim}, "o");
    if (queries == 0) return;
    const Workspace::Scope scope(context.workspace);
    const auto sections = sections_of(context.workspace, tokens, queries);
    with_type(q.dtype(), [&]<class T>() {
        using S = cpu::Statistic<T>;
        const cpu::PrefillForward<T, S> forward = {.sizes = sizes_of(shape),
                                                   .q = rows_of<T>(q),
                                                   .kv = rows_of<T>(kv),
                                                   .k_pe = rows_of<T>(k_pe),
                                                   .o = writable_rows<T>(o),
                                                   .lse = {nullptr, 0}};
        cpu::with_matmul_isa(
            context.isa, [&]<Isa isa>() { run_forward<isa, T, S>(context, forward, sections); });
    });
}

void attention_prefill_backward(Context& context, const Tensor& d_o, const AttentionKept& kept,
                                std::span<const int64_t> starts, const AttentionShape& shape,
                                AttentionGradients gradients) {
    const auto& [q, kv, k_pe] = kept.inputs;
    const Tensor &o = kept.o, &lse = kept.lse;
    check_inputs(q, kv, k_pe, shape);
    const int64_t tokens = kv.shape()[0], heads = shape.heads;
    check_starts(starts, tokens);
    require(q, q.dtype(), {tokens, q.shape()[1]}, "q");
    require(o, q.dtype(), {tokens, heads * shape.v_head_dim}, "o");
    require(d_o, q.dtype(), {tokens, heads * shape.v_head_dim}, "d_o");
    require(lse, statistics_of(q.dtype()), {tokens, heads}, "lse");
    require(gradients.d_q, q.dtype(), q.shape(), "d_q");
    require(gradients.d_kv, q.dtype(), kv.shape(), "d_kv");
    require(gradients.d_k_pe, q.dtype(), k_pe.shape(), "d_k_pe");
    with_type(q.dtype(), [&]<class T>() {
        using S = cpu::Statistic<T>;
        const Workspace::Scope scope(context.workspace);
        const auto parts = context.workspace.take<S>(heads * tokens * shape.qk_rope_head_dim);
        Tensor o_rows = o, lse_rows = lse;  // handles: only read
        const cpu::PrefillBackward<T, S> backward = {
            .forward = {.sizes = sizes_of(shape),
                        .q = rows_of<T>(q),
                        .kv = rows_of<T>(kv),
                        .k_pe = rows_of<T>(k_pe),
                        .o = writable_rows<T>(o_rows),
                        .lse = writable_rows<S>(lse_rows)},
            .d_o = rows_of<T>(d_o),
            .d_q = writable_rows<T>(gradients.d_q),
            .d_kv = writable_rows<T>(gradients.d_kv),
            .d_k_pe = {parts.data(), shape.qk_rope_head_dim},
            .tokens = tokens};
        cpu::with_matmul_isa(context.isa, [&]<Isa isa>() {
            run_backward<isa>(context, backward, starts, writable_rows<T>(gradients.d_k_pe));
        });
    });
}

}  // namespace hadal::ops

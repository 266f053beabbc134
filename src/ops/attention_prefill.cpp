#include "ops/attention_prefill.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "formats/bfloat16.h"
#include "ops/cpu/attention_prefill.h"
#include "ops/cpu/dispatch.h"

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
    const int64_t tokens = q.shape()[0];
    const int64_t nope = shape.qk_nope_head_dim, rope = shape.qk_rope_head_dim;
    require(q, q.dtype(), {tokens, shape.heads * (nope + rope)}, "q");
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

template <class T>
using Statistic = std::conditional_t<std::is_same_v<T, double>, double, float>;

float widen(bf16 value) {
    return to_float(value);
}
float widen(float value) {
    return value;
}
double widen(double value) {
    return value;
}
template <class T>
T narrow(Statistic<T> value) {
    if constexpr (std::is_same_v<T, bf16>)
        return to_bf16(value);
    else
        return value;
}
template <class T>
Statistic<T> rounded(Statistic<T> value) {
    return widen(narrow<T>(value));
}

template <class T>
struct Plain {
    using S = Statistic<T>;
    const Tensor &q, &kv, &k_pe;
    const AttentionShape& shape;
    int64_t nope = shape.qk_nope_head_dim, rope = shape.qk_rope_head_dim, v_dim = shape.v_head_dim;

    const T* q_of(int64_t t, int64_t h) const {
        return q.row<T>(t).data() + h * (nope + rope);
    }
    const T* k_of(int64_t t, int64_t h) const {
        return kv.row<T>(t).data() + h * (nope + v_dim);
    }
    const T* v_of(int64_t t, int64_t h) const {
        return k_of(t, h) + nope;
    }

    S score(int64_t t, int64_t j, int64_t h) const {
        const T* a = q_of(t, h);
        const T* k = k_of(j, h);
        const T* pe = k_pe.row<T>(j).data();
        S sum = 0;
        for (int64_t i = 0; i < nope; ++i) sum += widen(a[i]) * widen(k[i]);
        for (int64_t i = 0; i < rope; ++i) sum += widen(a[nope + i]) * widen(pe[i]);
        return sum * S(shape.scale);
    }
};

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

template <Isa isa, class T, class S>
void run_forward(Context& context, const cpu::PrefillForward<T, S>& forward,
                 std::span<const int64_t> starts) {
    if (starts.back() == 0) return;
    const Workspace::Scope scope(context.workspace);
    const auto sections = sections_of(context.workspace, starts);
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

}  // namespace

void attention_prefill(Context& context, const Tensor& q, const Tensor& kv, const Tensor& k_pe,
                       std::span<const int64_t> starts, const AttentionShape& shape, Tensor& o,
                       Tensor& lse) {
    check_inputs(q, kv, k_pe, shape);
    const int64_t tokens = q.shape()[0];
    check_starts(starts, tokens);
    require(o, q.dtype(), {tokens, shape.heads * shape.v_head_dim}, "o");
    require(lse, statistics_of(q.dtype()), {tokens, shape.heads}, "lse");
    with_type(q.dtype(), [&]<class T>() {
        using S = Statistic<T>;
        const cpu::PrefillForward<T, S> forward = {.sizes = sizes_of(shape),
                                                   .q = rows_of<T>(q),
                                                   .kv = rows_of<T>(kv),
                                                   .k_pe = rows_of<T>(k_pe),
                                                   .o = {o.data_as<T>(), o.row_stride()},
                                                   .lse = {lse.data_as<S>(), lse.row_stride()}};
        cpu::with_matmul_isa(context.isa,
                             [&]<Isa isa>() { run_forward<isa>(context, forward, starts); });
    });
}

void attention_prefill_backward(Context& context, const Tensor& d_o, const AttentionInputs& inputs,
                                std::span<const int64_t> starts, const AttentionShape& shape,
                                AttentionGradients gradients) {
    const auto& [q, kv, k_pe, o, lse] = inputs;
    check_inputs(q, kv, k_pe, shape);
    const int64_t tokens = q.shape()[0], heads = shape.heads;
    check_starts(starts, tokens);
    require(o, q.dtype(), {tokens, heads * shape.v_head_dim}, "o");
    require(d_o, q.dtype(), {tokens, heads * shape.v_head_dim}, "d_o");
    require(lse, statistics_of(q.dtype()), {tokens, heads}, "lse");
    require(gradients.d_q, q.dtype(), q.shape(), "d_q");
    require(gradients.d_kv, q.dtype(), kv.shape(), "d_kv");
    require(gradients.d_k_pe, q.dtype(), k_pe.shape(), "d_k_pe");
    with_type(q.dtype(), [&]<class T>() {
        using S = Statistic<T>;
        const Plain<T> plain{q, kv, k_pe, shape};
        const int64_t nope = plain.nope, rope = plain.rope, v_dim = plain.v_dim, dim = nope + rope;
        Workspace::Scope scope(context.workspace);
        const auto d_q = context.workspace.take<S>(tokens * heads * dim);
        const auto d_kv = context.workspace.take<S>(tokens * heads * (nope + v_dim));
        const auto d_pe = context.workspace.take<S>(heads * tokens * rope);
        std::fill(d_q.begin(), d_q.end(), S(0));
        std::fill(d_kv.begin(), d_kv.end(), S(0));
        std::fill(d_pe.begin(), d_pe.end(), S(0));
        context.threads.parallel_for(heads, [&](int64_t h) {
            for (int64_t t = 0; t < tokens; ++t) {
                const int64_t first = *(std::upper_bound(starts.begin(), starts.end(), t) - 1);
                const T* g = d_o.row<T>(t).data() + h * v_dim;
                const T* out = o.row<T>(t).data() + h * v_dim;
                S d = 0;
                for (int64_t i = 0; i < v_dim; ++i) d += widen(g[i]) * widen(out[i]);
                for (int64_t j = first; j <= t; ++j) {
                    const S p = std::exp(plain.score(t, j, h) - lse.row<S>(t)[size_t(h)]);
                    S* d_row = d_kv.data() + (j * heads + h) * (nope + v_dim);
                    S d_p = 0;
                    for (int64_t i = 0; i < v_dim; ++i) {
                        d_p += widen(g[i]) * widen(plain.v_of(j, h)[i]);
                        d_row[nope + i] += rounded<T>(p) * widen(g[i]);
                    }
                    const S d_s = rounded<T>(p * (d_p - d) * S(shape.scale));
                    S* dq_row = d_q.data() + (t * heads + h) * dim;
                    for (int64_t i = 0; i < nope; ++i) {
                        dq_row[i] += d_s * widen(plain.k_of(j, h)[i]);
                        d_row[i] += d_s * widen(plain.q_of(t, h)[i]);
                    }
                    S* pe_row = d_pe.data() + (h * tokens + j) * rope;
                    for (int64_t i = 0; i < rope; ++i) {
                        dq_row[nope + i] += d_s * widen(k_pe.row<T>(j)[size_t(i)]);
                        pe_row[i] += d_s * widen(plain.q_of(t, h)[nope + i]);
                    }
                }
            }
        });
        context.threads.parallel_for(tokens, 8, [&](int64_t t) {
            for (int64_t i = 0; i < heads * dim; ++i) {
                gradients.d_q.row<T>(t)[size_t(i)] = narrow<T>(d_q[size_t(t * heads * dim + i)]);
            }
            const int64_t width = heads * (nope + v_dim);
            for (int64_t i = 0; i < width; ++i) {
                gradients.d_kv.row<T>(t)[size_t(i)] = narrow<T>(d_kv[size_t(t * width + i)]);
            }
            for (int64_t i = 0; i < rope; ++i) {
                S sum = 0;
                for (int64_t h = 0; h < heads; ++h)
                    sum += d_pe[size_t((h * tokens + t) * rope + i)];
                gradients.d_k_pe.row<T>(t)[size_t(i)] = narrow<T>(sum);
            }
        });
    });
}

}  // namespace hadal::ops

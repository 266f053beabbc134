#include "ops/rms_norm.h"

#include "ops/cpu/rms_norm.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

/// Tokens whose weight gradients are summed in one task. A constant: the order of the sum must not
/// know the threads.
constexpr int64_t kChunkTokens = 64;

template <class T>
cpu::RmsNormBackward<T> backward_rows(const Tensor& dy, const Tensor& x, const Tensor& r) {
    return {.dy = dy.data_as<T>(),
            .dy_stride = dy.row_stride(),
            .x = x.data_as<T>(),
            .x_stride = x.row_stride(),
            .w = nullptr,
            .r = r.data_as<cpu::Statistic<T>>(),
            .hidden = x.shape()[1]};
}

void require_backward(const Tensor& dy, const Tensor& x, const Tensor& r) {
    const auto [tokens, hidden] = x.shape<2>();
    require(dy, x.dtype(), {tokens, hidden}, "rms_norm: dy");
    require(r, statistic_type(x.dtype()), {tokens}, "rms_norm: r");
}

}  // namespace

void rms_norm(Context& context, const Tensor& x, const Tensor& w, double epsilon, Tensor& y,
              Tensor& r) {
    const auto [tokens, hidden] = x.shape<2>();
    require(w, x.dtype(), {hidden}, "rms_norm: w");
    require(y, x.dtype(), {tokens, hidden}, "rms_norm: y");
    require(r, statistic_type(x.dtype()), {tokens}, "rms_norm: r");
    for_rows(context, "rms_norm", x.dtype(), {tokens, hidden},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 const cpu::RmsNormForward<T> a{.x = x.data_as<T>(),
                                                .x_stride = x.row_stride(),
                                                .w = w.data_as<T>(),
                                                .epsilon = epsilon,
                                                .y = y.data_as<T>(),
                                                .y_stride = y.row_stride(),
                                                .r = r.data_as<cpu::Statistic<T>>(),
                                                .hidden = x.shape()[1]};
                 cpu::rms_norm_rows<isa, T>(a, begin, end);
             });
}

void rms_norm_backward_input(Context& context, const Tensor& dy, const Tensor& x, const Tensor& w,
                             const Tensor& r, bool add, Tensor& dx) {
    const auto [tokens, hidden] = x.shape<2>();
    require_backward(dy, x, r);
    require(w, x.dtype(), {hidden}, "rms_norm: w");
    require(dx, x.dtype(), {tokens, hidden}, "rms_norm: dx");
    for_rows(context, "rms_norm", x.dtype(), {tokens, hidden},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 auto a = backward_rows<T>(dy, x, r);
                 a.w = w.data_as<T>();
                 cpu::rms_norm_backward_input_rows<isa, T>(a, add, dx.data_as<T>(), dx.row_stride(),
                                                           begin, end);
             });
}

void rms_norm_backward_weight(Context& context, const Tensor& dy, const Tensor& x, const Tensor& r,
                              Tensor& dw) {
    const auto [tokens, hidden] = x.shape<2>();
    require_backward(dy, x, r);
    require(dw, statistic_type(x.dtype()), {hidden}, "rms_norm: dw");
    const int64_t chunks = (tokens + kChunkTokens - 1) / kChunkTokens;
    const Workspace::Scope scope(context.workspace);
    Tensor partials = context.workspace.take({chunks, hidden}, dw.dtype());
    for_rows(context, "rms_norm", x.dtype(), {chunks, kChunkTokens * hidden},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 const auto a = backward_rows<T>(dy, x, r);
                 for (int64_t c = begin; c < end; ++c) {
                     const int64_t last = std::min(tokens, (c + 1) * kChunkTokens);
                     cpu::rms_norm_weight_chunk<isa, T>(a, c * kChunkTokens, last,
                                                        partials.row<cpu::Statistic<T>>(c).data());
                 }
             });
    with_float_type(dw.dtype(), "rms_norm", [&]<class S>() {
        S* sums = dw.data_as<S>();
        for (int64_t c = 0; c < chunks; ++c) {
            const S* partial = partials.data_as<S>() + c * hidden;
            if constexpr (!std::is_same_v<S, bf16>) {
                for (int64_t i = 0; i < hidden; ++i) sums[i] += partial[i];
            }
        }
    });
}

}  // namespace hadal::ops

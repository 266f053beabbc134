#include "ops/adamw_step.h"

#include <cmath>

#include "ops/cpu/adamw_step.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

template <class S>
cpu::AdamwFactors<S> factors(const AdamwOptions& options) {
    const double step = double(options.step);
    return {.gradient_scale = S(options.gradient_scale),
            .beta1 = S(options.beta1),
            .one_minus_beta1 = S(1 - options.beta1),
            .beta2 = S(options.beta2),
            .one_minus_beta2 = S(1 - options.beta2),
            .decay = S(1 - options.learning_rate * options.weight_decay),
            .step_size = S(options.learning_rate / (1 - std::pow(options.beta1, step))),
            .inverse_root = S(1 / std::sqrt(1 - std::pow(options.beta2, step))),
            .epsilon = S(options.epsilon)};
}

struct State {
    Tensor& gradient;
    Tensor& master;
    Tensor& m;
    Tensor& v;
    Tensor& parameter;
};

void require_contiguous(const Tensor& tensor, std::string_view what) {
    if (!tensor.contiguous()) {
        throw Error(Error::Kind::internal, concat("adamw_step: ", what, " has gaps between rows"));
    }
}

void check(const AdamwOptions& options, const State& state) {
    const DType dtype = state.master.dtype();
    const Shape& shape = state.master.shape();
    if (dtype != DType::f64) require(state.master, DType::f32, shape, "adamw_step: master");
    require(state.gradient, dtype, shape, "adamw_step: gradient");
    const bool short_moments = dtype == DType::f32 && state.m.dtype() == DType::bf16;
    require(state.m, short_moments ? DType::bf16 : dtype, shape, "adamw_step: m");
    require(state.v, state.m.dtype(), shape, "adamw_step: v");
    const bool narrow = dtype == DType::f32 && state.parameter.dtype() == DType::bf16;
    require(state.parameter, narrow ? DType::bf16 : dtype, shape, "adamw_step: parameter");
    require_contiguous(state.master, "master");
    require_contiguous(state.gradient, "gradient");
    require_contiguous(state.m, "m");
    require_contiguous(state.v, "v");
    require_contiguous(state.parameter, "parameter");
    if (options.step < 1) {
        throw Error(Error::Kind::internal, "adamw_step: steps count from 1");
    }
}

template <class S, class M, class P>
void run(Context& context, const AdamwOptions& options, State& state) {
    const cpu::AdamwRange<S, M, P> range{.gradient = state.gradient.data_as<S>(),
                                         .master = state.master.data_as<S>(),
                                         .m = state.m.data_as<M>(),
                                         .v = state.v.data_as<M>(),
                                         .parameter = state.parameter.data_as<P>(),
                                         .factors = factors<S>(options)};
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_ranges(state.master.count(), rows_per_task(1),
                                        [&](int64_t begin, int64_t end, int) {
                                            cpu::adamw_range<isa, S, M, P>(range, begin, end);
                                        });
    });
}

}  // namespace

void adamw_step(Context& context, const AdamwOptions& options, Tensor& gradient, Tensor& master,
                Tensor& m, Tensor& v, Tensor& parameter) {
    State state{gradient, master, m, v, parameter};
    check(options, state);
    if (master.dtype() == DType::f64) return run<double, double, double>(context, options, state);
    const bool narrow = parameter.dtype() == DType::bf16;
    if (m.dtype() == DType::bf16) {
        return narrow ? run<float, bf16, bf16>(context, options, state)
                      : run<float, bf16, float>(context, options, state);
    }
    if (narrow) return run<float, float, bf16>(context, options, state);
    run<float, float, float>(context, options, state);
}

}  // namespace hadal::ops

#include "optim/adamw.h"

#include "core/tensor_block.h"
#include "ops/adamw_step.h"
#include "ops/convert.h"
#include "optim/each_parameter.h"

namespace hadal::optim {

Adamw::Adamw(Context& context, std::span<const OptimizedParameter> parameters,
             const AdamwSettings& settings)
    : parameters_(parameters.begin(), parameters.end()), settings_(settings) {
    int64_t room = 0, master_room = 0;
    for (const OptimizedParameter& p : parameters_) {
        const int64_t elements = TensorBlock::room(p.parameter.shape());
        room += elements;
        if (p.parameter.dtype() != DType::f32) master_room += elements;
    }
    TensorBlock m(room, settings_.moments), v(room, settings_.moments);
    TensorBlock masters(master_room, DType::f32);
    m.fill_zero();
    v.fill_zero();
    for (OptimizedParameter& p : parameters_) {
        const Shape& shape = p.parameter.shape();
        State state{.name = p.name, .master = p.parameter, .m = m.take(shape), .v = v.take(shape)};
        if (p.parameter.dtype() != DType::f32) {
            state.master = masters.take(shape);
            ops::convert(context, p.parameter, state.master);
        }
        states_.push_back(std::move(state));
    }
}

void Adamw::step(Context& context, double learning_rate, double gradient_scale) {
    ++steps_;
    for_each_parameter(context, parameters_, [&](Context& inner, size_t i) {
        OptimizedParameter& p = parameters_[i];
        State& state = states_[i];
        const ops::AdamwOptions options{.learning_rate = learning_rate,
                                        .beta1 = settings_.beta1,
                                        .beta2 = settings_.beta2,
                                        .epsilon = settings_.epsilon,
                                        .weight_decay = p.decay ? settings_.weight_decay : 0,
                                        .step = steps_,
                                        .gradient_scale = gradient_scale};
        ops::adamw_step(inner, options, p.gradient, state.master, state.m, state.v, p.parameter);
    });
}

void Adamw::discard_gradients() {
    for (OptimizedParameter& p : parameters_) p.gradient.fill_zero();
}

void Adamw::restored(Context& context, int64_t steps) {
    steps_ = steps;
    for (size_t i = 0; i < parameters_.size(); ++i) {
        if (states_[i].master.data() == parameters_[i].parameter.data()) continue;
        ops::convert(context, states_[i].master, parameters_[i].parameter);
    }
}

int64_t Adamw::bytes() const {
    int64_t bytes = 0;
    for (size_t i = 0; i < states_.size(); ++i) {
        bytes += states_[i].m.bytes() + states_[i].v.bytes();
        if (states_[i].master.data() != parameters_[i].parameter.data()) {
            bytes += states_[i].master.bytes();
        }
    }
    return bytes;
}

}  // namespace hadal::optim

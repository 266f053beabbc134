#include "optim/parameter_average.h"

#include "core/tensor_block.h"

namespace hadal::optim {

ParameterAverage::ParameterAverage(std::span<const Adamw::State> parameters, double decay)
    : decay_(float(decay)) {
    int64_t room = 0;
    for (const Adamw::State& p : parameters) room += TensorBlock::room(p.master.shape());
    TensorBlock block(room, DType::f32);
    for (const Adamw::State& p : parameters) {
        masters_.push_back(p.master);
        states_.push_back({.name = p.name, .average = block.take(p.master.shape())});
    }
    restart();
}

void ParameterAverage::restart() {
    wait();
    for (size_t i = 0; i < states_.size(); ++i) states_[i].average.copy_from(masters_[i]);
}

void ParameterAverage::update() {
    task_.start([this] {
        const float rest = 1 - decay_;
        for (size_t i = 0; i < states_.size(); ++i) {
            const float* master = masters_[i].data_as<float>();
            float* average = states_[i].average.data_as<float>();
            const int64_t count = masters_[i].count();
            for (int64_t j = 0; j < count; ++j) average[j] += rest * (master[j] - average[j]);
        }
    });
}

int64_t ParameterAverage::bytes() const {
    int64_t bytes = 0;
    for (const State& state : states_) bytes += state.average.bytes();
    return bytes;
}

}  // namespace hadal::optim

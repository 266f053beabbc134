// The exponential moving average of the parameters: an estimate, during training, of the model that
// the decay of the learning rate will give. Report §3.2.3: "The EMA parameters are stored in CPU
// memory and are updated asynchronously after each training step."
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/background_task.h"
#include "core/context.h"
#include "core/tensor.h"
#include "optim/adamw.h"

namespace hadal::optim {

class ParameterAverage {
  public:
    /// One parameter's: E ← decay·E + (1 − decay)·master, beginning as the master.
    struct State {
        std::string name;
        Tensor average;  // [same] f32
    };

    /// Shares the masters' memory and copies it.
    ParameterAverage(std::span<const Adamw::State> parameters, double decay);

    /// Begins the update and returns. The masters must not change until wait(): in host memory no
    /// copy is needed, since only the next step's AdamW changes them, at its end. A value's bits
    /// depend on its masters alone.
    void update();
    void wait() {
        task_.wait();
    }
    /// Forgets the past: the averages are the masters.
    void restart();

    /// Up to date: waits first.
    std::span<State> states() {
        wait();
        return states_;
    }
    int64_t bytes() const;

  private:
    std::vector<Tensor> masters_;  // [any] f32
    std::vector<State> states_;
    float decay_;
    BackgroundTask task_;  // last: ends before what it works on
};

}  // namespace hadal::optim

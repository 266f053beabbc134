// AdamW over a list of parameters, with float32 masters: the model computes with rounded copies,
// small updates are not lost. Report §4.2.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::optim {

struct OptimizedParameter {
    std::string name;
    Tensor parameter;    // [any] bf16|f32, what the model computes with
    Tensor gradient;     // [same] f32, set to zero by each step
    bool decay = false;  // whether weight decay applies
};

struct AdamwSettings {
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
    DType moments = DType::f32;  // or bf16
};

class Adamw {
  public:
    /// Everything that the next update of one parameter depends on.
    struct State {
        std::string name;
        Tensor master;  // [same] f32; the parameter itself where that is f32
        Tensor m;       // [same] f32|bf16, mean of gradients
        Tensor v;       // [same] as m, mean of squared gradients
    };

    /// Shares the tensors' memory. Masters begin as the parameters, moments as zero.
    Adamw(Context& context, std::span<const OptimizedParameter> parameters,
          const AdamwSettings& settings);

    /// One update of all parameters. `gradient_scale` multiplies the gradients first (clipping).
    void step(Context& context, double learning_rate, double gradient_scale);

    /// Forgets the gradients, for a step that is skipped.
    void discard_gradients();

    int64_t steps() const {
        return steps_;
    }
    std::span<State> states() {
        return states_;
    }
    /// After states() were filled from a snapshot: rounds the masters into the parameters.
    void restored(Context& context, int64_t steps);

    /// Bytes of masters (where they are not the parameters) and moments.
    int64_t bytes() const;

  private:
    std::vector<OptimizedParameter> parameters_;
    std::vector<State> states_;
    AdamwSettings settings_;
    int64_t steps_ = 0;
};

}  // namespace hadal::optim

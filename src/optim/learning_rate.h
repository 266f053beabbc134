// The learning rate as a function of a run's position. Report §4.2: linear warm-up, constant,
// cosine, constant, and a lower constant at the end.
#pragma once

#include <cstdint>

namespace hadal::optim {

struct LearningRateSchedule {
    double peak = 2.2e-4;
    int64_t warmup_steps = 2000;    // 0 → peak, linear
    int64_t constant_until = 0;     // tokens: peak before
    int64_t cosine_until = 0;       // tokens: from peak to low along half a cosine
    double low = 2.2e-5;            // after the cosine
    int64_t last_from = INT64_MAX;  // tokens: from here on …
    double last = 7.3e-6;           // … this
};

/// The rate of the step that follows `steps` steps and `tokens` tokens. The first step of a warm-up
/// has peak/warmup_steps: a rate of zero would waste it.
double learning_rate(const LearningRateSchedule& schedule, int64_t steps, int64_t tokens);

}  // namespace hadal::optim

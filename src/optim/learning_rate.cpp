#include "optim/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hadal::optim {

double learning_rate(const LearningRateSchedule& schedule, int64_t steps, int64_t tokens) {
    double rate = schedule.peak;
    if (tokens >= schedule.last_from) {
        rate = schedule.last;
    } else if (tokens >= schedule.cosine_until) {
        rate = schedule.low;
    } else if (tokens >= schedule.constant_until) {
        const double share = double(tokens - schedule.constant_until) /
                             double(schedule.cosine_until - schedule.constant_until);
        rate = schedule.low +
               (schedule.peak - schedule.low) * 0.5 * (1 + std::cos(std::numbers::pi * share));
    }
    if (steps >= schedule.warmup_steps) return rate;
    return rate * double(steps + 1) / double(schedule.warmup_steps);
}

}  // namespace hadal::optim

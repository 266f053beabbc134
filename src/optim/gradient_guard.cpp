#include "optim/gradient_guard.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "ops/reduce.h"
#include "optim/each_parameter.h"

namespace hadal::optim {

GradientGuard::Verdict GradientGuard::inspect(Context& context,
                                              std::span<const OptimizedParameter> parameters,
                                              double loss) {
    std::vector<double> sums(parameters.size());
    for_each_parameter(context, parameters, [&](Context& inner, size_t i) {
        sums[i] = ops::sum_of_squares(inner, parameters[i].gradient);
    });
    double squares = 0;
    for (const double sum : sums) squares += sum;
    Verdict verdict;
    verdict.norm = std::sqrt(squares);
    verdict.skip = !std::isfinite(loss) || !std::isfinite(verdict.norm);
    if (settings_.clip_norm > 0 && !verdict.skip) {
        verdict.scale = std::min(1.0, settings_.clip_norm / (verdict.norm + 1e-6));
    }
    state_.skipped += verdict.skip ? 1 : 0;
    state_.skipped_run = verdict.skip ? state_.skipped_run + 1 : 0;
    if (settings_.max_skipped_run > 0 && state_.skipped_run >= settings_.max_skipped_run) {
        throw Error(
            Error::Kind::bad_input,
            concat("training diverged: loss or gradients were not finite in ", state_.skipped_run,
                   " steps in a row (lower learning_rate.peak, or lengthen its warm-up)"));
    }
    return verdict;
}

}  // namespace hadal::optim

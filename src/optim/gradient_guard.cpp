#include "optim/gradient_guard.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "ops/reduce.h"
#include "optim/each_parameter.h"

namespace hadal::optim {

namespace {

std::string jump_text(const char* what, double value, const SpikeDetector::Judgement& jump) {
    return concat("the ", what, " ", value, " is ", jump.deviation, " deviations above its median ",
                  jump.median);
}

}  // namespace

std::string GradientGuard::Verdict::reason(double loss) const {
    if (!finite) return concat("not finite: loss ", loss, ", gradient norm ", norm);
    std::string text;
    if (loss_jump.spike) text = jump_text("loss", loss, loss_jump);
    if (norm_jump.spike)
        text += (text.empty() ? "" : "; ") + jump_text("gradient norm", norm, norm_jump);
    return text;
}

GradientGuard::GradientGuard(const GuardSettings& settings)
    : settings_(settings), losses_(settings.spikes), norms_(settings.spikes) {}

GradientGuard::Verdict GradientGuard::inspect(Context& context,
                                              std::span<const OptimizedParameter> parameters,
                                              double loss) const {
    std::vector<double> sums(parameters.size());
    for_each_parameter(context, parameters, [&](Context& inner, size_t i) {
        sums[i] = ops::sum_of_squares(inner, parameters[i].gradient);
    });
    double squares = 0;
    for (const double sum : sums) squares += sum;
    Verdict verdict;
    verdict.norm = std::sqrt(squares);
    verdict.finite = std::isfinite(loss) && std::isfinite(verdict.norm);
    if (verdict.finite) {
        verdict.loss_jump = losses_.judge(loss);
        verdict.norm_jump = norms_.judge(verdict.norm);
        if (settings_.clip_norm > 0)
            verdict.scale = std::min(1.0, settings_.clip_norm / (verdict.norm + 1e-6));
    }
    verdict.skip = !verdict.finite || (settings_.skip_spikes && verdict.spike());
    verdict.diverged = verdict.skip && settings_.max_skipped_run > 0 &&
                       skipped_run_ + 1 >= settings_.max_skipped_run;
    return verdict;
}

void GradientGuard::record(const Verdict& verdict, double loss) {
    skipped_ += verdict.skip ? 1 : 0;
    skipped_run_ = verdict.skip ? skipped_run_ + 1 : 0;
    if (!verdict.finite) return;
    spikes_ += verdict.spike() ? 1 : 0;
    losses_.add(loss);
    norms_.add(verdict.norm);
}

GuardState GradientGuard::state() const {
    const auto losses = losses_.values(), norms = norms_.values();
    return {.skipped = skipped_,
            .skipped_run = skipped_run_,
            .spikes = spikes_,
            .losses = {losses.begin(), losses.end()},
            .norms = {norms.begin(), norms.end()}};
}

void GradientGuard::restore(const GuardState& state) {
    skipped_ = state.skipped;
    skipped_run_ = state.skipped_run;
    spikes_ = state.spikes;
    losses_.restore(state.losses);
    norms_.restore(state.norms);
}

}  // namespace hadal::optim

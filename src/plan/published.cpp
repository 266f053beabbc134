#include "plan/published.h"

#include <algorithm>

namespace hadal::plan {

namespace {

constexpr std::string_view kTable4 = "Insights into DeepSeek-V3, table 4";
constexpr std::string_view kTable1 = "report, table 1";
constexpr std::string_view kDay = "open-infra-index, 2025-02-28";
constexpr std::string_view kProfile = "profile-data";

using enum Mark;

constexpr PublishedFigure kFigures[] = {
    {"forward_seconds", 1.13, 0.03, calibration, kTable4},
    {"bubble_seconds", 2.06, 0.03, calibration, kTable4},
    {"backward_seconds", 1.99, 0.03, calibration, kTable4},
    {"weight_seconds", 0.48, 0.03, calibration, kTable4},
    {"paired_seconds", 13.95, 0.03, calibration, kTable4},
    {"optimizer_seconds", 0.29, 0.03, prediction, kTable4},
    {"step_seconds", 19.926, 0.03, prediction, kTable4},
    {"tokens_per_day", 272.8e9, 0.03, prediction, kTable4},
    {"mfu_causal", 0.3894, 0.03, prediction, kTable4},
    {"mfu_full", 0.4373, 0.03, prediction, kTable4},
    {"achieved_causal_flops", 385e12, 0.03, prediction, kTable4},
    {"achieved_full_flops", 432e12, 0.03, prediction, kTable4},
    {"training_flops_per_token", 250e9, 0.03, prediction, "Insights into DeepSeek-V3, table 2"},
    {"gpu_hours_per_trillion", 180e3, 0.03, prediction, "report §1"},
    {"trace_gpu_hours_per_trillion", 180e3, 0.16, prediction, "report §1"},
    {"days_per_trillion", 3.7, 0.03, prediction, "report §1"},
    {"pretraining_gpu_hours", 2664e3, 0.03, prediction, kTable1},
    {"context_gpu_hours", 119e3, 0.03, calibration, kTable1},
    {"post_training_gpu_hours", 5e3, 0.03, input, kTable1},
    {"gpu_hours", 2788e3, 0.03, prediction, kTable1},
    {"dollars", 5.576e6, 0.03, prediction, kTable1},
    {"parameters", 671.0264192e9, 1e-9, prediction, "checkpoint, counted"},
    {"active_parameters", 36.625618432e9, 1e-9, prediction, "checkpoint, counted"},
    {"trace_pair_seconds", 0.129, 0.03, calibration, "profile-data, train.json"},
    {"prefill_tokens_per_s_per_gpu", 7839, 0.10, prediction, kProfile},
    {"prefill_node_tokens_per_s", 73.7e3, 0.10, prediction, kDay},
    {"prefill_node_computed_tokens_per_s", 32.2e3, 0.10, prediction, kDay},
    {"profile_decode_tokens_per_s_per_gpu", 2325, 0.03, calibration, kProfile},
    {"decode_node_tokens_per_s", 14.8e3, 0.10, prediction, kDay},
    {"nodes_of_the_day", 226.75, 0.10, prediction, kDay},
    {"day_dollars", 87072, 0.10, prediction, kDay},
    {"link_bound_tokens_per_s", 67, 0.03, prediction, "Insights into DeepSeek-V3, §2.3.2"},
};

}  // namespace

std::span<const PublishedFigure> published_figures() {
    return kFigures;
}

bool is_published_run(const Inputs& inputs) {
    if (inputs.model != "v3-671b" || inputs.cluster != "h800-2048") return false;
    if (!inputs.scenarios.empty()) return false;
    return std::ranges::none_of(
        inputs.origins, [](const auto& entry) { return entry.second.kind == Origin::Kind::given; });
}

void compare_with_published(Answer& answer) {
    for (Section& section : answer.sections) {
        for (Figure& figure : section.figures) {
            const auto found = std::ranges::find(kFigures, figure.key, &PublishedFigure::key);
            if (found == std::end(kFigures)) continue;
            figure.mark = found->mark;
            figure.published = Published{found->value, found->source};
        }
    }
}

}  // namespace hadal::plan

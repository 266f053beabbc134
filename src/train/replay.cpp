#include "train/replay.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "checkpoint/snapshot.h"
#include "core/error.h"
#include "formats/bfloat16.h"
#include "ops/reduce.h"
#include "train/metrics.h"
#include "train/trainer.h"

namespace hadal::train {

namespace {

namespace fs = std::filesystem;

/// The newest whole snapshot in `directory` of at most `step` steps.
std::optional<checkpoint::Snapshot> open_before(const fs::path& directory, int64_t step,
                                                const ReplayOptions& options) {
    for (const int64_t candidate : checkpoint::snapshot_steps(directory)) {
        if (candidate > step) continue;
        try {
            return checkpoint::Snapshot::open(directory / checkpoint::snapshot_name(candidate));
        } catch (const Error& error) {
            options.warn(error.what());
        }
    }
    return std::nullopt;
}

/// "model.layers.3.mlp.gate.weight" → "layer 3"
std::string layer_name(const std::string& parameter, int64_t main_layers) {
    constexpr std::string_view kLayers = "model.layers.";
    if (parameter.starts_with(kLayers)) {
        const int64_t layer = std::stoll(parameter.substr(kLayers.size()));
        return layer < main_layers ? concat("layer ", layer)
                                   : concat("MTP ", layer - main_layers + 1);
    }
    if (parameter.starts_with("model.embed_tokens")) return "embedding";
    if (parameter.starts_with("model.norm")) return "final norm";
    return "head";
}

double max_absolute(const Tensor& x) {  // [any] bf16|f32
    double largest = 0;
    const auto look = [&](auto value) {
        const double magnitude = std::abs(double(value));
        // Written so that NaN counts as infinite.
        if (!(magnitude <= std::numeric_limits<double>::max())) largest = INFINITY;
        largest = std::max(largest, magnitude);
    };
    if (x.dtype() == DType::bf16) {
        for (const bf16 value : x.values<bf16>()) look(to_float(value));
    } else {
        for (const float value : x.values<float>()) look(value);
    }
    return largest;
}

class Examination {
  public:
    Examination(Context& context, Trainer& trainer) : context_(context), trainer_(trainer) {}

    std::vector<ReplayedLayer> layers(const StepResult& result) {
        collect_gradients();
        collect_experts(result);
        return std::move(layers_);
    }

    std::vector<ReplayedSequence> sequences(const Tensor& ids, int64_t first_sample) {
        const Recipe& recipe = trainer_.recipe();
        model::LossOptions options = trainer_.loss_options(ids.shape()[0]);
        saved_ = model::allocate_saved(recipe.model, recipe.data.seq_len, recipe.precision(),
                                       options.mtp_weight > 0, model::owned);
        std::vector<ReplayedSequence> sequences;
        for (int64_t i = 0; i < ids.shape()[0]; ++i) {
            const auto batch = model::make_batch(ids.rows(i, 1));
            const auto loss = model::evaluate(context_, trainer_.model(), batch, options, saved_);
            const auto row = ids.row<int32_t>(i);
            const size_t shown = std::min<size_t>(row.size(), 16);
            sequences.push_back({.sample = first_sample + i,
                                 .loss = loss.loss_sum / double(std::max<int64_t>(1, loss.targets)),
                                 .activation_max = collect_activations(),
                                 .first_ids = {row.begin(), row.begin() + std::ptrdiff_t(shown)}});
        }
        // Losses that are no number are the worst of all.
        std::ranges::stable_sort(sequences, std::greater(), [](const ReplayedSequence& s) {
            return std::isnan(s.loss) ? INFINITY : s.loss;
        });
        return sequences;
    }

    /// After sequences(): the largest of all of them.
    void fill_activations(std::vector<ReplayedLayer>& layers) const {
        for (ReplayedLayer& layer : layers) {
            const auto found = activations_.find(layer.name);
            if (found != activations_.end()) layer.activation_max = found->second;
        }
    }

  private:
    int64_t main_layers() const {
        return trainer_.recipe().model.num_hidden_layers;
    }
    ReplayedLayer& layer(const std::string& name) {
        const auto found = std::ranges::find(layers_, name, &ReplayedLayer::name);
        if (found != layers_.end()) return *found;
        return layers_.emplace_back(ReplayedLayer{.name = name});
    }

    void collect_gradients() {
        for (const auto& parameter : trainer_.parameters()) {
            ReplayedLayer& place = layer(layer_name(parameter.name, main_layers()));
            place.grad_norm += ops::sum_of_squares(context_, parameter.gradient);
            place.not_finite += ops::all_finite(context_, parameter.gradient) ? 0 : 1;
        }
        for (ReplayedLayer& place : layers_) place.grad_norm = std::sqrt(place.grad_norm);
    }

    void collect_experts(const StepResult& result) {
        const auto violations = layer_max_violation(result.expert_load);
        size_t next = 0;
        const auto take = [&](const std::string& name) {
            if (next >= violations.size()) return;
            layer(name).max_violation = violations[next];
            layer(name).dead_experts = std::ranges::count(result.expert_load[next], 0);
            ++next;
        };
        for (int64_t i = 0; i < main_layers(); ++i) {
            if (trainer_.recipe().model.is_moe_layer(i)) take(concat("layer ", i));
        }
        for (int64_t k = 1; next < violations.size(); ++k) take(concat("MTP ", k));
    }

    /// Of the sequence evaluated last; returns the largest.
    double collect_activations() {
        double largest = 0;
        const auto look = [&](const std::string& name, const Tensor& x) {
            const double value = max_absolute(x);
            activations_[name] = std::max(activations_[name], value);
            largest = std::max(largest, value);
        };
        for (size_t i = 0; i < saved_.layers.size(); ++i)
            look(concat("layer ", i), saved_.layers[i].x);
        look("final norm", saved_.hidden);
        look("head", saved_.normed);
        for (size_t k = 0; k < saved_.mtp.size(); ++k)
            look(concat("MTP ", k + 1), saved_.mtp[k].layer.x);
        return largest;
    }

    Context& context_;
    Trainer& trainer_;
    model::Saved saved_;
    std::vector<ReplayedLayer> layers_;
    std::map<std::string, double> activations_;
};

bool same_bits(double a, double b) {
    return std::memcmp(&a, &b, sizeof a) == 0 || (!std::isfinite(a) && !std::isfinite(b));
}

void check_batch(const Trainer& trainer, const SpikeRecord& record, const std::string& where) {
    const Tensor now = trainer.next_samples();
    const bool same = trainer.progress().samples == record.first_sample &&
                      now.shape() == record.ids.shape() &&
                      std::memcmp(now.data(), record.ids.data(), size_t(record.ids.bytes())) == 0;
    if (same) return;
    throw Error(Error::Kind::bad_input,
                concat("the data no longer gives the batch that was recorded: ", where,
                       " (bring back the token ids that the run was trained on)"));
}

}  // namespace

Replay replay(Context& context, const fs::path& json, const ReplayOptions& options) {
    Replay replay;
    replay.record = read_spike(json);
    const fs::path run = fs::absolute(json).parent_path().parent_path();
    const int64_t before = replay.record.step - 1;
    const Recipe recipe = parse_recipe(replay.record.recipe, concat(json.string(), ": recipe"), {});
    Trainer trainer(context, recipe);
    auto start = open_before(spike_states(run), before, options);
    // A state of an earlier record is worth no more than a later snapshot of the run.
    if (!start || start->step() < before) {
        auto regular = open_before(run / "snapshots", before, options);
        if (regular && (!start || regular->step() > start->step())) start = std::move(regular);
    }
    if (start) {
        trainer.restore(*start, {.warn = options.warn});
        replay.replayed_from = start->step();
        replay.snapshot = start->directory().string();
    }
    while (trainer.progress().step < before) {
        trainer.step();
        options.on_progress(trainer.progress().step - replay.replayed_from,
                            before - replay.replayed_from);
    }
    check_batch(trainer, replay.record, json.string());
    const StepResult result = trainer.compute_step();
    replay.loss = result.loss;
    replay.grad_norm = result.verdict.norm;
    replay.same_bits = same_bits(replay.loss, replay.record.loss) &&
                       same_bits(replay.grad_norm, replay.record.grad_norm);
    Examination examination(context, trainer);
    replay.layers = examination.layers(result);
    replay.sequences = examination.sequences(replay.record.ids, replay.record.first_sample);
    examination.fill_activations(replay.layers);
    return replay;
}

}  // namespace hadal::train

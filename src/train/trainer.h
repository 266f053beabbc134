// One training run's moving parts, a step at a time: model, gradients, optimizer, guard, and its
// place in the data. Knows no files of a run; pretrain.h drives it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/snapshot.h"
#include "checkpoint/snapshot_writer.h"
#include "core/context.h"
#include "data/loader.h"
#include "model/transformer.h"
#include "optim/adamw.h"
#include "optim/gradient_guard.h"
#include "train/recipe.h"
#include "train/same_run.h"

namespace hadal::train {

/// What one step showed.
struct StepResult {
    double loss = 0;                 // nats per token, main model
    std::optional<double> mtp_loss;  // nats per token, mean over the depths
    double balance_loss = 0;         // Σ over MoE layers, mean over sequences, times α
    double grad_norm = 0;            // before clipping
    double learning_rate = 0;
    int64_t sequences = 0;
    bool skipped = false;
    std::vector<std::vector<int64_t>> expert_load;  // per MoE layer, MTP's last: tokens per expert
};

struct ValidationResult {
    double loss = 0;  // nats per token
    std::optional<double> mtp_loss;
    int64_t sequences = 0;
    std::vector<std::vector<int64_t>> expert_load;  // as StepResult's
};

/// Everything besides tensors that the next step depends on.
struct Progress {
    int64_t step = 0;     // steps done
    int64_t tokens = 0;   // targets seen
    int64_t samples = 0;  // sequences consumed
};

class Trainer {
  public:
    /// Allocates everything; weights are fresh from the seed or from recipe.init_from.
    Trainer(Context& context, const Recipe& recipe);
    Trainer(const Trainer&) = delete;
    Trainer& operator=(const Trainer&) = delete;

    bool finished() const;
    /// One update: micro-batches forward and backward, clip, AdamW, router bias.
    StepResult step();
    /// Mean loss over the first `recipe.validation.sequences` windows; nothing without validation
    /// data.
    std::optional<ValidationResult> validate();

    const Progress& progress() const {
        return progress_;
    }
    int64_t skipped() const {
        return guard_.state().skipped;
    }
    model::Model& model() {
        return model_;
    }

    /// Everything that the next step depends on. Tensors are the live ones: the next step changes
    /// them.
    checkpoint::SnapshotContent snapshot() const;
    /// Error(bad_input) names all that differs if the snapshot is of another configuration or other
    /// data.
    void restore(const checkpoint::Snapshot& snapshot, const ResumeOptions& options = {});

  private:
    void init_model();
    void collect_parameters();
    Tensor samples(int64_t first, int64_t count) const;  // [count, seq_len + 1] i32
    model::LossOptions loss_options(int64_t sequences) const;
    void update(const StepResult& result, double scale);
    void check_same_run(const nlohmann::json& state, const std::string& where,
                        const ResumeOptions& options) const;
    void restore_tensors(const checkpoint::Snapshot& snapshot, int64_t adam_steps);

    Context& context_;
    Recipe recipe_;
    model::Model model_;
    model::Weights gradients_;
    model::Saved saved_;
    model::BackwardSpace space_;
    std::vector<optim::OptimizedParameter> parameters_;
    std::vector<std::pair<std::string, Tensor>> router_biases_;  // [n_routed_experts] f32 each
    std::unique_ptr<optim::Adamw> adamw_;
    optim::GradientGuard guard_;
    std::unique_ptr<data::Loader> loader_;                // none with data.random
    std::vector<data::SourceIdentity> sources_;           // as they were at the beginning
    std::string tokenizer_;                               // digest
    std::unique_ptr<data::ValidationLoader> validation_;  // none without validation data
    Progress progress_;
};

}  // namespace hadal::train

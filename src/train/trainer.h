// One training run's moving parts, a step at a time: model, gradients, optimizer, guard, and its
// place in the data. Knows no files of a run; pretrain.h drives it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/snapshot.h"
#include "checkpoint/snapshot_writer.h"
#include "core/context.h"
#include "data/loader.h"
#include "model/transformer.h"
#include "optim/adamw.h"
#include "optim/gradient_guard.h"
#include "optim/parameter_average.h"
#include "train/balance_monitor.h"
#include "train/recipe.h"
#include "train/same_run.h"

namespace hadal::train {

/// What one step showed.
struct StepResult {
    double loss = 0;                        // nats per token, main model
    std::optional<double> mtp_loss;         // nats per token, mean over the depths
    double balance_loss = 0;                // Σ over MoE layers, mean over sequences, times α
    optim::GradientGuard::Verdict verdict;  // norm before clipping; whether the step is skipped
    double learning_rate = 0;
    int64_t sequences = 0;
    double data_seconds = 0;                        // of reading the batch
    std::vector<std::vector<int64_t>> expert_load;  // per MoE layer, MTP's last: tokens per expert
    BalanceMonitor::Finding balance;                // filled by finish_step, not of a skipped step
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
    /// The first half of a step: micro-batches forward and backward, and the guard's verdict.
    /// Nothing that a snapshot holds has changed yet. finish_step must follow.
    StepResult compute_step();
    /// The second half: clip, AdamW, router bias, or nothing of it for a step to be skipped.
    void finish_step(StepResult& result);
    /// Both.
    StepResult step();
    /// Mean loss over the first `recipe.validation.sequences` windows; nothing without validation
    /// data.
    std::optional<ValidationResult> validate();
    /// The same of the averaged parameters; nothing without ema.decay.
    std::optional<ValidationResult> validate_average();
    /// The averaged parameters in the run's type, with the router biases of now: those are no
    /// parameters that a gradient moves, and belong to the loads of now. Error(internal) without
    /// ema.decay.
    model::Model average_model();

    const Recipe& recipe() const {
        return recipe_;
    }
    const Progress& progress() const {
        return progress_;
    }
    optim::GuardState guard_state() const {
        return guard_.state();
    }
    model::Model& model() {
        return model_;
    }
    /// Between compute_step and finish_step their gradients are the step's, before clipping.
    std::span<const optim::OptimizedParameter> parameters() const {
        return parameters_;
    }
    /// The next step's batch.  [sequences, seq_len + 1] i32
    Tensor next_samples() const;
    /// What identifies the training data; 0 with data.random.
    uint64_t data_fingerprint() const {
        return loader_ ? loader_->fingerprint() : 0;
    }
    /// The next step's weights of the losses, over `sequences` sequences.
    model::LossOptions loss_options(int64_t sequences) const;

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
    void check_same_run(const nlohmann::json& state, const std::string& where,
                        const ResumeOptions& options) const;
    int64_t next_sequences() const;
    void update(const StepResult& result);
    std::optional<ValidationResult> validate(const model::Model& model);
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
    std::unique_ptr<optim::ParameterAverage> average_;  // none without ema.decay
    optim::GradientGuard guard_;
    BalanceMonitor balance_;
    std::unique_ptr<data::Loader> loader_;                // none with data.random
    std::vector<data::SourceIdentity> sources_;           // as they were at the beginning
    std::string tokenizer_;                               // digest
    std::unique_ptr<data::ValidationLoader> validation_;  // none without validation data
    Progress progress_;
};

}  // namespace hadal::train

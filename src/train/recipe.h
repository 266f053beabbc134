// A run is a recipe: one TOML file that describes it completely. Every key has a default, a unit
// and a check (recipe_keys.cpp is the table); `--set a.b=c` overrides; the resolved recipe is
// written beside the results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "model/config.h"
#include "model/precision.h"
#include "optim/adamw.h"
#include "optim/batch_size_schedule.h"
#include "optim/gradient_guard.h"
#include "optim/learning_rate.h"

namespace hadal::train {

/// A position in a run: a number of tokens ("469B", "10T", "12000") or a share of the run ("60%").
using Position = std::string;

struct RunKeys {
    std::string stage = "pretrain";
    std::string out;
    int64_t seed = 0;
    int64_t steps = 0;  // this or tokens
    int64_t tokens = 0;
    std::string dtype = "bf16";
};
struct DataKeys {
    std::string corpus;
    std::vector<std::string> train;
    std::vector<double> weights;
    std::vector<std::string> validation;
    std::string tokenizer;
    int64_t seq_len = 4096;
    bool random = false;
};
struct BatchKeys {
    int64_t sequences = 8;
    int64_t micro_batch = 1;
    int64_t ramp_from = 0;
    Position ramp_until = "3%";
};
struct OptimizerKeys {
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
    std::string moments = "f32";
    std::string decay = "matrices";
    double clip_norm = 1;
};
struct GuardKeys {
    int64_t window = 128;
    double threshold = 10;
    bool skip_spikes = false;
    int64_t max_skipped_run = 20;
    int64_t max_records = 100;
    bool save_state = false;
};
struct LearningRateKeys {
    double peak = 2.2e-4;
    int64_t warmup_steps = 2000;
    Position constant_until = "67.6%";
    Position cosine_until = "96.6%";
    double low = 2.2e-5;
    Position last_from = "98.9%";
    double last = 7.3e-6;
};
struct BalanceKeys {
    double bias_rate = 0.001;
    Position bias_until = "96.6%";
    double alpha = 1e-4;
    int64_t starved_steps = 200;
};
struct MtpKeys {
    double weight = 0.3;
    double late_weight = 0.1;
    Position late_from = "67.6%";
};
struct PrecisionKeys {
    std::string linear = "dtype";
    std::string activations = "1x128";
    std::string weights = "128x128";
    std::string gradients = "1x128";
    std::string gradient_format = "e4m3";
};
struct MemoryKeys {
    bool recompute = false;
};
struct ValidationKeys {
    int64_t every = 100;
    int64_t sequences = 64;
};
struct SnapshotKeys {
    int64_t every = 500;
    int64_t keep = 3;
    int64_t keep_every = 0;
    bool background = true;
    int64_t max_failures = 3;
};
struct EmaKeys {
    double decay = 0;
    bool export_model = true;
};
struct LogKeys {
    bool tensorboard = true;
    bool log_axis = false;
};

struct Recipe {
    RunKeys run;
    model::ModelConfig model;
    std::string init_from;  // model.init_from: a model directory to start from
    DataKeys data;
    BatchKeys batch;
    OptimizerKeys optimizer;
    GuardKeys guard;
    LearningRateKeys learning_rate;
    BalanceKeys balance;
    MtpKeys mtp;
    PrecisionKeys fp8;  // [precision]
    MemoryKeys memory;
    ValidationKeys validation;
    SnapshotKeys snapshot;
    EmaKeys ema;
    LogKeys log;

    DType dtype() const {
        return run.dtype == "f32" ? DType::f32 : DType::bf16;
    }
    model::Precision precision() const;
    /// Length of the run; with `steps` as if every batch were whole.
    int64_t total_tokens() const;
    int64_t tokens_at(const Position& position) const;

    optim::AdamwSettings adamw() const;
    optim::GuardSettings guard_settings() const;
    optim::LearningRateSchedule learning_rate_schedule() const;
    optim::BatchSizeSchedule batch_schedule() const;
};

/// Reads and checks a recipe; `sets` are the texts of --set, applied in order. Error(bad_input)
/// says which key of which file or --set, what is wrong, and what is allowed; an unknown key gets
/// the nearest known one.
Recipe read_recipe(const std::filesystem::path& path, std::span<const std::string> sets);
/// The same from text; `where` goes into messages.
Recipe parse_recipe(std::string_view text, std::string_view where,
                    std::span<const std::string> sets);

/// The resolved recipe as TOML: every key, its unit and meaning as a comment. Parses to the same
/// recipe.
std::string recipe_text(const Recipe& recipe);

/// A key whose values differ between two recipes although a resumed run keeps it.
struct RecipeDifference {
    std::string key;
    std::string now;
    std::string before;
    bool on_request = false;  // the user may allow it

    /// "optimizer.beta2 is 0.9, was 0.95"
    std::string text() const;
};
/// All of them, in the order of the keys.
std::vector<RecipeDifference> differences(const Recipe& now, const Recipe& before);

}  // namespace hadal::train

#include "train/recipe_keys.h"

#include <cmath>
#include <cstdlib>

namespace hadal::train {

namespace {

void add_run(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "run.stage",
                    .target = &r.run.stage,
                    .unit = "name",
                    .help = "what kind of training",
                    .choices = {"pretrain"}});
    keys.push_back({.name = "run.out",
                    .target = &r.run.out,
                    .unit = "directory",
                    .help = "where everything of this run is written",
                    .may_change = true});
    keys.push_back({.name = "run.seed",
                    .target = &r.run.seed,
                    .unit = "number",
                    .help = "of weights and of the samples' order"});
    keys.push_back({.name = "run.steps",
                    .target = &r.run.steps,
                    .unit = "steps",
                    .help = "length of the run; or give run.tokens",
                    .may_change = true});
    keys.push_back({.name = "run.tokens",
                    .target = &r.run.tokens,
                    .unit = "tokens",
                    .help = "length of the run; or give run.steps",
                    .may_change = true});
    keys.push_back({.name = "run.dtype",
                    .target = &r.run.dtype,
                    .unit = "type",
                    .help = "of the arithmetic; masters are f32 always",
                    .choices = {"bf16", "f32"}});
}

void add_data(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "data.corpus",
                    .target = &r.data.corpus,
                    .unit = "directory",
                    .help = "what hadal data pack wrote; or give the single sets below",
                    .may_change = true});
    keys.push_back({.name = "data.train",
                    .target = &r.data.train,
                    .unit = "paths",
                    .help = "packed token ids, each without .bin/.idx",
                    .may_change = true});
    keys.push_back({.name = "data.weights",
                    .target = &r.data.weights,
                    .unit = "shares",
                    .help = "of the samples, one for each of data.train; empty: equal"});
    keys.push_back({.name = "data.validation",
                    .target = &r.data.validation,
                    .unit = "paths",
                    .help = "packed token ids of the validation loss; empty: none",
                    .may_change = true});
    keys.push_back(
        {.name = "data.tokenizer",
         .target = &r.data.tokenizer,
         .unit = "directory",
         .help = "a directory or its tokenizer.json: tokenizer*.json go into the exported model",
         .may_change = true});
    keys.push_back({.name = "data.seq_len",
                    .target = &r.data.seq_len,
                    .unit = "tokens",
                    .help = "of one sequence",
                    .minimum = 2,
                    .maximum = 1 << 20});
    keys.push_back({.name = "data.random",
                    .target = &r.data.random,
                    .unit = "true|false",
                    .help = "uniformly random ids instead of data, for speed measurements"});
}

void add_batch(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "batch.sequences",
                    .target = &r.batch.sequences,
                    .unit = "sequences",
                    .help = "of one step",
                    .minimum = 1,
                    .maximum = 1 << 20});
    keys.push_back(
        {.name = "batch.micro_batch",
         .target = &r.batch.micro_batch,
         .unit = "sequences",
         .help = "computed at a time; sets the activation memory, and divides batch.sequences",
         .minimum = 1,
         .maximum = 1 << 20});
    keys.push_back({.name = "batch.ramp_from",
                    .target = &r.batch.ramp_from,
                    .unit = "sequences",
                    .help = "of the first steps, growing to batch.sequences; 0: no ramp",
                    .maximum = 1 << 20});
    keys.push_back({.name = "batch.ramp_until",
                    .target = &r.batch.ramp_until,
                    .unit = "position",
                    .help = "end of the ramp",
                    .is_position = true});
}

void add_optimizer(Recipe& r, std::vector<RecipeKey>& keys) {
    constexpr double kBelowOne = 1 - 1e-12;
    keys.push_back({.name = "optimizer.beta1",
                    .target = &r.optimizer.beta1,
                    .unit = "factor",
                    .help = "of the mean of gradients",
                    .maximum = kBelowOne});
    keys.push_back({.name = "optimizer.beta2",
                    .target = &r.optimizer.beta2,
                    .unit = "factor",
                    .help = "of the mean of squared gradients",
                    .maximum = kBelowOne});
    keys.push_back({.name = "optimizer.epsilon",
                    .target = &r.optimizer.epsilon,
                    .unit = "number",
                    .help = "added to the root of the mean square",
                    .minimum = 1e-30,
                    .maximum = 1});
    keys.push_back({.name = "optimizer.weight_decay",
                    .target = &r.optimizer.weight_decay,
                    .unit = "factor",
                    .help = "decoupled, times the learning rate",
                    .maximum = 100});
    keys.push_back({.name = "optimizer.moments",
                    .target = &r.optimizer.moments,
                    .unit = "type",
                    .help = "of the two means; bf16 halves their memory, masters stay f32",
                    .choices = {"f32", "bf16"}});
    keys.push_back({.name = "optimizer.decay",
                    .target = &r.optimizer.decay,
                    .unit = "name",
                    .help = "what decays: matrices (not norms), or all",
                    .choices = {"matrices", "all"}});
    keys.push_back({.name = "optimizer.clip_norm",
                    .target = &r.optimizer.clip_norm,
                    .unit = "norm",
                    .help = "largest global norm of the gradients; 0: no limit",
                    .maximum = 1e9});
}

void add_guard(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "guard.window",
                    .target = &r.guard.window,
                    .unit = "steps",
                    .help = "whose losses and gradient norms the next is compared with; 0: never",
                    .maximum = 100'000});
    keys.push_back({.name = "guard.threshold",
                    .target = &r.guard.threshold,
                    .unit = "deviations",
                    .help = "above the median that make a spike; one is 1.4826 median distances",
                    .minimum = 1,
                    .maximum = 1e9});
    keys.push_back(
        {.name = "guard.skip_spikes",
         .target = &r.guard.skip_spikes,
         .unit = "true|false",
         .help = "change no weight in a step that spikes; what is not finite never does"});
    keys.push_back({.name = "guard.max_skipped_run",
                    .target = &r.guard.max_skipped_run,
                    .unit = "steps",
                    .help = "skipped one after the other end the run; 0: never",
                    .maximum = 1e9});
    keys.push_back({.name = "guard.max_records",
                    .target = &r.guard.max_records,
                    .unit = "steps",
                    .help = "recorded in RUN/spikes for --replay; further ones are only counted",
                    .maximum = 1e6,
                    .may_change = true});
    keys.push_back({.name = "guard.save_state",
                    .target = &r.guard.save_state,
                    .unit = "true|false",
                    .help = "with each record a snapshot of before the step: replay starts at once",
                    .may_change = true});
}

void add_learning_rate(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "learning_rate.peak",
                    .target = &r.learning_rate.peak,
                    .unit = "rate",
                    .help = "after the warm-up",
                    .maximum = 10});
    keys.push_back({.name = "learning_rate.warmup_steps",
                    .target = &r.learning_rate.warmup_steps,
                    .unit = "steps",
                    .help = "linear from 0 to peak",
                    .maximum = 1e12});
    keys.push_back({.name = "learning_rate.constant_until",
                    .target = &r.learning_rate.constant_until,
                    .unit = "position",
                    .help = "peak until here",
                    .is_position = true});
    keys.push_back({.name = "learning_rate.cosine_until",
                    .target = &r.learning_rate.cosine_until,
                    .unit = "position",
                    .help = "then along a half cosine to `low`",
                    .is_position = true});
    keys.push_back({.name = "learning_rate.low",
                    .target = &r.learning_rate.low,
                    .unit = "rate",
                    .help = "after the cosine",
                    .maximum = 10});
    keys.push_back({.name = "learning_rate.last_from",
                    .target = &r.learning_rate.last_from,
                    .unit = "position",
                    .help = "`last` from here to the end",
                    .is_position = true});
    keys.push_back({.name = "learning_rate.last",
                    .target = &r.learning_rate.last,
                    .unit = "rate",
                    .help = "of the run's last part",
                    .maximum = 10});
}

void add_balance(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "balance.bias_rate",
                    .target = &r.balance.bias_rate,
                    .unit = "bias",
                    .help = "γ: change of each expert's selection bias per step",
                    .maximum = 1});
    keys.push_back({.name = "balance.bias_until",
                    .target = &r.balance.bias_until,
                    .unit = "position",
                    .help = "γ is 0 from here on",
                    .is_position = true});
    keys.push_back({.name = "balance.alpha",
                    .target = &r.balance.alpha,
                    .unit = "weight",
                    .help = "α of the sequence-wise balance loss, eq. 17",
                    .maximum = 10});
    keys.push_back({.name = "balance.starved_steps",
                    .target = &r.balance.starved_steps,
                    .unit = "steps",
                    .help = "below a sixteenth of the mean load make an expert starved; 0: never",
                    .maximum = 1e9});
    keys.push_back({.name = "mtp.weight",
                    .target = &r.mtp.weight,
                    .unit = "weight",
                    .help = "λ of the multi-token prediction loss, eq. 25; 0: not computed",
                    .maximum = 10});
    keys.push_back({.name = "mtp.late_weight",
                    .target = &r.mtp.late_weight,
                    .unit = "weight",
                    .help = "λ from mtp.late_from on",
                    .maximum = 10});
    keys.push_back({.name = "mtp.late_from",
                    .target = &r.mtp.late_from,
                    .unit = "position",
                    .help = "where λ changes",
                    .is_position = true});
}

void add_precision(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "precision.linear",
                    .target = &r.fp8.linear,
                    .unit = "name",
                    .help = "products of linear layers: dtype (as run.dtype), or fp8",
                    .choices = {"dtype", "fp8"}});
    keys.push_back({.name = "precision.activations",
                    .target = &r.fp8.activations,
                    .unit = "tile",
                    .help = "of values that share a scale, with precision.linear = fp8",
                    .choices = {"1x128", "1x32", "tensor"}});
    keys.push_back({.name = "precision.weights",
                    .target = &r.fp8.weights,
                    .unit = "tile",
                    .help = "the same; 1x32 tiles have powers of two as scales (MXFP8)",
                    .choices = {"128x128", "1x32", "tensor"}});
    keys.push_back({.name = "precision.gradients",
                    .target = &r.fp8.gradients,
                    .unit = "tile",
                    .help = "the same, of the gradients of linear layers' outputs",
                    .choices = {"1x128", "1x32", "128x128", "tensor"}});
    keys.push_back({.name = "precision.gradient_format",
                    .target = &r.fp8.gradient_format,
                    .unit = "name",
                    .help = "of these gradients: e4m3 as the report, or e5m2",
                    .choices = {"e4m3", "e5m2"}});
}

void add_memory(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back(
        {.name = "memory.recompute",
         .target = &r.memory.recompute,
         .unit = "true|false",
         .help = "backward computes norms, up-projections, SwiGLU again; with fp8 always",
         .may_change = true});
}

void add_outputs(Recipe& r, std::vector<RecipeKey>& keys) {
    keys.push_back({.name = "validation.every",
                    .target = &r.validation.every,
                    .unit = "steps",
                    .help = "between validation losses; 0: only first and last",
                    .may_change = true});
    keys.push_back({.name = "validation.sequences",
                    .target = &r.validation.sequences,
                    .unit = "sequences",
                    .help = "of one validation loss; 0: all",
                    .may_change = true});
    keys.push_back({.name = "snapshot.every",
                    .target = &r.snapshot.every,
                    .unit = "steps",
                    .help = "between snapshots; 0: only the last",
                    .may_change = true});
    keys.push_back({.name = "snapshot.keep",
                    .target = &r.snapshot.keep,
                    .unit = "snapshots",
                    .help = "that stay on the disk, the newest",
                    .minimum = 1,
                    .maximum = 1e6,
                    .may_change = true});
    keys.push_back({.name = "snapshot.keep_every",
                    .target = &r.snapshot.keep_every,
                    .unit = "steps",
                    .help = "snapshots of multiples of it stay for ever; 0: none",
                    .may_change = true});
    keys.push_back({.name = "snapshot.background",
                    .target = &r.snapshot.background,
                    .unit = "true|false",
                    .help = "written from a copy while training goes on; false saves its memory",
                    .may_change = true});
    keys.push_back({.name = "snapshot.max_failures",
                    .target = &r.snapshot.max_failures,
                    .unit = "snapshots",
                    .help = "that fail one after the other end the run; 0: never",
                    .maximum = 1e9,
                    .may_change = true});
    keys.push_back({.name = "ema.decay",
                    .target = &r.ema.decay,
                    .unit = "factor",
                    .help = "of the moving average of the parameters, per step; 0: none",
                    .maximum = 1 - 1e-7});
    keys.push_back({.name = "ema.export",
                    .target = &r.ema.export_model,
                    .unit = "true|false",
                    .help = "write the average as model-ema/ at the end",
                    .may_change = true});
    keys.push_back({.name = "log.tensorboard",
                    .target = &r.log.tensorboard,
                    .unit = "true|false",
                    .help = "write events.out.tfevents.*",
                    .may_change = true});
    keys.push_back({.name = "log.log_axis",
                    .target = &r.log.log_axis,
                    .unit = "true|false",
                    .help = "logarithmic loss axis in loss.svg",
                    .may_change = true});
}

/// What shapes a run's course but not its parts: one may steer it, knowingly.
bool is_steering(std::string_view name) {
    if (name == "optimizer.moments") return false;  // of another type in the snapshot
    for (const std::string_view section :
         {"batch.", "optimizer.", "learning_rate.", "balance.", "mtp.", "ema."}) {
        if (name.starts_with(section)) return true;
    }
    return false;
}

}  // namespace

std::vector<RecipeKey> recipe_keys(Recipe& recipe) {
    std::vector<RecipeKey> keys;
    add_run(recipe, keys);
    add_data(recipe, keys);
    add_batch(recipe, keys);
    add_optimizer(recipe, keys);
    add_guard(recipe, keys);
    add_learning_rate(recipe, keys);
    add_balance(recipe, keys);
    add_precision(recipe, keys);
    add_memory(recipe, keys);
    add_outputs(recipe, keys);
    for (RecipeKey& key : keys) key.change_on_request = is_steering(key.name);
    return keys;
}

bool parse_position(std::string_view text, ParsedPosition& position) {
    const std::string copy(text);
    char* end = nullptr;
    const double number = std::strtod(copy.c_str(), &end);
    if (end == copy.c_str() || !std::isfinite(number) || number < 0) return false;
    const std::string_view unit = end;
    if (unit == "%") {
        position = {.tokens = 0, .share = number / 100};
        return number <= 100;
    }
    const double factor = unit.empty()  ? 1
                          : unit == "K" ? 1e3
                          : unit == "M" ? 1e6
                          : unit == "B" ? 1e9
                          : unit == "T" ? 1e12
                                        : 0;
    position = {.tokens = number * factor, .share = -1};
    return factor > 0 && position.tokens < 9e18;
}

}  // namespace hadal::train

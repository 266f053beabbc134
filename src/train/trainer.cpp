#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"
#include "core/random.h"
#include "model/rotary_scaling.h"
#include "ops/convert.h"
#include "optim/batch_size_schedule.h"
#include "optim/learning_rate.h"
#include "train/data_sources.h"

namespace hadal::train {

namespace {

/// Adds one micro-batch's result to the step's.
void accumulate(const model::LossResult& part, model::LossResult& whole) {
    whole.loss_sum += part.loss_sum;
    whole.targets += part.targets;
    whole.balance_loss += part.balance_loss;
    whole.mtp_loss_sum.resize(part.mtp_loss_sum.size());
    whole.mtp_targets.resize(part.mtp_targets.size());
    for (size_t k = 0; k < part.mtp_targets.size(); ++k) {
        whole.mtp_loss_sum[k] += part.mtp_loss_sum[k];
        whole.mtp_targets[k] += part.mtp_targets[k];
    }
    if (whole.expert_load.empty()) {
        whole.expert_load = part.expert_load;
        return;
    }
    for (size_t layer = 0; layer < part.expert_load.size(); ++layer) {
        for (size_t e = 0; e < part.expert_load[layer].size(); ++e) {
            whole.expert_load[layer][e] += part.expert_load[layer][e];
        }
    }
}

double mean_loss(const model::LossResult& result) {
    return result.loss_sum / double(std::max<int64_t>(1, result.targets));
}

std::optional<double> mean_mtp_loss(const model::LossResult& result) {
    double sum = 0;
    int64_t depths = 0;
    for (size_t k = 0; k < result.mtp_targets.size(); ++k) {
        if (result.mtp_targets[k] == 0) continue;
        sum += result.mtp_loss_sum[k] / double(result.mtp_targets[k]);
        ++depths;
    }
    if (depths == 0) return std::nullopt;
    return sum / double(depths);
}

nlohmann::ordered_json guard_json(const optim::GuardState& state) {
    return {{"skipped", state.skipped},
            {"skipped_run", state.skipped_run},
            {"spikes", state.spikes},
            {"losses", state.losses},  // written with all their digits
            {"norms", state.norms}};
}

optim::GuardState guard_of(const nlohmann::json& json) {
    return {.skipped = json.at("skipped").get<int64_t>(),
            .skipped_run = json.at("skipped_run").get<int64_t>(),
            .spikes = json.at("spikes").get<int64_t>(),
            .losses = json.at("losses").get<std::vector<double>>(),
            .norms = json.at("norms").get<std::vector<double>>()};
}

}  // namespace

Trainer::Trainer(Context& context, const Recipe& recipe)
    : context_(context),
      recipe_(recipe),
      guard_(recipe.guard_settings()),
      balance_(recipe.balance.starved_steps),
      tokenizer_(tokenizer_digest(recipe)) {
    DataSources sources = find_data(recipe_);
    if (!recipe_.data.random) {
        loader_ =
            std::make_unique<data::Loader>(std::move(sources.training), recipe_.data.seq_len,
                                           uint64_t(recipe_.run.seed), recipe_.model.vocab_size);
        sources_ = loader_->sources();
    }
    if (!sources.validation.empty()) {
        validation_ = std::make_unique<data::ValidationLoader>(
            sources.validation, recipe_.data.seq_len, recipe_.model.vocab_size);
    }
    init_model();
    gradients_ = model::zero_gradients(recipe_.model);
    collect_parameters();
    const bool with_mtp = recipe_.mtp.weight > 0 || recipe_.mtp.late_weight > 0;
    const int64_t tokens = recipe_.batch.micro_batch * recipe_.data.seq_len;
    saved_ =
        model::allocate_saved(recipe_.model, tokens, recipe_.precision(), with_mtp, model::owned);
    space_ = model::allocate_backward(recipe_.model, tokens, recipe_.precision(), with_mtp,
                                      model::owned);
}

void Trainer::init_model() {
    if (recipe_.init_from.empty()) {
        model_.weights = model::init_weights(context_, recipe_.model, recipe_.precision(),
                                             uint64_t(recipe_.run.seed));
    } else {
        const auto files = checkpoint::HuggingFace::open(recipe_.init_from);
        model::ModelConfig stored = recipe_.model;
        stored.packed_weights =
            model::stored_config(files).packed_weights;  // where its weights are
        model_.weights = model::load_weights(stored, files, recipe_.precision());
        // What was loaded may be a read-only view of the file.
        for (const model::Parameter& p : model::parameters(recipe_.model, model_.weights)) {
            *p.tensor = p.tensor->clone();
        }
        if (recipe_.model.tie_word_embeddings)
            model_.weights.lm_head.weight = model_.weights.embed_tokens;
        model::quantize_linears(context_, recipe_.model, recipe_.precision(), model_.weights);
    }
    model_.config = recipe_.model;
    model_.fp8 = recipe_.precision().fp8;
    model_.cos_sin = model::rotary_table(recipe_.model, recipe_.data.seq_len,
                                         model::statistics_dtype(recipe_.dtype()));
}

void Trainer::collect_parameters() {
    const auto weights = model::parameters(recipe_.model, model_.weights);
    const auto gradients = model::parameters(recipe_.model, gradients_);
    for (size_t i = 0; i < weights.size(); ++i) {
        if (weights[i].role == model::Role::router_bias) {
            router_biases_.emplace_back(weights[i].name, *weights[i].tensor);
            continue;
        }
        parameters_.push_back({.name = weights[i].name,
                               .parameter = *weights[i].tensor,
                               .gradient = *gradients[i].tensor,
                               .decay = recipe_.optimizer.decay == "all" ||
                                        model::has_weight_decay(weights[i].role)});
    }
    adamw_ = std::make_unique<optim::Adamw>(context_, parameters_, recipe_.adamw());
    if (recipe_.ema.decay > 0) {
        average_ = std::make_unique<optim::ParameterAverage>(adamw_->states(), recipe_.ema.decay);
    }
}

bool Trainer::finished() const {
    return recipe_.run.steps > 0 ? progress_.step >= recipe_.run.steps
                                 : progress_.tokens >= recipe_.run.tokens;
}

Tensor Trainer::samples(int64_t first, int64_t count) const {
    if (loader_) return loader_->samples(first, count);
    Tensor rows = Tensor::uninitialized({count, recipe_.data.seq_len + 1}, DType::i32);
    const auto vocab = uint64_t(recipe_.model.vocab_size);
    for (int64_t i = 0; i < count; ++i) {
        const auto row = rows.row<int32_t>(i);
        for (size_t t = 0; t < row.size(); ++t) {
            row[t] =
                int32_t(random_bits(uint64_t(recipe_.run.seed), uint64_t(first + i), t) % vocab);
        }
    }
    return rows;
}

model::LossOptions Trainer::loss_options(int64_t sequences) const {
    const bool late = progress_.tokens >= recipe_.tokens_at(recipe_.mtp.late_from);
    return {.main_scale = 1 / double(sequences * recipe_.data.seq_len),
            .mtp_weight = late ? recipe_.mtp.late_weight : recipe_.mtp.weight,
            .balance_alpha = recipe_.balance.alpha,
            .balance_scale = 1 / double(sequences)};
}

int64_t Trainer::next_sequences() const {
    return optim::batch_size(recipe_.batch_schedule(), progress_.tokens);
}

Tensor Trainer::next_samples() const {
    return samples(progress_.samples, next_sequences());
}

StepResult Trainer::compute_step() {
    using Clock = std::chrono::steady_clock;
    StepResult result;
    result.sequences = next_sequences();
    result.learning_rate =
        optim::learning_rate(recipe_.learning_rate_schedule(), progress_.step, progress_.tokens);
    const model::LossOptions options = loss_options(result.sequences);
    model::LossResult sums;
    for (int64_t done = 0; done < result.sequences; done += recipe_.batch.micro_batch) {
        const auto begin = Clock::now();
        const auto batch =
            model::make_batch(samples(progress_.samples + done, recipe_.batch.micro_batch));
        result.data_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
        accumulate(
            model::forward_backward(context_, model_, batch, options, saved_, space_, gradients_),
            sums);
    }
    result.loss = mean_loss(sums);
    result.mtp_loss = mean_mtp_loss(sums);
    result.balance_loss = sums.balance_loss;
    result.expert_load = std::move(sums.expert_load);
    result.verdict = guard_.inspect(context_, parameters_, result.loss);
    return result;
}

void Trainer::finish_step(StepResult& result) {
    update(result);
    guard_.record(result.verdict, result.loss);
    if (!result.verdict.skip) result.balance = balance_.update(result.expert_load);
    progress_.step += 1;
    progress_.samples += result.sequences;
    progress_.tokens += result.sequences * recipe_.data.seq_len;
}

StepResult Trainer::step() {
    StepResult result = compute_step();
    finish_step(result);
    return result;
}

void Trainer::update(const StepResult& result) {
    if (result.verdict.skip) {
        adamw_->discard_gradients();
        return;
    }
    if (average_) average_->wait();  // it reads the masters of the step before
    adamw_->step(context_, result.learning_rate, result.verdict.scale);
    model::quantize_linears(context_, recipe_.model, recipe_.precision(), model_.weights);
    if (average_) average_->update();
    const bool biased = recipe_.balance.bias_rate > 0 && !router_biases_.empty() &&
                        progress_.tokens < recipe_.tokens_at(recipe_.balance.bias_until);
    if (biased) {
        model::update_router_bias(recipe_.model, model_.weights, result.expert_load,
                                  recipe_.balance.bias_rate);
    }
}

std::optional<ValidationResult> Trainer::validate() {
    return validate(model_);
}

std::optional<ValidationResult> Trainer::validate_average() {
    if (!average_ || !validation_) return std::nullopt;
    return validate(average_model());
}

model::Model Trainer::average_model() {
    HADAL_ASSERT(average_ != nullptr);
    model::Model average = model_;
    average.weights = {};
    const auto now = model::parameters(recipe_.model, model_.weights);
    const auto averaged = model::parameters(recipe_.model, average.weights);
    const auto states = average_->states();  // in the order of the parameters
    size_t next = 0;
    for (size_t i = 0; i < averaged.size(); ++i) {
        if (averaged[i].role == model::Role::router_bias) {
            *averaged[i].tensor = *now[i].tensor;
            continue;
        }
        *averaged[i].tensor = Tensor::uninitialized(averaged[i].shape, now[i].tensor->dtype());
        ops::convert(context_, states[next++].average, *averaged[i].tensor);
    }
    if (recipe_.model.tie_word_embeddings)
        average.weights.lm_head.weight = average.weights.embed_tokens;
    model::quantize_linears(context_, recipe_.model, recipe_.precision(), average.weights);
    return average;
}

std::optional<ValidationResult> Trainer::validate(const model::Model& model) {
    if (!validation_) return std::nullopt;
    const int64_t available = validation_->windows();
    const int64_t wanted = recipe_.validation.sequences;
    const int64_t count = wanted == 0 ? available : std::min(available, wanted);
    model::LossOptions options = loss_options(count);
    options.mtp_weight = saved_.mtp.empty() ? 0 : 1;
    model::LossResult sums;
    for (int64_t done = 0; done < count; done += recipe_.batch.micro_batch) {
        const int64_t sequences = std::min(recipe_.batch.micro_batch, count - done);
        const auto batch = model::make_batch(validation_->samples(done, sequences));
        if (sequences == recipe_.batch.micro_batch) {
            accumulate(model::evaluate(context_, model, batch, options, saved_), sums);
        } else {
            model::Saved rest =
                model::allocate_saved(recipe_.model, sequences * recipe_.data.seq_len,
                                      recipe_.precision(), !saved_.mtp.empty(), model::owned);
            accumulate(model::evaluate(context_, model, batch, options, rest), sums);
        }
    }
    return ValidationResult{.loss = mean_loss(sums),
                            .mtp_loss = mean_mtp_loss(sums),
                            .sequences = count,
                            .expert_load = std::move(sums.expert_load)};
}

checkpoint::SnapshotContent Trainer::snapshot() const {
    checkpoint::SnapshotContent content{.step = progress_.step, .tensors = {}, .state = ""};
    const auto add = [&](const std::string& name, const Tensor& tensor) {
        content.tensors.emplace_back(name, tensor);
    };
    for (const optim::Adamw::State& state : adamw_->states()) {
        add("master." + state.name, state.master);
        add("m." + state.name, state.m);
        add("v." + state.name, state.v);
    }
    for (const auto& [name, bias] : router_biases_) add("bias." + name, bias);
    if (average_) {
        for (const auto& state : average_->states()) add("ema." + state.name, state.average);
    }
    nlohmann::ordered_json sources = nlohmann::json::array();
    for (const data::SourceIdentity& source : sources_) {
        sources.push_back({{"name", source.name},
                           {"tokens", source.tokens},
                           {"fingerprint", source.fingerprint}});
    }
    const nlohmann::ordered_json state = {
        {"step", progress_.step},        {"tokens", progress_.tokens},
        {"samples", progress_.samples},  {"data_fingerprint", data_fingerprint()},
        {"adam_steps", adamw_->steps()}, {"guard", guard_json(guard_.state())},
        {"starving", balance_.state()},  {"data", std::move(sources)},
        {"tokenizer", tokenizer_},       {"recipe", recipe_text(recipe_)},
    };
    content.state = state.dump(2) + "\n";
    return content;
}

void Trainer::check_same_run(const nlohmann::json& state, const std::string& where,
                             const ResumeOptions& options) const {
    const Recipe before = parse_recipe(state.at("recipe").get<std::string>(), where, {});
    check_same_recipe(recipe_, before, options, where);
    if (state.at("tokenizer").get<std::string>() != tokenizer_) {
        throw Error(Error::Kind::bad_input,
                    concat("the tokenizer is not the snapshot's: ", recipe_.data.tokenizer, ": ",
                           where, " (put back the tokenizer.json that the run began with)"));
    }
    if (!loader_) return;
    std::vector<data::SourceIdentity> sources;
    for (const auto& source : state.at("data")) {
        sources.push_back({.name = source.at("name").get<std::string>(),
                           .tokens = source.at("tokens").get<int64_t>(),
                           .fingerprint = source.at("fingerprint").get<uint64_t>()});
    }
    check_same_data(sources_, sources, where);
}

void Trainer::restore(const checkpoint::Snapshot& snapshot, const ResumeOptions& options) {
    const std::string where = snapshot.directory().string();
    try {
        const auto state = parse_json(snapshot.state(), where);
        check_same_run(state, where, options);
        if (loader_) {
            loader_->resume({.fingerprint = state.at("data_fingerprint").get<uint64_t>(),
                             .samples = state.at("samples").get<int64_t>()});
        }
        restore_tensors(snapshot, state.at("adam_steps").get<int64_t>());
        guard_.restore(guard_of(state.at("guard")));
        balance_.restore(state.at("starving").get<std::vector<std::vector<int64_t>>>());
        progress_ = {.step = state.at("step").get<int64_t>(),
                     .tokens = state.at("tokens").get<int64_t>(),
                     .samples = state.at("samples").get<int64_t>()};
    } catch (const nlohmann::json::exception& error) {
        throw Error(Error::Kind::corrupt_file,
                    concat("the snapshot's state.json lacks a value: ", where, ": ", error.what()));
    }
}

void Trainer::restore_tensors(const checkpoint::Snapshot& snapshot, int64_t adam_steps) {
    const auto fill = [&](const std::string& name, Tensor& tensor) {
        const Tensor stored = snapshot.load(name);
        if (stored.shape() != tensor.shape() || stored.dtype() != tensor.dtype()) {
            throw Error(
                Error::Kind::corrupt_file,
                concat("tensor '", name, "' of the snapshot is ", stored.shape().text(),
                       ", expected ", tensor.shape().text(), ": ", snapshot.directory().string()));
        }
        tensor.copy_from(stored);
    };
    for (optim::Adamw::State& state : adamw_->states()) {
        fill("master." + state.name, state.master);
        fill("m." + state.name, state.m);
        fill("v." + state.name, state.v);
    }
    for (auto& [name, bias] : router_biases_) fill("bias." + name, bias);
    adamw_->restored(context_, adam_steps);
    model::quantize_linears(context_, recipe_.model, recipe_.precision(), model_.weights);
    if (!average_) return;
    // A snapshot from before the average was asked for has none: it begins here.
    average_->restart();
    for (optim::ParameterAverage::State& state : average_->states()) {
        if (snapshot.contains("ema." + state.name)) fill("ema." + state.name, state.average);
    }
}

}  // namespace hadal::train

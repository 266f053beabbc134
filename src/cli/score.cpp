// `hadal score`: teacher-forced scores of given ids, and on request everything that a forward and
// backward pass computes, for comparison with other implementations.
#include "checkpoint/safetensors_writer.h"
#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/machine.h"
#include "cli/model_argument.h"
#include "cli/report.h"
#include "cli/token_ids.h"
#include "ops/convert.h"

namespace hadal::cli {

namespace {

using Sequences = std::vector<std::vector<int32_t>>;

/// Of --tokens; at least two ids each, as the first of a sequence is not scored.
Sequences read_sequences(const Arguments& arguments, int64_t vocab) {
    const std::string& source = arguments.text("--tokens");
    Sequences sequences = parse_token_sequences(file_content(arguments, "--tokens"), source, vocab);
    for (size_t i = 0; i < sequences.size(); ++i) {
        if (sequences[i].size() < 2) {
            throw Error(Error::Kind::bad_input,
                        concat(source, ": sequence ", i,
                               " has fewer than two tokens: there is nothing to score"));
        }
    }
    return sequences;
}

model::TokenBatch batch_of(const Sequences& sequences) {
    int64_t tokens = 0;
    model::TokenBatch batch;
    for (const auto& ids : sequences) {
        batch.starts.push_back(tokens);
        tokens += int64_t(ids.size());
    }
    batch.starts.push_back(tokens);
    batch.ids = Tensor::uninitialized({tokens}, DType::i32);
    batch.targets = Tensor::uninitialized({tokens}, DType::i32);
    batch.positions = Tensor::uninitialized({tokens}, DType::i32);
    size_t t = 0;
    for (const auto& ids : sequences) {
        for (size_t i = 0; i < ids.size(); ++i, ++t) {
            batch.ids.values<int32_t>()[t] = ids[i];
            batch.targets.values<int32_t>()[t] = i + 1 < ids.size() ? ids[i + 1] : -1;
            batch.positions.values<int32_t>()[t] = int32_t(i);
        }
    }
    return batch;
}

/// Named tensors to store; bf16 is widened so that every reader of safetensors can compare them.
class Dump {
  public:
    explicit Dump(Context& context) : context_(context) {}

    void add(std::string name, const Tensor& tensor) {
        Tensor wide = tensor.clone();
        if (tensor.dtype() == DType::bf16) {
            wide = Tensor::uninitialized(tensor.shape(), DType::f32);
            ops::convert(context_, tensor, wide);
        }
        specs_.push_back({name, wide.dtype(), wide.shape()});
        tensors_.emplace_back(std::move(name), std::move(wide));
    }
    void write(const std::filesystem::path& path) const {
        checkpoint::SafetensorsWriter writer(path, specs_);
        for (const auto& [name, tensor] : tensors_) writer.add(name, tensor);
        writer.finish();
    }

  private:
    Context& context_;
    std::vector<checkpoint::TensorSpec> specs_;
    std::vector<std::pair<std::string, Tensor>> tensors_;
};

void add_router(const std::string& prefix, const model::ExpertsSaved& moe, Dump& dump) {
    dump.add(prefix + "scores", moe.scores);
    dump.add(prefix + "topk_ids", moe.ids);
    dump.add(prefix + "topk_weights", moe.weights);
}

Tensor logits_of(Context& context, const model::Model& model, const Tensor& hidden) {
    Tensor logits = Tensor::uninitialized({hidden.shape()[0], model.config.vocab_size}, DType::f32);
    model::head_logits(context, model, hidden, logits);
    return logits;
}

void add_activations(Context& context, const model::Model& model, const model::Saved& saved,
                     Dump& dump) {
    const auto& layers = saved.layers;
    dump.add("hidden.embed", layers.front().x);
    for (size_t i = 0; i < layers.size(); ++i) {
        dump.add(concat("hidden.layer.", i),
                 i + 1 < layers.size() ? layers[i + 1].x : saved.hidden);
        if (model.config.is_moe_layer(int64_t(i)))
            add_router(concat("router.", i, "."), layers[i].moe, dump);
    }
    dump.add("hidden.final_norm", saved.normed);
    dump.add("logits", logits_of(context, model, saved.normed));
    for (size_t k = 0; k < saved.mtp.size(); ++k) {
        const std::string suffix = k == 0 ? "" : concat(".", k);
        dump.add("mtp_hidden" + suffix, saved.mtp[k].output);
        dump.add("mtp_logits" + suffix, logits_of(context, model, saved.mtp[k].normed));
    }
}

void add_gradients(const model::ModelConfig& config, model::Weights& gradients, Dump& dump) {
    for (const model::Parameter& parameter : model::parameters(config, gradients)) {
        if (!parameter.tensor->empty()) dump.add("grad." + parameter.name, *parameter.tensor);
    }
}

void report_sequences(const model::TokenBatch& batch, const Tensor& log_probabilities,
                      Report& report) {
    const auto values = log_probabilities.values<float>();
    for (size_t s = 0; s + 1 < batch.starts.size(); ++s) {
        std::vector<double> logprobs;
        double sum = 0;
        for (int64_t t = batch.starts[s]; t + 1 < batch.starts[s + 1]; ++t) {
            logprobs.push_back(values[size_t(t)]);
            sum += values[size_t(t)];
        }
        const double nll = -sum / double(logprobs.size());
        report.add_row("sequences", Record().add("nll", nll).add("logprobs", std::move(logprobs)));
    }
}

void run_score(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    Context& context = machine.context();
    const model::Model model = scored_model_argument(
        arguments, 0,
        arguments.flag("--gradients") ? std::optional(model::CodedWeights::as_values)
                                      : std::nullopt);
    const model::TokenBatch batch = batch_of(read_sequences(arguments, model.config.vocab_size));
    const bool mtp = arguments.flag("--mtp"), gradients_wanted = arguments.flag("--gradients");
    if (mtp && model.config.num_nextn_predict_layers == 0) {
        throw Error(Error::Kind::usage,
                    concat("--mtp: this model has no MTP module: ", arguments.text("MODEL")));
    }
    const int64_t tokens = batch.ids.count();
    const model::Precision precision = model::precision_of(model);
    model::Saved saved = model::allocate_saved(model.config, tokens, precision, mtp, model::owned);
    Tensor log_probabilities = Tensor::zeros({tokens}, DType::f32);
    const double targets = double(tokens) - double(batch.starts.size() - 1);
    const model::LossOptions options{.main_scale = 1 / targets, .mtp_weight = mtp ? 1.0 : 0.0};
    const model::LossResult result =
        model::evaluate(context, model, batch, options, saved, &log_probabilities);
    Dump dump(context);
    if (gradients_wanted) {
        model::Weights gradients = model::zero_gradients(model.config);
        model::BackwardSpace space =
            model::allocate_backward(model.config, tokens, precision, mtp, model::owned);
        model::forward_backward(context, model, batch, options, saved, space, gradients);
        add_gradients(model.config, gradients, dump);
    }
    if (arguments.has("--out")) {
        add_activations(context, model, saved, dump);
        dump.write(arguments.path("--out"));
    }
    report_sequences(batch, log_probabilities, report);
    report.add("nll", result.loss_sum / double(result.targets));
    report.add("tokens", result.targets);
    for (size_t k = 0; k < result.mtp_loss_sum.size(); ++k) {
        report.add(concat("mtp_nll_", k + 1),
                   result.mtp_loss_sum[k] / double(std::max<int64_t>(result.mtp_targets[k], 1)));
    }
}

}  // namespace

extern const Command kScore = {
    .name = "score",
    .group = Group::evaluation,
    .summary =
        "Log-probabilities of given token ids; hidden states, router choices and gradients on "
        "request",
    .example = "echo '[[0,5,7,9]]' | hadal score models/mini --tokens - --json",
    .options =
        {
            {.name = "MODEL", .help = "a model directory", .required = true},
            {.name = "--tokens",
             .value = "FILE",
             .help = "JSON [[ids…], …]; - for standard input",
             .required = true},
            {.name = "--out",
             .value = "FILE",
             .help = "safetensors file for logits, hidden states, router tensors"},
            {.name = "--gradients",
             .help = "store the gradient of the mean loss for every parameter too"},
            {.name = "--mtp", .help = "run the MTP modules too"},
            fp8_option(),
        },
    .run = run_score,
};

}  // namespace hadal::cli

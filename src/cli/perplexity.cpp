// `hadal perplexity`: how well a model predicts a text.
#include <algorithm>
#include <cmath>

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/text_model.h"
#include "core/file_map.h"

namespace hadal::cli {

namespace {

/// Windows of `context` tokens one after another; each is scored on its own, after a BOS token
/// where the model has one.
void run_perplexity(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    Context& context = machine.context();
    const TextModel text_model =
        text_model_argument(arguments, arguments.integer("--context", 2, INT32_MAX));
    const model::Model& model = text_model.model;
    const int64_t window = arguments.integer("--context", 2, model.config.max_position_embeddings);
    const std::string text = read_file(arguments.path("--text"));
    const std::vector<int32_t> ids = text_model.tokenizer.encode(text);
    const auto bos = text_model.tokenizer.bos_id();
    const int64_t lead = bos ? 1 : 0;
    if (int64_t(ids.size()) + lead < 2) {
        throw Error(Error::Kind::bad_input, concat("nothing to score: ", arguments.text("--text"),
                                                   " has fewer than two tokens"));
    }
    model::Saved saved;
    int64_t allocated = 0, targets = 0;
    double loss = 0;
    for (size_t begin = 0; begin < ids.size();) {
        const int64_t count = std::min<int64_t>(window + 1 - lead, int64_t(ids.size() - begin));
        if (count + lead < 2) break;  // one token left over has nothing before it
        Tensor row = Tensor::uninitialized({1, count + lead}, DType::i32);
        if (bos) row.values<int32_t>()[0] = *bos;
        std::copy_n(ids.begin() + int64_t(begin), count, row.values<int32_t>().begin() + lead);
        const model::TokenBatch batch = model::make_batch(row);
        if (batch.ids.count() != allocated) {
            allocated = batch.ids.count();
            saved = model::allocate_saved(model.config, allocated,
                                          model.weights.embed_tokens.dtype(), false, model::owned);
        }
        const model::LossResult result = model::evaluate(context, model, batch, {}, saved);
        loss += result.loss_sum;
        targets += result.targets;
        begin += size_t(count);
    }
    const double nll = loss / double(targets);
    report.add("nll", nll);
    report.add("perplexity", std::exp(nll));
    report.add("tokens", targets);
    report.add("bits_per_byte", loss / std::log(2.0) / double(text.size()));
}

}  // namespace

extern const Command kPerplexity = {
    .name = "perplexity",
    .group = Group::evaluation,
    .summary = "How well a model predicts a text",
    .example = "hadal perplexity runs/demo/train/model --text README.md",
    .options =
        {
            {.name = "MODEL", .help = "a model directory", .required = true},
            {.name = "--text", .value = "FILE", .help = "the text", .required = true},
            {.name = "--context", .value = "N", .help = "tokens of one window", .fallback = "512"},
        },
    .run = run_perplexity,
};

}  // namespace hadal::cli

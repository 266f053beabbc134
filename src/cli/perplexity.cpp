// `hadal perplexity`: how well a model predicts a text.
#include <cmath>

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/model_argument.h"
#include "cli/report.h"
#include "cli/text_model.h"
#include "core/file_map.h"
#include "eval/perplexity.h"

namespace hadal::cli {

namespace {

void run_perplexity(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    const std::string text = read_file(arguments.path("--text"));
    const TextModel text_model = with_tokenizer(
        scored_model_argument(arguments, arguments.integer("--context", 2, INT32_MAX)),
        arguments.path("MODEL"));
    const int64_t window =
        arguments.integer("--context", 2, text_model.model.config.max_position_embeddings);
    const eval::TextScore score =
        eval::score_text(machine.context(), text_model.model, text_model.tokenizer, text, window);
    report.add("nll", score.nll());
    report.add("perplexity", std::exp(score.nll()));
    report.add("tokens", score.targets);
    report.add("bits_per_byte", score.loss / std::log(2.0) / double(text.size()));
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
            fp8_option(),
        },
    .run = run_perplexity,
};

}  // namespace hadal::cli

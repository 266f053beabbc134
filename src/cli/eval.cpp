// `hadal eval`: benchmark protocols.
#include "eval/exact_match.h"

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/text_model.h"

namespace hadal::cli {

namespace {

void run_eval(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    const std::vector<eval::ExactMatchItem> items =
        eval::read_exact_match_items(arguments.path("--data"));
    const TextModel text_model = text_model_argument(arguments);
    const auto scores = eval::exact_match(machine.context(), text_model.model, text_model.tokenizer,
                                          items, arguments.integer("--max-tokens", 1));
    for (const eval::ExactMatchScore& score : scores) {
        report.add_row("tasks", Record()
                                    .add("task", score.task)
                                    .add("metric", "exact_match")
                                    .add("value", score.value())
                                    .add("stderr", score.standard_error())
                                    .add("n", score.count));
    }
}

}  // namespace

extern const Command kEval = {
    .name = "eval",
    .group = Group::evaluation,
    .summary = "Exact match of greedy answers, per task",
    .example = "hadal eval runs/demo/train/model --data runs/demo/corpus/evaluation.jsonl",
    .options =
        {
            {.name = "MODEL", .help = "a model directory", .required = true},
            {.name = "--data",
             .value = "FILE",
             .help = "JSONL of {\"prompt\", \"answer\", \"task\"}",
             .required = true},
            {.name = "--max-tokens",
             .value = "N",
             .help = "longest answer",
             .fallback = "40",
             .letter = 'n'},
        },
    .run = run_eval,
};

}  // namespace hadal::cli

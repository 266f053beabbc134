#include "eval/perplexity.h"

#include "eval/text_windows.h"

namespace hadal::eval {

TextScore score_text(Context& context, const model::Model& model, const text::Tokenizer& tokenizer,
                     std::string_view text, int64_t window) {
    ForwardMemory memory(model);
    TextScore score;
    each_window(tokenizer, text, window, [&](const model::TokenBatch& batch) {
        const model::LossResult result =
            model::evaluate(context, model, batch, {}, memory.of(batch.ids.count()));
        score.loss += result.loss_sum;
        score.targets += result.targets;
    });
    return score;
}

}  // namespace hadal::eval

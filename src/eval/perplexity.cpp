#include "eval/perplexity.h"

#include <algorithm>
#include <vector>

namespace hadal::eval {

TextScore score_text(Context& context, const model::Model& model, const text::Tokenizer& tokenizer,
                     std::string_view text, int64_t window) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    const auto bos = tokenizer.bos_id();
    const int64_t lead = bos ? 1 : 0;
    if (int64_t(ids.size()) + lead < 2)
        throw Error(Error::Kind::bad_input, "nothing to score: the text has fewer than two tokens");
    const model::Precision precision = model::precision_of(model);
    model::Saved saved;
    int64_t allocated = 0;
    TextScore score;
    for (size_t begin = 0; begin < ids.size();) {
        const int64_t count = std::min<int64_t>(window + 1 - lead, int64_t(ids.size() - begin));
        if (count + lead < 2) break;  // one token left over has nothing before it
        Tensor row = Tensor::uninitialized({1, count + lead}, DType::i32);
        if (bos) row.values<int32_t>()[0] = *bos;
        std::copy_n(ids.begin() + int64_t(begin), count, row.values<int32_t>().begin() + lead);
        const model::TokenBatch batch = model::make_batch(row);
        if (batch.ids.count() != allocated) {
            allocated = batch.ids.count();
            saved = model::allocate_saved(model.config, allocated, precision, false, model::owned);
        }
        const model::LossResult result = model::evaluate(context, model, batch, {}, saved);
        score.loss += result.loss_sum;
        score.targets += result.targets;
        begin += size_t(count);
    }
    return score;
}

}  // namespace hadal::eval

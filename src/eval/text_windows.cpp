#include "eval/text_windows.h"

#include <algorithm>
#include <vector>

namespace hadal::eval {

void each_window(const text::Tokenizer& tokenizer, std::string_view text, int64_t window,
                 const std::function<void(const model::TokenBatch&)>& measure) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    const auto bos = tokenizer.bos_id();
    const int64_t lead = bos ? 1 : 0;
    if (int64_t(ids.size()) + lead < 2)
        throw Error(Error::Kind::bad_input, "nothing to score: the text has fewer than two tokens");
    for (size_t begin = 0; begin < ids.size();) {
        const int64_t count = std::min<int64_t>(window + 1 - lead, int64_t(ids.size() - begin));
        if (count + lead < 2) break;  // one token left over has nothing before it
        Tensor row = Tensor::uninitialized({1, count + lead}, DType::i32);
        if (bos) row.values<int32_t>()[0] = *bos;
        std::copy_n(ids.begin() + int64_t(begin), count, row.values<int32_t>().begin() + lead);
        measure(model::make_batch(row));
        begin += size_t(count);
    }
}

model::Saved& ForwardMemory::of(int64_t tokens) {
    if (tokens != tokens_) {
        tokens_ = tokens;
        saved_ = model::allocate_saved(model_.config, tokens, model::precision_of(model_), false,
                                       model::owned);
    }
    return saved_;
}

}  // namespace hadal::eval

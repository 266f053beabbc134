#include "infer/text_prompt.h"

#include <algorithm>

namespace hadal::infer {

std::vector<int32_t> prompt_ids(const text::Tokenizer& tokenizer, std::string_view text,
                                bool parse_special) {
    std::vector<int32_t> ids;
    if (tokenizer.add_bos() && tokenizer.bos_id()) ids.push_back(*tokenizer.bos_id());
    const std::vector<int32_t> rest = tokenizer.encode(text, parse_special);
    ids.insert(ids.end(), rest.begin(), rest.end());
    return ids;
}

GenerateOptions text_options(const model::ModelConfig& config, const text::Tokenizer& tokenizer) {
    GenerateOptions options{.num_ids = tokenizer.vocab_size()};
    const auto add = [&](int32_t id) {
        if (std::ranges::find(options.stop_ids, id) == options.stop_ids.end())
            options.stop_ids.push_back(id);
    };
    for (const int64_t id : config.eos_token_ids) add(int32_t(id));
    if (const auto eos = tokenizer.eos_id()) add(*eos);
    return options;
}

std::shared_ptr<const grammar::Vocabulary> grammar_vocabulary(const text::Tokenizer& tokenizer) {
    std::vector<std::string> tokens(size_t(tokenizer.vocab_size()));
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
        if (!tokenizer.is_special(id)) tokens[size_t(id)] = tokenizer.token_bytes(id);
    }
    return std::make_shared<const grammar::Vocabulary>(std::move(tokens));
}

}  // namespace hadal::infer

#include "serve/grammar_cache.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "grammar/ebnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "infer/text_prompt.h"
#include "serve/api_error.h"

namespace hadal::serve {

namespace {

grammar::Grammar grammar_of(const TextFormat& format) {
    switch (format.kind) {
        case TextFormat::Kind::json_schema:
            return grammar::json_schema_grammar(format.source);
        case TextFormat::Kind::regex:
            return {.rules = {{"root", grammar::parse_regex(format.source)}}};
        case TextFormat::Kind::ebnf:
            return grammar::parse_ebnf(format.source);
        case TextFormat::Kind::json_object:
        case TextFormat::Kind::any:
            break;
    }
    return grammar::json_object_grammar();
}

}  // namespace

std::shared_ptr<const grammar::Vocabulary> GrammarCache::vocabulary() {
    const std::lock_guard lock(mutex_);
    if (vocabulary_ == nullptr) vocabulary_ = infer::grammar_vocabulary(tokenizer_);
    return vocabulary_;
}

std::shared_ptr<grammar::TokenMasks> GrammarCache::masks(const TextFormat& format) {
    if (format.kind == TextFormat::Kind::any) return nullptr;
    const std::string key = concat(int(format.kind), ":", format.source);
    {
        const std::lock_guard lock(mutex_);
        const auto found = kept_.find(key);
        if (found != kept_.end()) {
            found->second.used = ++time_;
            return found->second.masks;
        }
    }
    std::shared_ptr<grammar::TokenMasks> masks;
    try {
        masks = std::make_shared<grammar::TokenMasks>(vocabulary(),
                                                      grammar::compile(grammar_of(format)));
    } catch (const Error& error) {
        throw ApiError::field(format.param, error.what());
    }
    const std::lock_guard lock(mutex_);
    if (kept_.size() >= kKept) {
        kept_.erase(std::ranges::min_element(kept_, {},
                                             [](const auto& entry) { return entry.second.used; }));
    }
    kept_.emplace(key, Kept{masks, ++time_});
    return masks;
}

}  // namespace hadal::serve

#include "serve/grammar_cache.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "grammar/ebnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
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

std::shared_ptr<const grammar::Vocabulary> GrammarCache::vocabulary(bool with_marks) {
    const std::lock_guard lock(mutex_);
    auto& vocabulary = vocabularies_[with_marks ? 1 : 0];
    if (vocabulary != nullptr) return vocabulary;
    std::vector<std::string> tokens(size_t(tokenizer_.vocab_size()));
    for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
        if (with_marks) {
            tokens[size_t(id)] = marks_.token_bytes(id);
        } else if (!tokenizer_.is_special(id)) {
            tokens[size_t(id)] = tokenizer_.token_bytes(id);
        }
    }
    vocabulary = std::make_shared<const grammar::Vocabulary>(std::move(tokens));
    return vocabulary;
}

GrammarCache::Masks GrammarCache::find(const std::string& key, const std::string& param,
                                       bool with_marks,
                                       const std::function<grammar::Grammar()>& make) {
    {
        const std::lock_guard lock(mutex_);
        const auto found = kept_.find(key);
        if (found != kept_.end()) {
            found->second.used = ++time_;
            return found->second.masks;
        }
    }
    Masks masks;
    try {
        masks =
            std::make_shared<grammar::TokenMasks>(vocabulary(with_marks), grammar::compile(make()));
    } catch (const Error& error) {
        throw ApiError::field(param, error.what());
    }
    const std::lock_guard lock(mutex_);
    if (kept_.size() >= kKept) {
        kept_.erase(std::ranges::min_element(kept_, {},
                                             [](const auto& entry) { return entry.second.used; }));
    }
    kept_.emplace(key, Kept{masks, ++time_});
    return masks;
}

GrammarCache::Masks GrammarCache::masks(const TextFormat& format) {
    if (format.kind == TextFormat::Kind::any) return nullptr;
    return find(concat(int(format.kind), ":", format.source), format.param, false,
                [&] { return grammar_of(format); });
}

GrammarCache::Masks GrammarCache::calls(std::span<const chat::Function> functions, bool parallel) {
    return find_calls("calls:", chat::call_grammar, functions, parallel);
}

GrammarCache::Masks GrammarCache::begun_calls(std::span<const chat::Function> functions,
                                              bool parallel) {
    return find_calls("begun calls:", chat::begun_call_grammar, functions, parallel);
}

GrammarCache::Masks GrammarCache::find_calls(std::string key, CallGrammar make,
                                             std::span<const chat::Function> functions,
                                             bool parallel) {
    key += concat(parallel);
    for (const chat::Function& function : functions) {
        key += concat("\n", function.name, "\n", function.schema);
    }
    return find(key, "tools", true, [&] { return make(marks_.format(), functions, parallel); });
}

}  // namespace hadal::serve

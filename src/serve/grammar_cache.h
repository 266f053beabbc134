// Compiled grammars, the ones used last kept: clients send the same schema with every request.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "chat/call_grammar.h"
#include "chat/mark_tokens.h"
#include "grammar/token_mask.h"
#include "serve/openai_request.h"
#include "text/tokenizer.h"

namespace hadal::serve {

class GrammarCache {
  public:
    /// `format`: of the tool calls that may be asked for.
    GrammarCache(const text::Tokenizer& tokenizer, const chat::Format& format)
        : tokenizer_(tokenizer), marks_(tokenizer, format) {}

    // Slow the first time: for a worker's thread, never for the engine's. From any thread. ApiError
    // names the field that a grammar came from.

    /// Null for a text of any form.
    std::shared_ptr<grammar::TokenMasks> masks(const TextFormat& format);
    /// Of calls of these functions, at least one.
    std::shared_ptr<grammar::TokenMasks> calls(std::span<const chat::Function> functions,
                                               bool parallel);
    /// The same behind the mark that begins them.
    std::shared_ptr<grammar::TokenMasks> begun_calls(std::span<const chat::Function> functions,
                                                     bool parallel);

    static constexpr size_t kKept = 32;

  private:
    using Masks = std::shared_ptr<grammar::TokenMasks>;
    using CallGrammar = grammar::Grammar (*)(const chat::Format&, std::span<const chat::Function>,
                                             bool);
    Masks find_calls(std::string key, CallGrammar make, std::span<const chat::Function> functions,
                     bool parallel);
    /// Kept under the key, or made.
    Masks find(const std::string& key, const std::string& param, bool with_marks,
               const std::function<grammar::Grammar()>& make);
    std::shared_ptr<const grammar::Vocabulary> vocabulary(bool with_marks);

    const text::Tokenizer& tokenizer_;
    chat::MarkTokens marks_;
    std::mutex mutex_;
    // Made when they are first needed: without special tokens, and with those that mark calls.
    std::array<std::shared_ptr<const grammar::Vocabulary>, 2> vocabularies_;
    struct Kept {
        Masks masks;
        uint64_t used;
    };
    std::map<std::string, Kept> kept_;
    uint64_t time_ = 0;
};

}  // namespace hadal::serve

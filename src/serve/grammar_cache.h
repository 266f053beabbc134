// Compiled grammars, the ones used last kept: clients send the same schema with every request.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "grammar/token_mask.h"
#include "serve/openai_request.h"
#include "text/tokenizer.h"

namespace hadal::serve {

class GrammarCache {
  public:
    explicit GrammarCache(const text::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

    /// Null for a text of any form. ApiError names the field that it came from. Slow the first
    /// time: for a worker's thread, never for the engine's. From any thread.
    std::shared_ptr<grammar::TokenMasks> masks(const TextFormat& format);

    static constexpr size_t kKept = 32;

  private:
    std::shared_ptr<const grammar::Vocabulary> vocabulary();

    const text::Tokenizer& tokenizer_;
    std::mutex mutex_;
    std::shared_ptr<const grammar::Vocabulary> vocabulary_;  // made when it is first needed
    struct Kept {
        std::shared_ptr<grammar::TokenMasks> masks;
        uint64_t used;
    };
    std::map<std::string, Kept> kept_;
    uint64_t time_ = 0;
};

}  // namespace hadal::serve

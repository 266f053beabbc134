// The marks of a format as a model writes them: where its tokenizer has a token for a mark, that
// token and no spelling of it. A text that has to call could begin with "<" as well, and the model
// would write twenty tokens of a kind that it never saw in training.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "chat/format.h"
#include "text/tokenizer.h"

namespace hadal::chat {

class MarkTokens {
  public:
    /// The tokenizer outlives this.
    MarkTokens(const text::Tokenizer& tokenizer, const Format& format);
    MarkTokens(const MarkTokens&) = delete;
    MarkTokens& operator=(const MarkTokens&) = delete;

    /// For a grammar: a byte that no text has stands before each special token in a mark.
    const Format& format() const {
        return format_;
    }
    /// What a token writes in such a grammar; "" for one that can be no part of a call.
    std::string token_bytes(int32_t id) const;

    static constexpr char kSpecial = '\xfe';  // never in UTF-8

  private:
    bool is_part_of_mark(int32_t id) const;

    const text::Tokenizer& tokenizer_;
    Format format_;
    std::array<std::string, 5> marks_;  // what format_ looks at
};

}  // namespace hadal::chat

// From tokens to the text a reader sees: whole characters only, and nothing of a stop string.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace hadal::infer {

class TextStream {
  public:
    /// The text ends before the first of `stops` that it contains, across the borders of tokens.
    /// Empty stop strings are passed over.
    TextStream(const text::Tokenizer& tokenizer, std::vector<std::string> stops);

    /// What the token adds to the text as far as it is sure: a character not yet whole and a
    /// beginning that may become a stop string are held back.
    std::string push(int32_t id);
    /// What was held back, when no more tokens come.
    std::string finish();
    /// Whether a stop string is complete; then no more tokens are wanted.
    bool stopped() const {
        return stopped_;
    }
    /// Which one; empty while none is.
    const std::string& stop() const {
        return stop_;
    }
    /// All of it so far, what is held back included.
    const std::string& text() const {
        return text_;
    }

  private:
    std::string show(size_t end);
    void cut_at_stop();
    size_t sure_end() const;

    text::Detokenizer detokenizer_;
    std::vector<std::string> stops_;
    std::string text_;
    size_t shown_ = 0;  // bytes of text_ that were given out
    bool stopped_ = false;
    std::string stop_;
};

}  // namespace hadal::infer

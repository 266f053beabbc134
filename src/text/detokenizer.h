// Token ids to text as they arrive: never half a character.
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace hadal::text {

class Detokenizer {
  public:
    enum class Invalid {
        show,  // U+FFFD for what is not UTF-8
        keep,  // the bytes as they are
    };

    /// `tokenizer` must outlive this.
    explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = true,
                         Invalid invalid = Invalid::show);

    /// The text that `id` completes, with what earlier tokens left open. An id past the tokenizer's
    /// last adds nothing: models pad their vocabulary, and may choose such an id. Error(bad_input)
    /// for a negative one.
    std::string push(int32_t id);
    /// What is still open, at the end of the text.
    std::string finish();

  private:
    std::string release(size_t bytes);

    const Tokenizer& tokenizer_;
    bool skip_special_;
    Invalid invalid_;
    std::string open_;  // bytes not yet given out; at most three after push
};

}  // namespace hadal::text

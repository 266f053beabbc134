// A text cut into the sequences that models are measured on.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "model/transformer.h"
#include "text/tokenizer.h"

namespace hadal::eval {

/// Windows of `window` tokens one after another, each with targets and on its own, after a BOS
/// token where the tokenizer has one. Error(bad_input) for a text of fewer than two tokens, BOS
/// counted.
void each_window(const text::Tokenizer& tokenizer, std::string_view text, int64_t window,
                 const std::function<void(const model::TokenBatch&)>& measure);

/// Memory of forward passes that follow each other; anew only where their length changes.
class ForwardMemory {
  public:
    explicit ForwardMemory(const model::Model& model) : model_(model) {}
    model::Saved& of(int64_t tokens);

  private:
    const model::Model& model_;
    model::Saved saved_;
    int64_t tokens_ = 0;
};

}  // namespace hadal::eval

// How well a model predicts a text.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/context.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace hadal::eval {

struct TextScore {
    double loss = 0;      // −Σ ln p over the predicted tokens
    int64_t targets = 0;  // predicted tokens

    double nll() const {
        return loss / double(targets);
    }
};

/// In windows as each_window cuts them; errors as there.
TextScore score_text(Context& context, const model::Model& model, const text::Tokenizer& tokenizer,
                     std::string_view text, int64_t window);

}  // namespace hadal::eval

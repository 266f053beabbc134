// How far one model's predictions lie from another's: what a smaller copy of a model has lost.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/context.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace hadal::eval {

struct Divergence {
    double kl_sum = 0;   // Σ over positions of Σ_v p(v)·ln(p(v) / q(v)), nats
    int64_t agreed = 0;  // positions where both hold the same token most probable
    int64_t positions = 0;

    double kl() const {
        return kl_sum / double(positions);
    }
    double agreement() const {
        return double(agreed) / double(positions);
    }
};

/// p is `reference`'s and q `model`'s distribution of the next token after each token of `text`, in
/// windows as score_text's. Both models have the same vocabulary, which `tokenizer` speaks:
/// Error(bad_input) if not.
Divergence compare_models(Context& context, const model::Model& reference,
                          const model::Model& model, const text::Tokenizer& tokenizer,
                          std::string_view text, int64_t window);

}  // namespace hadal::eval

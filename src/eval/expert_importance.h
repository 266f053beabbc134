// Which columns of an expert's weights matter: what the activations of a text weigh there. INT4
// scales are chosen by it (formats/int4_group.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "core/context.h"
#include "model/quantize_model.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace hadal::eval {

/// Mean squares of the activations that enter each routed expert's three products, over the tokens
/// of the text that the router sends there; down_proj's carry the routing weight, so a token counts
/// as it counts in the output. An expert that sees few tokens leans on the mean of its layer. The
/// MTP modules' experts are not measured. Errors as each_window's.
model::ColumnImportance expert_importance(Context& context, const model::Model& model,
                                          const text::Tokenizer& tokenizer, std::string_view text,
                                          int64_t window);

}  // namespace hadal::eval

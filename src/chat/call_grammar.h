// What a text may be that must call functions: marks, names, and arguments of each one's schema.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "chat/format.h"
#include "grammar/expression.h"
#include "text/tokenizer.h"

namespace hadal::chat {

struct Function {
    std::string name;
    std::string schema;  // of its arguments, JSON; empty: any object
};

/// One call of one of the functions, or several if `parallel` and the format has that, as the
/// format writes them. Error(bad_input) as json_schema_grammar.
grammar::Grammar call_grammar(const Format& format, std::span<const Function> functions,
                              bool parallel);
/// What follows the mark that begins the calls, for a model that chose to call.
grammar::Grammar begun_call_grammar(const Format& format, std::span<const Function> functions,
                                    bool parallel);

/// The special token that ends the mark with which calls begin; none if the tokenizer has no such.
std::optional<int32_t> calls_token(const text::Tokenizer& tokenizer, const Format& format);

}  // namespace hadal::chat

// A template's source in tokens: text between the marks, and what stands inside them. Line breaks
// and white space around marks go as Transformers asks for: trim_blocks and lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::chat::jinja {

struct Token {
    enum class Kind {
        text,  // outside of marks
        begin_expression,
        end_expression,  // {{ }}
        begin_statement,
        end_statement,  // {% %}
        name,
        integer,
        number,
        string,
        symbol,  // operators and brackets
        end,
    };
    Kind kind;
    std::string text;  // of strings, what they stand for
    int line;
};

/// Error(bad_input) with the line for marks or strings that do not end, and for characters that
/// have no meaning. The last token is `end`.
std::vector<Token> tokens_of(std::string_view source);

/// "chat template, line 12: …"
[[noreturn]] void fail_at(int line, const std::string& message);

}  // namespace hadal::chat::jinja

// The marks with which a family of models writes thoughts and tool calls.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hadal::chat {

struct Format {
    std::string_view name;  // "deepseek-v3.1"
    std::string_view think_begin, think_end;
    std::string_view calls_begin, calls_end;  // around all calls of an answer
    std::string_view call_begin, call_end;    // around each
    /// Behind call_begin, up to the arguments. V3 and R1 write a word before the name and a fence
    /// around the arguments, K2 puts the name into the call's id.
    enum class Header {
        fenced,  // function MARK name \n```json\n arguments \n```
        named,   // name MARK arguments
        id,      // functions.name:index MARK arguments
        object   // {"name": …, "arguments": …}: one call, and nothing behind it
    };
    Header header;
    std::string_view mark;
    std::string_view turn_end = {};  // written behind a message's text; no content

    /// Whether a special token of this content means something here, as a mark or a part of one.
    bool knows(std::string_view token) const;
};

extern const Format kDeepSeekV3;  // V3, V3-0324, R1
extern const Format kDeepSeekV31;
extern const Format kKimiK2;
extern const Format kGigaChat3;
extern const Format kGigaChat31;

/// The format that a model's chat template speaks of; V3's without one.
const Format& format_of_template(std::string_view chat_template);

}  // namespace hadal::chat

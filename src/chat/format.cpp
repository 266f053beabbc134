#include "chat/format.h"

#include <algorithm>
#include <array>

namespace hadal::chat {

const Format kDeepSeekV3 = {.name = "deepseek-v3",
                            .think_begin = "<think>",
                            .think_end = "</think>",
                            .calls_begin = "<｜tool▁calls▁begin｜>",
                            .calls_end = "<｜tool▁calls▁end｜>",
                            .call_begin = "<｜tool▁call▁begin｜>",
                            .call_end = "<｜tool▁call▁end｜>",
                            .header = Format::Header::fenced,
                            .mark = "<｜tool▁sep｜>"};

const Format kDeepSeekV31 = {.name = "deepseek-v3.1",
                             .think_begin = "<think>",
                             .think_end = "</think>",
                             .calls_begin = "<｜tool▁calls▁begin｜>",
                             .calls_end = "<｜tool▁calls▁end｜>",
                             .call_begin = "<｜tool▁call▁begin｜>",
                             .call_end = "<｜tool▁call▁end｜>",
                             .header = Format::Header::named,
                             .mark = "<｜tool▁sep｜>"};

const Format kKimiK2 = {.name = "kimi-k2",
                        .think_begin = "<think>",
                        .think_end = "</think>",
                        .calls_begin = "<|tool_calls_section_begin|>",
                        .calls_end = "<|tool_calls_section_end|>",
                        .call_begin = "<|tool_call_begin|>",
                        .call_end = "<|tool_call_end|>",
                        .header = Format::Header::id,
                        .mark = "<|tool_call_argument_begin|>"};

const Format kGigaChat3 = {.name = "gigachat-3",
                           .think_begin = "<think>",
                           .think_end = "</think>",
                           .calls_begin = "<|message_sep|>\n\nfunction call<|role_sep|>\n",
                           .calls_end = "",
                           .call_begin = "",
                           .call_end = "",
                           .header = Format::Header::object,
                           .mark = "",
                           .turn_end = "<|message_sep|>"};

const Format kGigaChat31 = {.name = "gigachat-3.1",
                            .think_begin = "<think>",
                            .think_end = "</think>",
                            .calls_begin = "<|function_call|>",
                            .calls_end = "",
                            .call_begin = "",
                            .call_end = "",
                            .header = Format::Header::object,
                            .mark = "",
                            .turn_end = "<|message_sep|>"};

bool Format::knows(std::string_view token) const {
    const std::array marks = {think_begin, think_end, calls_begin, calls_end,
                              call_begin,  call_end,  mark,        turn_end};
    return !token.empty() && std::ranges::any_of(marks, [&](std::string_view mark) {
        return mark.find(token) != std::string_view::npos;
    });
}

const Format& format_of_template(std::string_view chat_template) {
    const auto has = [&](std::string_view part) {
        return chat_template.find(part) != std::string_view::npos;
    };
    if (has("<|im_middle|>")) return kKimiK2;
    if (has("<|function_call|>")) return kGigaChat31;
    if (has("<|role_sep|>")) return kGigaChat3;
    // V3 and R1 write the word "function" into every call, V3.1 does not and knows a switch.
    if (has("thinking") && has("<｜tool▁sep｜>") && !has("```json")) return kDeepSeekV31;
    return kDeepSeekV3;
}

}  // namespace hadal::chat

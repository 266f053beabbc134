// Names of DeepSeek-V3's control tokens (tokenizer_config.json of the release). The bars are
// U+FF5C, the separators U+2581.
#pragma once

#include <array>
#include <string_view>

namespace hadal::text {

inline constexpr std::string_view kBeginOfSentence = "<｜begin▁of▁sentence｜>";
inline constexpr std::string_view kEndOfSentence = "<｜end▁of▁sentence｜>";
inline constexpr std::string_view kPad = "<｜▁pad▁｜>";
inline constexpr std::string_view kFimHole = "<｜fim▁hole｜>";
inline constexpr std::string_view kFimBegin = "<｜fim▁begin｜>";
inline constexpr std::string_view kFimEnd = "<｜fim▁end｜>";
inline constexpr std::string_view kUser = "<｜User｜>";
inline constexpr std::string_view kAssistant = "<｜Assistant｜>";

inline constexpr std::string_view kThinkBegin = "<think>";  // R1
inline constexpr std::string_view kThinkEnd = "</think>";

/// First ids, in order.
inline constexpr std::array<std::string_view, 3> kFirstTokens = {kBeginOfSentence, kEndOfSentence,
                                                                 kPad};
/// After the merges, in the order of the release's ids 128798 … 128814.
inline constexpr std::array<std::string_view, 17> kLastTokens = {
    kThinkBegin,
    kThinkEnd,
    kFimHole,
    kFimBegin,
    kFimEnd,
    kUser,
    kAssistant,
    "<|EOT|>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁outputs▁begin｜>",
    "<｜tool▁outputs▁end｜>",
    "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>",
    "<｜tool▁sep｜>",
};

}  // namespace hadal::text

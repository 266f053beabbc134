#include "chat/mark_tokens.h"

#include <algorithm>
#include <vector>

namespace hadal::chat {

namespace {

/// The text with kSpecial before each of the tokens in it, of two that begin alike the longer one.
std::string with_tokens(std::string_view mark, const std::vector<std::string_view>& tokens) {
    std::string text;
    while (!mark.empty()) {
        size_t taken = 0;
        for (const std::string_view token : tokens) {
            if (mark.starts_with(token)) taken = std::max(taken, token.size());
        }
        if (taken > 0) text += MarkTokens::kSpecial;
        text += mark.substr(0, std::max<size_t>(taken, 1));
        mark.remove_prefix(std::max<size_t>(taken, 1));
    }
    return text;
}

}  // namespace

MarkTokens::MarkTokens(const text::Tokenizer& tokenizer, const Format& format)
    : tokenizer_(tokenizer), format_(format) {
    std::vector<std::string_view> tokens;
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
        if (is_part_of_mark(id)) tokens.push_back(tokenizer.token_bytes(id));
    }
    const std::array<std::string_view*, 5> fields = {&format_.calls_begin, &format_.calls_end,
                                                     &format_.call_begin, &format_.call_end,
                                                     &format_.mark};
    for (size_t i = 0; i < fields.size(); ++i) {
        marks_[i] = with_tokens(*fields[i], tokens);
        *fields[i] = marks_[i];
    }
}

bool MarkTokens::is_part_of_mark(int32_t id) const {
    return tokenizer_.is_special(id) && format_.knows(tokenizer_.token_bytes(id));
}

std::string MarkTokens::token_bytes(int32_t id) const {
    const std::string_view bytes = tokenizer_.token_bytes(id);
    if (!tokenizer_.is_special(id)) {
        return bytes.find(kSpecial) == std::string_view::npos ? std::string(bytes) : "";
    }
    const bool is_mark = std::ranges::any_of(marks_, [&](const std::string& mark) {
        return mark.find(kSpecial + std::string(bytes)) != std::string::npos;
    });
    return is_mark ? kSpecial + std::string(bytes) : "";
}

}  // namespace hadal::chat

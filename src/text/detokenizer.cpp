#include "text/detokenizer.h"

#include <algorithm>

#include "text/unicode.h"

namespace hadal::text {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special, Invalid invalid)
    : tokenizer_(tokenizer), skip_special_(skip_special), invalid_(invalid) {}

std::string Detokenizer::release(size_t bytes) {
    const std::string whole = open_.substr(0, bytes);
    open_.erase(0, bytes);
    return invalid_ == Invalid::show ? displayable(whole) : whole;
}

std::string Detokenizer::push(int32_t id) {
    if (id >= tokenizer_.vocab_size()) return {};
    const std::string_view token = tokenizer_.token_bytes(id);
    if (skip_special_ && tokenizer_.is_special(id)) return {};
    open_ += token;
    // The start of a character is one to three bytes long, and nothing follows it.
    for (size_t length = std::min<size_t>(3, open_.size()); length > 0; --length) {
        const std::string_view tail = std::string_view(open_).substr(open_.size() - length);
        if (incomplete_character_bytes(tail) == length) return release(open_.size() - length);
    }
    return release(open_.size());
}

std::string Detokenizer::finish() {
    return release(open_.size());
}

}  // namespace hadal::text

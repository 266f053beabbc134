// Whole texts against a grammar, and random texts of a grammar.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "core/error.h"
#include "core/random.h"
#include "grammar/matcher.h"

namespace hadal::grammar::test {

inline bool matches(Matcher& matcher, std::string_view text) {
    Position position = matcher.start();
    for (const char byte : text) {
        if (position == kDead) return false;
        position = matcher.next(position, uint8_t(byte));
    }
    return position != kDead && matcher.may_end(position);
}

inline Matcher matcher_of(ExpressionPtr expression) {
    return Matcher(compile({.rules = {{"root", std::move(expression)}}}));
}

/// Bytes chosen at random among those allowed; ends where it may with probability 1/4, and surely
/// where it must. Long texts come to their end because quotes and brackets are preferred.
inline std::string random_text(Matcher& matcher, RandomSequence& random) {
    std::string text;
    Position position = matcher.start();
    for (;;) {
        if (matcher.must_end(position)) return text;
        if (matcher.may_end(position) && random.below(4) == 0) return text;
        std::string allowed, closing;
        for (int byte = 0; byte < 256; ++byte) {
            if (matcher.next(position, uint8_t(byte)) == kDead) continue;
            allowed += char(byte);
            if (byte == '"' || byte == ']' || byte == '}') closing += char(byte);
        }
        const bool close = !closing.empty() && (text.size() > 200 || random.below(3) == 0);
        const std::string& from = close ? closing : allowed;
        text += from[random.below(from.size())];
        position = matcher.next(position, uint8_t(text.back()));
    }
}

}  // namespace hadal::grammar::test

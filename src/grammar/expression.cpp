#include "grammar/expression.h"

#include <algorithm>

namespace hadal::grammar {

namespace {

constexpr char32_t kLastCharacter = 0x10FFFF;
constexpr char32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

ExpressionPtr make(Expression expression) {
    return std::make_shared<const Expression>(std::move(expression));
}

}  // namespace

CharacterSet complement(CharacterSet set) {
    set.emplace_back(kFirstSurrogate, kLastSurrogate);
    std::ranges::sort(set);
    CharacterSet result;
    char32_t next = 0;  // the first code point that no range so far holds
    for (const auto& [first, last] : set) {
        if (first > next) result.emplace_back(next, first - 1);
        next = std::max(next, char32_t(last + 1));
    }
    if (next <= kLastCharacter) result.emplace_back(next, kLastCharacter);
    return result;
}

ExpressionPtr text(std::string_view bytes) {
    return make({.kind = Expression::Kind::text, .text = std::string(bytes)});
}

ExpressionPtr characters(CharacterSet set) {
    return make({.kind = Expression::Kind::characters, .characters = std::move(set)});
}

ExpressionPtr sequence(std::vector<ExpressionPtr> parts) {
    return make({.kind = Expression::Kind::sequence, .parts = std::move(parts)});
}

ExpressionPtr choice(std::vector<ExpressionPtr> parts) {
    return make({.kind = Expression::Kind::choice, .parts = std::move(parts)});
}

ExpressionPtr repeat(ExpressionPtr part, int64_t least, int64_t most) {
    return make({.kind = Expression::Kind::repeat,
                 .parts = {std::move(part)},
                 .least = least,
                 .most = most});
}

ExpressionPtr optional(ExpressionPtr part) {
    return repeat(std::move(part), 0, 1);
}

ExpressionPtr rule(std::string_view name) {
    return make({.kind = Expression::Kind::rule, .rule = std::string(name)});
}

}  // namespace hadal::grammar

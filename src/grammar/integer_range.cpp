#include "grammar/integer_range.h"

#include <algorithm>

namespace hadal::grammar {

namespace {

ExpressionPtr digits(char first, char last, size_t count) {
    return repeat(characters({{char32_t(first), char32_t(last)}}), int64_t(count), int64_t(count));
}

/// Texts of equal length from `least` to `most`.
ExpressionPtr between(const std::string& least, const std::string& most) {
    if (least == most) return text(least);
    if (least == std::string(least.size(), '0') && most == std::string(most.size(), '9')) {
        return digits('0', '9', least.size());
    }
    const std::string rest_least = least.substr(1), rest_most = most.substr(1);
    const size_t rest = rest_least.size();
    if (least[0] == most[0]) {
        return sequence({text(least.substr(0, 1)), between(rest_least, rest_most)});
    }
    std::vector<ExpressionPtr> parts = {
        sequence({text(least.substr(0, 1)), between(rest_least, std::string(rest, '9'))}),
        sequence({text(most.substr(0, 1)), between(std::string(rest, '0'), rest_most)})};
    if (most[0] - least[0] > 1) {
        parts.push_back(
            sequence({digits(char(least[0] + 1), char(most[0] - 1), 1), digits('0', '9', rest)}));
    }
    return choice(std::move(parts));
}

/// least ≥ 0; `most` may be kUnbounded.
std::vector<ExpressionPtr> not_negative(int64_t least, int64_t most) {
    std::vector<ExpressionPtr> parts;
    const std::string last = most == kUnbounded ? std::string(17, '9') : std::to_string(most);
    for (size_t length = std::to_string(least).size(); length <= last.size(); ++length) {
        const std::string smallest = length == 1 ? "0" : "1" + std::string(length - 1, '0');
        const std::string begin =
            std::to_string(least).size() == length ? std::to_string(least) : smallest;
        const std::string end = last.size() == length ? last : std::string(length, '9');
        parts.push_back(between(begin, end));
    }
    if (most == kUnbounded) {
        parts.push_back(sequence({digits('1', '9', 1), digits('0', '9', last.size()),
                                  repeat(digits('0', '9', 1), 0, kUnbounded)}));
    }
    return parts;
}

}  // namespace

ExpressionPtr integer_range(std::optional<int64_t> least, std::optional<int64_t> most) {
    std::vector<ExpressionPtr> parts;
    if (!least || *least < 0) {
        const int64_t from = most && *most < 0 ? -*most : 1;  // of the magnitude
        const int64_t to = least ? -*least : kUnbounded;
        parts.push_back(sequence({text("-"), choice(not_negative(from, to))}));
    }
    if (!most || *most >= 0) {
        const auto positive =
            not_negative(std::max<int64_t>(least.value_or(0), 0), most.value_or(kUnbounded));
        parts.insert(parts.end(), positive.begin(), positive.end());
    }
    return choice(std::move(parts));
}

}  // namespace hadal::grammar

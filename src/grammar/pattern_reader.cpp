#include "grammar/pattern_reader.h"

namespace hadal::grammar {

namespace {

constexpr int64_t kMostRepetitions = 100'000;

const CharacterSet kDigits = {{'0', '9'}};
const CharacterSet kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CharacterSet kSpaces = {{'\t', '\r'}, {' ', ' '}};

}  // namespace

char32_t PatternReader::peek() const {
    return at_end() ? 0 : text::decode_character(pattern_.substr(at_)).code;
}

char32_t PatternReader::take() {
    if (at_end()) fail("ends too early");
    const auto [code, bytes] = text::decode_character(pattern_.substr(at_));
    if (code == text::kInvalidCharacter) fail("is not UTF-8");
    at_ += bytes;
    return code;
}

bool PatternReader::take_if(std::string_view expected) {
    if (!comes(expected)) return false;
    at_ += expected.size();
    return true;
}

int64_t PatternReader::number(int64_t most) {
    const size_t begin = at_;
    int64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
        value = value * 10 + int64_t(take() - '0');
        if (value > most) fail(concat("has a number above ", most));
    }
    if (at_ == begin) fail("wants a number");
    return value;
}

void PatternReader::fail(std::string_view why) const {
    throw Error(Error::Kind::bad_input, concat(what_, ": ", why, ", at byte ", at_));
}

char32_t PatternReader::hexadecimal(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
        const char32_t c = take();
        const char32_t lower = c | 0x20;
        const bool is_letter = lower >= 'a' && lower <= 'f';
        if (!is_letter && (c < '0' || c > '9')) fail("wants a hexadecimal digit");
        value = value * 16 + (is_letter ? lower - 'a' + 10 : c - '0');
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) fail("names no character");
    return value;
}

CharacterSet PatternReader::escape() {
    const char32_t c = take();
    const auto one = [](char32_t code) { return CharacterSet{{code, code}}; };
    switch (c) {
        case 'd':
            return kDigits;
        case 'D':
            return complement(kDigits);
        case 'w':
            return kWord;
        case 'W':
            return complement(kWord);
        case 's':
            return kSpaces;
        case 'S':
            return complement(kSpaces);
        case 'n':
            return one('\n');
        case 'r':
            return one('\r');
        case 't':
            return one('\t');
        case 'f':
            return one('\f');
        case 'v':
            return one('\v');
        case '0':
            return one(0);
        case 'x':
            return one(hexadecimal(2));
        case 'u':
            if (take_if("{")) fail("wants four hexadecimal digits after \\u");
            return one(hexadecimal(4));
        case 'U':
            return one(hexadecimal(8));
        default:
            break;
    }
    const bool is_letter =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c > '0' && c <= '9');
    if (is_letter) fail(concat("has an escape that is not supported, \\", char(c)));
    return one(c);
}

CharacterSet PatternReader::character_class() {
    const bool negated = take_if("^");
    CharacterSet set;
    for (bool first = true; !comes("]") || first; first = false) {
        if (at_end()) fail("has a [ without its ]");
        if (first && comes("]")) break;
        CharacterSet part;
        if (take_if("\\")) {
            part = escape();
        } else {
            const char32_t c = take();
            part = {{c, c}};
        }
        const bool is_one = part.size() == 1 && part[0].first == part[0].second;
        if (is_one && comes("-") && !comes("-]")) {
            take();
            CharacterSet last = take_if("\\") ? escape() : CharacterSet{{peek(), take()}};
            if (last.size() != 1 || last[0].first != last[0].second) {
                fail("has a range that ends in a class");
            }
            part[0].second = last[0].first;
            if (part[0].first > part[0].second) fail("has a range that ends before it begins");
        }
        set.insert(set.end(), part.begin(), part.end());
    }
    take();
    if (set.empty() && !negated) fail("has an empty class");
    return negated ? complement(std::move(set)) : set;
}

ExpressionPtr PatternReader::repetition(ExpressionPtr part) {
    int64_t least = 0, most = kUnbounded;
    if (take_if("*")) {
    } else if (take_if("+")) {
        least = 1;
    } else if (take_if("?")) {
        most = 1;
    } else if (take_if("{")) {
        least = number(kMostRepetitions);
        most = least;
        if (take_if(",")) most = comes("}") ? kUnbounded : number(kMostRepetitions);
        if (!take_if("}")) fail("has a { without its }");
        if (most != kUnbounded && most < least) fail("repeats at least more than at most");
    } else {
        return part;
    }
    if (!take_if("?")) take_if("+");
    return repeat(std::move(part), least, most);
}

}  // namespace hadal::grammar

#include "chat/jinja_lexer.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace hadal::chat::jinja {

void fail_at(int line, const std::string& message) {
    throw Error(Error::Kind::bad_input, concat("chat template, line ", line, ": ", message));
}

namespace {

using Kind = Token::Kind;

constexpr std::string_view kSpace = " \t\n\r\v\f";

bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

class Lexer {
  public:
    explicit Lexer(std::string_view source) : source_(source) {
        // One line break at the very end is not part of a template.
        if (source_.ends_with('\n')) source_.remove_suffix(1);
    }

    std::vector<Token> run() {
        while (at_ < source_.size()) read_text();
        tokens_.push_back({Kind::end, "", line_});
        return std::move(tokens_);
    }

  private:
    void advance(size_t end) {
        line_ +=
            int(std::count(source_.begin() + int64_t(at_), source_.begin() + int64_t(end), '\n'));
        at_ = end;
    }

    /// Text up to the next mark, and what the mark holds.
    void read_text() {
        size_t mark = at_;
        while (mark + 1 < source_.size() &&
               !(source_[mark] == '{' &&
                 std::string_view("{%#").find(source_[mark + 1]) != std::string_view::npos))
            ++mark;
        if (mark + 1 >= source_.size()) mark = source_.size();
        std::string text(source_.substr(at_, mark - at_));
        if (trim_left_) text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
        trim_left_ = false;
        const bool is_mark = mark < source_.size();
        const char kind = is_mark ? source_[mark + 1] : '\0';
        const char sign = mark + 2 < source_.size() ? source_[mark + 2] : '\0';
        if (is_mark && sign == '-') {
            text.erase(text.find_last_not_of(kSpace) + 1);
        } else if (is_mark && kind != '{' && sign != '+') {
            strip_line(text, mark);
        }
        if (!text.empty()) tokens_.push_back({Kind::text, text, line_});
        advance(mark);
        if (!is_mark) return;
        advance(mark + 2 + (sign == '-' || sign == '+' ? 1 : 0));
        if (kind == '#') return skip_comment();
        if (kind == '%' && read_raw()) return;
        read_inside(kind);
    }

    /// lstrip_blocks: blanks between the line's begin and a statement or comment go.
    void strip_line(std::string& text, size_t mark) const {
        const size_t last = text.find_last_not_of(" \t");
        const bool to_begin = last == std::string::npos;
        if (!to_begin && text[last] != '\n') return;
        // Blanks alone: whether a line begins there is seen in the source.
        const size_t before = mark - text.size();
        if (to_begin && before > 0 && source_[before - 1] != '\n') return;
        text.erase(to_begin ? 0 : last + 1);
    }

    /// After the end of a mark: trim_blocks takes the line break behind statements and comments.
    void after_mark(char kind, char sign) {
        if (sign == '-') {
            trim_left_ = true;
        } else if (kind != '{' && sign != '+') {
            if (source_.substr(at_).starts_with("\r\n")) {
                advance(at_ + 2);
            } else if (at_ < source_.size() && source_[at_] == '\n') {
                advance(at_ + 1);
            }
        }
    }

    void skip_comment() {
        const int line = line_;
        const size_t end = source_.find("#}", at_);
        if (end == std::string_view::npos) fail_at(line, "a comment {# does not end");
        const char sign = end > 0 ? source_[end - 1] : '\0';
        advance(end + 2);
        after_mark('#', sign);
    }

    /// {% raw %} … {% endraw %}: everything between is text.
    bool read_raw() {
        size_t i = std::min(source_.find_first_not_of(kSpace, at_), source_.size());
        if (source_.substr(i, 3) != "raw") return false;
        i = std::min(source_.find_first_not_of(kSpace, i + 3), source_.size());
        const bool trim = source_.substr(i).starts_with("-%}");
        if (!trim && !source_.substr(i).starts_with("%}")) return false;
        const int line = line_;
        advance(i + (trim ? 3 : 2));
        after_mark('%', trim ? '-' : '\0');
        for (size_t end = source_.find("{%", at_); end != std::string_view::npos;
             end = source_.find("{%", end + 2)) {
            const bool minus = source_.substr(end + 2).starts_with('-');
            size_t word =
                std::min(source_.find_first_not_of(kSpace, end + (minus ? 3 : 2)), source_.size());
            if (source_.substr(word, 6) != "endraw") continue;
            word = source_.find("%}", word);
            if (word == std::string_view::npos) break;
            std::string text(source_.substr(at_, end - at_));
            if (trim_left_) text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
            trim_left_ = false;
            if (minus) text.erase(text.find_last_not_of(kSpace) + 1);
            if (!text.empty()) tokens_.push_back({Kind::text, text, line_});
            const char sign = source_[word - 1];
            advance(word + 2);
            after_mark('%', sign);
            return true;
        }
        fail_at(line, "{% raw %} has no {% endraw %}");
    }

    void read_inside(char kind) {
        const bool expression = kind == '{';
        const std::string_view close = expression ? "}}" : "%}";
        const int begin_line = line_;
        int depth = 0;  // of braces: a dictionary's end is not the mark's
        tokens_.push_back({expression ? Kind::begin_expression : Kind::begin_statement, "", line_});
        while (true) {
            advance(std::min(source_.find_first_not_of(kSpace, at_), source_.size()));
            if (at_ == source_.size()) {
                fail_at(begin_line, concat(expression ? "{{" : "{%", " has no ", close));
            }
            const std::string_view rest = source_.substr(at_);
            const bool signed_end =
                (rest[0] == '-' || rest[0] == '+') && rest.substr(1).starts_with(close);
            if (depth == 0 && (signed_end || rest.starts_with(close))) {
                tokens_.push_back(
                    {expression ? Kind::end_expression : Kind::end_statement, "", line_});
                advance(at_ + close.size() + (signed_end ? 1 : 0));
                return after_mark(kind, signed_end ? rest[0] : '\0');
            }
            if (rest[0] == '{') ++depth;
            if (rest[0] == '}') --depth;
            read_token(rest);
        }
    }

    void read_token(std::string_view rest) {
        if (is_name_start(rest[0])) {
            size_t end = 1;
            while (end < rest.size() && (is_name_start(rest[end]) || is_digit(rest[end]))) ++end;
            return add(Kind::name, rest.substr(0, end));
        }
        if (is_digit(rest[0])) return read_number(rest);
        if (rest[0] == '"' || rest[0] == '\'') return read_string(rest);
        static constexpr std::array<std::string_view, 8> kLong = {
            "==", "!=", "<=", ">=", "//", "**", "->", ":="};
        for (const std::string_view symbol : kLong) {
            if (rest.starts_with(symbol)) return add(Kind::symbol, symbol);
        }
        if (std::string_view("+-*/%~<>=()[]{}.,:|").find(rest[0]) == std::string_view::npos)
            fail_at(line_, concat("the character '", rest.substr(0, 1), "' has no meaning here"));
        add(Kind::symbol, rest.substr(0, 1));
    }

    void read_number(std::string_view rest) {
        size_t end = 1;
        while (end < rest.size() && (is_digit(rest[end]) || rest[end] == '_')) ++end;
        const bool fraction = end + 1 < rest.size() && rest[end] == '.' && is_digit(rest[end + 1]);
        if (fraction) {
            ++end;
            while (end < rest.size() && is_digit(rest[end])) ++end;
        }
        add(fraction ? Kind::number : Kind::integer, rest.substr(0, end));
        std::erase(tokens_.back().text, '_');
    }

    void read_string(std::string_view rest) {
        std::string text;
        for (size_t i = 1; i < rest.size(); ++i) {
            if (rest[i] == rest[0]) {
                tokens_.push_back({Kind::string, text, line_});
                return advance(at_ + i + 1);
            }
            if (rest[i] != '\\' || i + 1 == rest.size()) {
                text += rest[i];
                continue;
            }
            ++i;
            static constexpr std::string_view kLetters = "ntrbf0", kMeanings("\n\t\r\b\f\0", 6);
            const size_t known = kLetters.find(rest[i]);
            if (known != std::string_view::npos) {
                text += kMeanings[known];
            } else if (rest[i] == '\\' || rest[i] == '\'' || rest[i] == '"') {
                text += rest[i];
            } else if (rest[i] != '\n') {  // an escaped line break is nothing
                text += '\\';
                text += rest[i];
            }
        }
        fail_at(line_, "a string does not end");
    }

    void add(Kind kind, std::string_view text) {
        tokens_.push_back({kind, std::string(text), line_});
        advance(at_ + text.size());
    }

    std::string_view source_;
    size_t at_ = 0;
    int line_ = 1;
    bool trim_left_ = false;  // the text behind a mark loses its leading white space
    std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) {
    return Lexer(source).run();
}

}  // namespace hadal::chat::jinja

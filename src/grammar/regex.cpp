#include "grammar/regex.h"

#include "grammar/pattern_reader.h"

namespace hadal::grammar {

namespace {

class RegexParser {
  public:
    explicit RegexParser(std::string_view pattern) : reader_(pattern, "regex") {}

    ExpressionPtr run() {
        reader_.take_if("^");
        ExpressionPtr whole = alternatives();
        if (!reader_.at_end()) reader_.fail("has a ) without its (");
        return whole;
    }

  private:
    ExpressionPtr alternatives() {
        return reader_.alternatives(0, [this](int depth) { return branch(depth); });
    }

    ExpressionPtr branch(int depth) {
        std::vector<ExpressionPtr> parts;
        while (!reader_.at_end() && !reader_.comes("|") && !reader_.comes(")")) {
            if (reader_.take_if("$")) {
                if (!reader_.at_end()) reader_.fail("has a $ that is not at its end");
                break;
            }
            parts.push_back(reader_.repetition(atom(depth)));
        }
        return sequence(std::move(parts));
    }

    ExpressionPtr atom(int depth) {
        if (reader_.take_if("(")) {
            if (reader_.comes("?") && !reader_.take_if("?:")) {
                reader_.fail("has an assertion or a named group, which are not supported");
            }
            return reader_.group(depth, [this](int inner) { return branch(inner); });
        }
        if (reader_.take_if("[")) return characters(reader_.character_class());
        if (reader_.take_if("\\")) {
            if (reader_.comes("b") || reader_.comes("B")) {
                reader_.fail("has a word boundary, which is not supported");
            }
            return characters(reader_.escape());
        }
        if (reader_.take_if(".")) return characters(complement({{'\n', '\n'}, {'\r', '\r'}}));
        for (const char* mark : {"*", "+", "?", "{", "^"}) {
            if (reader_.comes(mark))
                reader_.fail(concat("has a ", mark, " with nothing before it"));
        }
        std::string bytes;
        text::append_utf8(reader_.take(), bytes);
        return text(bytes);
    }

    PatternReader reader_;
};

}  // namespace

ExpressionPtr parse_regex(std::string_view pattern) {
    return RegexParser(pattern).run();
}

}  // namespace hadal::grammar

#include "grammar/regex.h"

#include "grammar/pattern_reader.h"

namespace hadal::grammar {

namespace {

constexpr int kMostDepth = 200;

class RegexParser {
  public:
    explicit RegexParser(std::string_view pattern) : reader_(pattern, "regex") {}

    ExpressionPtr run() {
        reader_.take_if("^");
        ExpressionPtr whole = alternatives(0);
        if (!reader_.at_end()) reader_.fail("has a ) without its (");
        return whole;
    }

  private:
    ExpressionPtr alternatives(int depth) {
        if (depth > kMostDepth) reader_.fail("has too many groups in each other");
        std::vector<ExpressionPtr> parts = {branch(depth)};
        while (reader_.take_if("|")) parts.push_back(branch(depth));
        return parts.size() == 1 ? parts[0] : choice(std::move(parts));
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
            ExpressionPtr group = alternatives(depth + 1);
            if (!reader_.take_if(")")) reader_.fail("has a ( without its )");
            return group;
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

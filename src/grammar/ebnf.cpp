#include "grammar/ebnf.h"

#include <algorithm>

#include "grammar/pattern_reader.h"

namespace hadal::grammar {

namespace {

bool is_name_character(char32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

class EbnfParser {
  public:
    explicit EbnfParser(std::string_view source) : reader_(source, "grammar") {}

    Grammar run() {
        Grammar grammar;
        for (skip_space(); !reader_.at_end(); skip_space()) {
            std::string rule_name = name();
            skip_space();
            if (!reader_.take_if("::=")) reader_.fail("wants ::= after a rule's name");
            grammar.rules.emplace_back(std::move(rule_name), alternatives());
        }
        const auto root = std::ranges::find(grammar.rules, "root",
                                            [](const auto& r) -> const auto& { return r.first; });
        if (root == grammar.rules.end()) reader_.fail("has no rule 'root'");
        std::rotate(grammar.rules.begin(), root, root + 1);
        return grammar;
    }

  private:
    void skip_space() {
        for (;;) {
            if (reader_.take_if("#")) {
                while (!reader_.at_end() && !reader_.comes("\n")) reader_.take();
            } else if (!reader_.take_if(" ") && !reader_.take_if("\t") && !reader_.take_if("\n") &&
                       !reader_.take_if("\r")) {
                return;
            }
        }
    }

    std::string name() {
        std::string result;
        while (is_name_character(reader_.peek())) result += char(reader_.take());
        if (result.empty()) reader_.fail("wants a rule's name");
        return result;
    }

    /// Whether what comes is the name of the next rule and not a part of this one.
    bool next_rule_comes() {
        EbnfParser ahead = *this;
        if (!is_name_character(ahead.reader_.peek())) return false;
        ahead.name();
        ahead.skip_space();
        return ahead.reader_.comes("::=");
    }

    ExpressionPtr alternatives() {
        return reader_.alternatives(0, [this](int depth) { return branch(depth); });
    }

    ExpressionPtr branch(int depth) {
        std::vector<ExpressionPtr> parts;
        for (skip_space(); !reader_.at_end() && !reader_.comes("|") && !reader_.comes(")");
             skip_space()) {
            if (next_rule_comes()) break;
            ExpressionPtr part = atom(depth);
            parts.push_back(reader_.repetition(std::move(part)));
        }
        return sequence(std::move(parts));
    }

    ExpressionPtr atom(int depth) {
        if (reader_.take_if("(")) {
            return reader_.group(depth, [this](int inner) { return branch(inner); });
        }
        if (reader_.take_if("[")) return characters(reader_.character_class());
        if (reader_.take_if(".")) return characters(complement({}));
        if (reader_.take_if("\"")) return quoted();
        if (is_name_character(reader_.peek())) return rule(name());
        reader_.fail("wants a string, a class, a group or a rule's name");
    }

    ExpressionPtr quoted() {
        std::string bytes;
        while (!reader_.take_if("\"")) {
            if (reader_.at_end()) reader_.fail("has a string without its end");
            if (!reader_.take_if("\\")) {
                text::append_utf8(reader_.take(), bytes);
                continue;
            }
            const CharacterSet escaped = reader_.escape();
            if (escaped.size() != 1 || escaped[0].first != escaped[0].second) {
                reader_.fail("has a class in a string");
            }
            text::append_utf8(escaped[0].first, bytes);
        }
        return text(bytes);
    }

    PatternReader reader_;
};

}  // namespace

Grammar parse_ebnf(std::string_view source) {
    return EbnfParser(source).run();
}

}  // namespace hadal::grammar

#include "chat/jinja_parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <span>

#include "chat/jinja_lexer.h"
#include "core/error.h"

namespace hadal::chat::jinja {

namespace {

using Kind = Token::Kind;

constexpr int kMaxDepth = 100;  // of brackets and blocks

class Parser {
  public:
    explicit Parser(std::string_view source) : tokens_(tokens_of(source)) {}

    Block run() {
        Block block = parse_block({});
        return block;
    }

  private:
    // ---- tokens

    const Token& now() const {
        return tokens_[at_];
    }
    int line() const {
        return now().line;
    }
    bool is(Kind kind, std::string_view text = {}) const {
        return now().kind == kind && (text.empty() || now().text == text);
    }
    bool is_symbol(std::string_view text) const {
        return is(Kind::symbol, text);
    }
    bool is_name(std::string_view text) const {
        return is(Kind::name, text);
    }
    bool take(Kind kind, std::string_view text) {
        if (!is(kind, text)) return false;
        ++at_;
        return true;
    }
    std::string describe() const {
        switch (now().kind) {
            case Kind::end:
                return "the end of the template";
            case Kind::end_expression:
                return "}}";
            case Kind::end_statement:
                return "%}";
            case Kind::text:
            case Kind::begin_expression:
            case Kind::begin_statement:
                return "text";
            default:
                return concat("'", now().text, "'");
        }
    }
    [[noreturn]] void fail_wanted(std::string_view wanted) const {
        fail_at(line(), concat("wants ", wanted, ", got ", describe()));
    }
    void want_symbol(std::string_view text) {
        if (!take(Kind::symbol, text)) fail_wanted(concat("'", text, "'"));
    }
    std::string want_name() {
        if (now().kind != Kind::name) fail_wanted("a name");
        return tokens_[at_++].text;
    }
    void want(Kind kind, std::string_view described) {
        if (now().kind != kind) fail_wanted(described);
        ++at_;
    }
    void end_statement() {
        want(Kind::end_statement, "%}");
    }

    class Nested {
      public:
        explicit Nested(Parser& parser) : parser_(parser) {
            if (++parser_.depth_ > kMaxDepth) fail_at(parser_.line(), "is nested too deeply");
        }
        ~Nested() {
            --parser_.depth_;
        }
        Nested(const Nested&) = delete;
        Nested& operator=(const Nested&) = delete;

      private:
        Parser& parser_;
    };

    // ---- statements

    /// Up to a statement whose name is one of `ends`, whose name has been read then; up to the end
    /// of the template if there are none.
    Block parse_block(std::initializer_list<std::string_view> ends) {
        const Nested nested(*this);
        const int begin = line();
        Block block;
        while (true) {
            if (is(Kind::text)) {
                block.push_back(std::make_unique<PlainText>(line(), now().text));
                ++at_;
            } else if (is(Kind::begin_expression)) {
                const int at = line();
                ++at_;
                auto print = std::make_unique<Print>(at, parse_expression());
                want(Kind::end_expression, "}}");
                block.push_back(std::move(print));
            } else if (is(Kind::begin_statement)) {
                ++at_;
                const std::string name = want_name();
                if (std::ranges::find(ends, name) != ends.end()) {
                    ended_by_ = name;
                    return block;
                }
                block.push_back(parse_statement(name));
            } else {
                if (ends.size() > 0)
                    fail_at(begin, concat("a block has no {% ", *(ends.end() - 1), " %}"));
                return block;
            }
        }
    }

    StatementPtr parse_statement(const std::string& name) {
        const int at = line();
        if (name == "if") return parse_if(at);
        if (name == "for") return parse_for(at);
        if (name == "set") return parse_set(at);
        if (name == "macro") return parse_macro(at);
        if (name == "generation") return parse_group(at);
        if (name == "break" || name == "continue") {
            if (loops_ == 0) fail_at(at, concat(name, " outside of a loop"));
            end_statement();
            return std::make_unique<Jump>(at, name == "break" ? Flow::leave_loop : Flow::next_turn);
        }
        fail_at(at, concat("the statement '", name, "' is not known here"));
    }

    StatementPtr parse_if(int at) {
        auto statement = std::make_unique<If>(at);
        do {
            ExpressionPtr condition = parse_expression();
            end_statement();
            statement->branches.emplace_back(std::move(condition),
                                             parse_block({"elif", "else", "endif"}));
        } while (ended_by_ == "elif");
        if (ended_by_ == "else") {
            end_statement();
            statement->otherwise = parse_block({"endif"});
        }
        end_statement();
        return statement;
    }

    StatementPtr parse_for(int at) {
        auto statement = std::make_unique<For>(at);
        statement->names = parse_targets();
        if (!take(Kind::name, "in")) fail_wanted("'in'");
        statement->list = parse_or();  // 'if' behind it is the loop's, not a condition's
        if (take(Kind::name, "if")) statement->condition = parse_expression();
        end_statement();
        ++loops_;
        statement->body = parse_block({"else", "endfor"});
        --loops_;
        if (ended_by_ == "else") {
            end_statement();
            statement->otherwise = parse_block({"endfor"});
        }
        end_statement();
        return statement;
    }

    /// a, b — or (a, b).
    std::vector<std::string> parse_targets() {
        std::vector<std::string> names;
        const bool bracket = take(Kind::symbol, "(");
        do {
            names.push_back(want_name());
        } while (take(Kind::symbol, ","));
        if (bracket) want_symbol(")");
        return names;
    }

    StatementPtr parse_set(int at) {
        auto statement = std::make_unique<Set>(at);
        statement->names = parse_targets();
        if (statement->names.size() == 1 && take(Kind::symbol, "."))
            statement->attribute = want_name();
        if (take(Kind::symbol, "=")) {
            statement->expression = parse_tuple();
            end_statement();
            return statement;
        }
        end_statement();
        statement->block = parse_block({"endset"});
        end_statement();
        return statement;
    }

    StatementPtr parse_macro(int at) {
        auto statement = std::make_unique<Macro>(at);
        statement->name = want_name();
        want_symbol("(");
        while (!take(Kind::symbol, ")")) {
            std::string parameter = want_name();
            ExpressionPtr fallback = take(Kind::symbol, "=") ? parse_expression() : nullptr;
            statement->parameters.emplace_back(std::move(parameter), std::move(fallback));
            if (!is_symbol(")")) want_symbol(",");
        }
        end_statement();
        const int loops = std::exchange(loops_, 0);
        statement->body = std::make_shared<const Block>(parse_block({"endmacro"}));
        loops_ = loops;
        if (is(Kind::name)) ++at_;  // endmacro may repeat the name
        end_statement();
        return statement;
    }

    StatementPtr parse_group(int at) {
        auto statement = std::make_unique<Group>(at);
        end_statement();
        statement->block = parse_block({"endgeneration"});
        end_statement();
        return statement;
    }

    // ---- expressions, loosest first

    /// a, b without brackets is a list too.
    ExpressionPtr parse_tuple() {
        const int at = line();
        ExpressionPtr first = parse_expression();
        if (!is_symbol(",")) return first;
        auto list = std::make_unique<ListLiteral>(at);
        list->items.push_back(std::move(first));
        while (take(Kind::symbol, ",")) list->items.push_back(parse_expression());
        return list;
    }

    ExpressionPtr parse_expression() {
        const Nested nested(*this);
        const int at = line();
        ExpressionPtr value = parse_or();
        while (take(Kind::name, "if")) {
            auto conditional = std::make_unique<Conditional>(at);
            conditional->yes = std::move(value);
            conditional->condition = parse_or();
            if (take(Kind::name, "else")) conditional->no = parse_expression();
            value = std::move(conditional);
        }
        return value;
    }

    ExpressionPtr parse_or() {
        ExpressionPtr value = parse_and();
        while (is_name("or")) value = binary(std::move(value), &Parser::parse_and);
        return value;
    }
    ExpressionPtr parse_and() {
        ExpressionPtr value = parse_not();
        while (is_name("and")) value = binary(std::move(value), &Parser::parse_not);
        return value;
    }
    /// `now` is the operator.
    ExpressionPtr binary(ExpressionPtr left, ExpressionPtr (Parser::*parse_right)()) {
        const Token& symbol = now();
        ++at_;
        return std::make_unique<Binary>(symbol.line, symbol.text, std::move(left),
                                        (this->*parse_right)());
    }

    ExpressionPtr parse_not() {
        if (!is_name("not")) return parse_comparison();
        const Nested nested(*this);
        const int at = line();
        ++at_;
        return std::make_unique<Unary>(at, "not", parse_not());
    }

    /// a < b <= c stands for a < b and b <= c.
    ExpressionPtr parse_comparison() {
        ExpressionPtr result = parse_sum();
        size_t begin = 0;  // of the right side's tokens, which a chain reads once more
        bool chained = false;
        while (true) {
            std::string symbol;
            if (now().kind == Kind::symbol &&
                (now().text == "==" || now().text == "!=" || now().text == "<" ||
                 now().text == ">" || now().text == "<=" || now().text == ">=")) {
                symbol = now().text;
            } else if (is_name("in")) {
                symbol = "in";
            } else if (is_name("not") && tokens_[at_ + 1].kind == Kind::name &&
                       tokens_[at_ + 1].text == "in") {
                symbol = "not in";
                ++at_;
            } else {
                return result;
            }
            const int at = line();
            ++at_;
            const size_t right_begin = at_;
            ExpressionPtr left = chained ? nullptr : std::move(result);
            if (chained) {
                const size_t here = std::exchange(at_, begin);
                left = parse_sum();
                at_ = here;
            }
            ExpressionPtr right = parse_sum();
            ExpressionPtr one =
                std::make_unique<Binary>(at, symbol, std::move(left), std::move(right));
            result = chained
                         ? std::make_unique<Binary>(at, "and", std::move(result), std::move(one))
                         : std::move(one);
            chained = true;
            begin = right_begin;
        }
    }

    ExpressionPtr parse_sum() {
        ExpressionPtr value = parse_product();
        while (is_symbol("+") || is_symbol("-") || is_symbol("~"))
            value = binary(std::move(value), &Parser::parse_product);
        return value;
    }
    ExpressionPtr parse_product() {
        ExpressionPtr value = parse_power();
        while (is_symbol("*") || is_symbol("/") || is_symbol("//") || is_symbol("%"))
            value = binary(std::move(value), &Parser::parse_power);
        return value;
    }
    ExpressionPtr parse_power() {
        ExpressionPtr value = parse_filtered();
        while (is_symbol("**")) value = binary(std::move(value), &Parser::parse_filtered);
        return value;
    }
    /// Jinja's filters and tests take a sign with them: -3 | abs is 3.
    ExpressionPtr parse_filtered() {
        return parse_filters_and_tests(parse_unary());
    }
    ExpressionPtr parse_unary() {
        if (!is_symbol("-") && !is_symbol("+")) return parse_postfix(parse_primary());
        const Nested nested(*this);
        const Token& symbol = now();
        ++at_;
        return std::make_unique<Unary>(symbol.line, symbol.text, parse_unary());
    }

    ExpressionPtr parse_primary() {
        const int at = line();
        const Token token = now();
        ++at_;
        switch (token.kind) {
            case Kind::string: {
                std::string text = token.text;
                while (is(Kind::string)) text += tokens_[at_++].text;  // "a" "b"
                return std::make_unique<Literal>(at, Value::text(text));
            }
            case Kind::integer:
                return std::make_unique<Literal>(at, integer_of(token));
            case Kind::number:
                return std::make_unique<Literal>(at, std::strtod(token.text.c_str(), nullptr));
            case Kind::name:
                return named(at, token.text);
            default:
                break;
        }
        --at_;
        if (take(Kind::symbol, "(")) return parse_bracket(at);
        if (take(Kind::symbol, "[")) return parse_list(at, "]");
        if (take(Kind::symbol, "{")) return parse_dict(at);
        fail_wanted("a value");
    }

    static Value integer_of(const Token& token) {
        int64_t value = 0;
        const auto [end, error] =
            std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
        if (error != std::errc()) fail_at(token.line, concat("too large a number: ", token.text));
        return value;
    }

    ExpressionPtr named(int at, const std::string& name) {
        if (name == "true" || name == "True") return std::make_unique<Literal>(at, true);
        if (name == "false" || name == "False") return std::make_unique<Literal>(at, false);
        if (name == "none" || name == "None") return std::make_unique<Literal>(at, Value());
        return std::make_unique<Variable>(at, name);
    }

    /// Behind "(": a value in brackets, or a tuple.
    ExpressionPtr parse_bracket(int at) {
        if (take(Kind::symbol, ")")) return std::make_unique<ListLiteral>(at);
        ExpressionPtr first = parse_expression();
        if (take(Kind::symbol, ")")) return first;
        auto list = std::make_unique<ListLiteral>(at);
        list->items.push_back(std::move(first));
        while (take(Kind::symbol, ",") && !is_symbol(")"))
            list->items.push_back(parse_expression());
        want_symbol(")");
        return list;
    }
    ExpressionPtr parse_list(int at, std::string_view close) {
        auto list = std::make_unique<ListLiteral>(at);
        while (!take(Kind::symbol, close)) {
            list->items.push_back(parse_expression());
            if (!is_symbol(close)) want_symbol(",");
        }
        return list;
    }
    ExpressionPtr parse_dict(int at) {
        auto dict = std::make_unique<DictLiteral>(at);
        while (!take(Kind::symbol, "}")) {
            ExpressionPtr key = parse_expression();
            want_symbol(":");
            dict->items.emplace_back(std::move(key), parse_expression());
            if (!is_symbol("}")) want_symbol(",");
        }
        return dict;
    }

    ExpressionPtr parse_postfix(ExpressionPtr value) {
        while (true) {
            const int at = line();
            if (take(Kind::symbol, ".")) {
                // a.0 is a[0]
                Value index =
                    is(Kind::integer) ? integer_of(tokens_[at_++]) : Value::text(want_name());
                value = std::make_unique<Member>(at, std::move(value),
                                                 std::make_unique<Literal>(at, std::move(index)));
            } else if (take(Kind::symbol, "[")) {
                value = parse_index(at, std::move(value));
            } else if (take(Kind::symbol, "(")) {
                auto call = std::make_unique<Call>(at);
                call->function = std::move(value);
                call->arguments = parse_arguments();
                value = std::move(call);
            } else {
                return value;
            }
        }
    }

    ExpressionPtr parse_index(int at, ExpressionPtr object) {
        ExpressionPtr parts[3];
        int colons = 0;
        while (!is_symbol("]")) {
            if (take(Kind::symbol, ":")) {
                if (++colons > 2) fail_wanted("']'");
            } else if (parts[colons]) {
                fail_wanted("']'");
            } else {
                parts[colons] = parse_expression();
            }
        }
        ++at_;
        if (colons == 0) {
            if (!parts[0]) fail_at(at, "an index is missing");
            return std::make_unique<Member>(at, std::move(object), std::move(parts[0]));
        }
        auto slice = std::make_unique<Slice>(at);
        slice->object = std::move(object);
        slice->begin = std::move(parts[0]);
        slice->end = std::move(parts[1]);
        slice->step = std::move(parts[2]);
        return slice;
    }

    /// Behind "(".
    CallArguments parse_arguments() {
        CallArguments arguments;
        while (!take(Kind::symbol, ")")) {
            const Token& next = tokens_[std::min(at_ + 1, tokens_.size() - 1)];
            if (is(Kind::name) && next.kind == Kind::symbol && next.text == "=") {
                std::string name = want_name();
                ++at_;
                arguments.named.emplace_back(std::move(name), parse_expression());
            } else {
                arguments.values.push_back(parse_expression());
            }
            if (!is_symbol(")")) want_symbol(",");
        }
        return arguments;
    }

    ExpressionPtr parse_filters_and_tests(ExpressionPtr value) {
        while (true) {
            const int at = line();
            if (take(Kind::symbol, "|")) {
                auto filter = std::make_unique<Filter>(at);
                filter->operand = std::move(value);
                filter->name = want_name();
                if (take(Kind::symbol, "(")) filter->arguments = parse_arguments();
                value = parse_postfix(std::move(filter));
            } else if (take(Kind::name, "is")) {
                value = parse_test(at, std::move(value));
            } else {
                return value;
            }
        }
    }

    ExpressionPtr parse_test(int at, ExpressionPtr operand) {
        auto test = std::make_unique<Test>(at);
        test->operand = std::move(operand);
        test->negated = take(Kind::name, "not");
        test->name = want_name();
        if (take(Kind::symbol, "(")) {
            test->arguments = parse_arguments();
        } else if (begins_value()) {  // x is divisibleby 3
            test->arguments.values.push_back(parse_postfix(parse_primary()));
        }
        return test;
    }
    bool begins_value() const {
        static constexpr std::string_view kOperators[] = {"and", "or", "not", "in",
                                                          "is",  "if", "else"};
        if (is(Kind::name))
            return std::ranges::find(kOperators, now().text) == std::end(kOperators);
        return is(Kind::string) || is(Kind::integer) || is(Kind::number) || is_symbol("[") ||
               is_symbol("{");
    }

    std::vector<Token> tokens_;
    size_t at_ = 0;
    int depth_ = 0;
    int loops_ = 0;
    std::string ended_by_;
};

}  // namespace

Block parse(std::string_view source) {
    return Parser(source).run();
}

}  // namespace hadal::chat::jinja

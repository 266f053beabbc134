#include "chat/call_grammar.h"

#include "core/error.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"

namespace hadal::chat {

namespace {

using grammar::Expression;
using grammar::ExpressionPtr;
using grammar::Grammar;

/// The same expression, every rule's name with the prefix.
ExpressionPtr renamed(const ExpressionPtr& expression, const std::string& prefix) {
    Expression copy = *expression;
    if (copy.kind == Expression::Kind::rule) copy.rule = prefix + copy.rule;
    for (ExpressionPtr& part : copy.parts) part = renamed(part, prefix);
    return std::make_shared<const Expression>(std::move(copy));
}

/// Adds the rules of a function's arguments; the rule to begin with.
ExpressionPtr add_arguments(const Function& function, const std::string& prefix, Grammar& all) {
    const Grammar one = function.schema.empty() ? grammar::json_object_grammar()
                                                : grammar::json_schema_grammar(function.schema);
    for (const auto& [name, expression] : one.rules) {
        all.rules.emplace_back(prefix + name, renamed(expression, prefix));
    }
    return grammar::rule(prefix + one.rules.front().first);
}

ExpressionPtr call(const Format& format, const std::string& name, ExpressionPtr arguments) {
    const auto mark = [](std::string_view text) { return grammar::text(text); };
    std::vector<ExpressionPtr> parts = {mark(format.call_begin)};
    switch (format.header) {
        case Format::Header::fenced:
            parts.push_back(mark("function"));
            parts.push_back(mark(format.mark));
            parts.push_back(mark(name + "\n```json\n"));
            parts.push_back(std::move(arguments));
            parts.push_back(mark("\n```"));
            break;
        case Format::Header::named:
            parts.push_back(mark(name));
            parts.push_back(mark(format.mark));
            parts.push_back(std::move(arguments));
            break;
        case Format::Header::id:
            parts.push_back(mark("functions." + name + ":"));
            parts.push_back(grammar::parse_regex("[0-9]{1,3}"));
            parts.push_back(mark(format.mark));
            parts.push_back(std::move(arguments));
            break;
        case Format::Header::object:
            parts.push_back(mark(concat("{\"name\": \"", name, "\", \"arguments\": ")));
            parts.push_back(std::move(arguments));
            parts.push_back(mark("}"));
            break;
    }
    parts.push_back(mark(format.call_end));
    return grammar::sequence(std::move(parts));
}

Grammar calls_behind(std::string_view begin, const Format& format,
                     std::span<const Function> functions, bool parallel) {
    Grammar all{.rules = {{"root", nullptr}}};
    std::vector<ExpressionPtr> calls;
    for (size_t i = 0; i < functions.size(); ++i) {
        // No rule of a schema's grammar can begin like this.
        const std::string prefix = concat("function ", i, " ");
        calls.push_back(call(format, functions[i].name, add_arguments(functions[i], prefix, all)));
    }
    const ExpressionPtr any = grammar::choice(std::move(calls));
    const bool breaks = format.header == Format::Header::fenced;  // a line for each
    const bool several = parallel && format.header != Format::Header::object;
    const ExpressionPtr next = breaks ? grammar::sequence({grammar::text("\n"), any}) : any;
    all.rules.front().second =
        grammar::sequence({grammar::parse_regex("[\\n ]{0,2}"), grammar::text(begin), any,
                           grammar::repeat(next, 0, several ? grammar::kUnbounded : 0),
                           grammar::text(format.calls_end)});
    return all;
}

}  // namespace

Grammar call_grammar(const Format& format, std::span<const Function> functions, bool parallel) {
    return calls_behind(format.calls_begin, format, functions, parallel);
}

Grammar begun_call_grammar(const Format& format, std::span<const Function> functions,
                           bool parallel) {
    return calls_behind("", format, functions, parallel);
}

std::optional<int32_t> calls_token(const text::Tokenizer& tokenizer, const Format& format) {
    // Some tokenizers count the line break behind a mark to its token, some do not.
    const std::string_view mark = format.calls_begin;
    const std::string_view line = mark.substr(0, mark.find_last_not_of('\n') + 1);
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
        if (!tokenizer.is_special(id)) continue;
        const std::string_view token = tokenizer.token_bytes(id);
        if (!token.empty() && (mark.ends_with(token) || line.ends_with(token))) return id;
    }
    return {};
}

}  // namespace hadal::chat

#include <utility>

#include "chat/jinja_builtins.h"
#include "chat/jinja_lexer.h"
#include "chat/jinja_nodes.h"
#include "core/error.h"

namespace hadal::chat::jinja {

Flow run_block(const Block& block, Rendering& rendering) {
    for (const auto& statement : block) {
        rendering.step(statement->line);
        const Flow flow = statement->run(rendering);
        if (flow != Flow::next) return flow;
    }
    return Flow::next;
}

Flow PlainText::run(Rendering& rendering) const {
    rendering.output.append(text);
    return Flow::next;
}

Flow Print::run(Rendering& rendering) const {
    rendering.output.append(printed(expression->evaluate(rendering)));
    return Flow::next;
}

Flow If::run(Rendering& rendering) const {
    for (const auto& [condition, block] : branches) {
        if (condition->evaluate(rendering).truth()) return run_block(block, rendering);
    }
    return run_block(otherwise, rendering);
}

List For::chosen(Rendering& rendering) const {
    List all = elements(list->evaluate(rendering));
    if (!condition) return all;
    List result;
    for (Value& item : all) {
        const InnerScope inner(rendering);
        bind(rendering, item);
        if (condition->evaluate(rendering).truth()) result.push_back(std::move(item));
    }
    return result;
}

void For::bind(Rendering& rendering, const Value& item) const {
    auto& variables = rendering.scope->variables;
    if (names.size() == 1) {
        variables[names.front()] = item;
        return;
    }
    const List parts = elements(item);
    if (parts.size() != names.size())
        fail_at(line, concat("cannot unpack ", parts.size(), " values into ", names.size()));
    for (size_t i = 0; i < names.size(); ++i) variables[names[i]] = parts[i];
}

namespace {

/// The variable `loop`.
Value loop_variable(const List& items, size_t i) {
    const auto number = [](size_t value) { return Value(int64_t(value)); };
    Dict loop;
    const auto set = [&](std::string_view name, Value value) {
        loop.items.emplace_back(Text(name), std::move(value));
    };
    set("index", number(i + 1));
    set("index0", number(i));
    set("revindex", number(items.size() - i));
    set("revindex0", number(items.size() - i - 1));
    set("first", i == 0);
    set("last", i + 1 == items.size());
    set("length", number(items.size()));
    set("previtem", i > 0 ? items[i - 1] : Value(Value::Undefined{"loop.previtem"}));
    set("nextitem", i + 1 < items.size() ? items[i + 1] : Value(Value::Undefined{"loop.nextitem"}));
    set("cycle", Function([i](const Arguments& arguments) {
            if (arguments.values.empty()) fail("loop.cycle wants values");
            return arguments.values[i % arguments.values.size()];
        }));
    return loop;
}

}  // namespace

Flow For::run(Rendering& rendering) const {
    const List items = chosen(rendering);
    if (items.empty()) return run_block(otherwise, rendering);
    for (size_t i = 0; i < items.size(); ++i) {
        rendering.step(line);
        const InnerScope inner(rendering);
        rendering.scope->variables["loop"] = loop_variable(items, i);
        bind(rendering, items[i]);
        if (run_block(body, rendering) == Flow::leave_loop) break;
    }
    return Flow::next;
}

Flow Set::run(Rendering& rendering) const {
    Value value;
    if (expression) {
        value = expression->evaluate(rendering);
    } else {
        Text before = std::exchange(rendering.output, {});
        run_block(block, rendering);
        value = std::exchange(rendering.output, std::move(before));
    }
    auto& variables = rendering.scope->variables;
    if (!attribute.empty()) {
        const Value* space = rendering.scope->find(names.front());
        if (space == nullptr || !space->is_dict())
            fail_at(line, concat("'", names.front(), "' is no namespace"));
        Value shared = *space;  // the same dictionary
        shared.as_dict().set(Text(attribute), std::move(value));
    } else if (names.size() == 1) {
        variables[names.front()] = std::move(value);
    } else {
        const List parts = elements(value);
        if (parts.size() != names.size())
            fail_at(line, concat("cannot unpack ", parts.size(), " values into ", names.size()));
        for (size_t i = 0; i < names.size(); ++i) variables[names[i]] = parts[i];
    }
    return Flow::next;
}

Flow Macro::run(Rendering& rendering) const {
    // A macro may outlive the loop that it stands in, so it sees the whole template's variables
    // only.
    Scope* defined_in = rendering.scope;
    while (defined_in->outside != nullptr) defined_in = defined_in->outside;
    rendering.scope->variables[name] =
        Function([this, &rendering, defined_in](const Arguments& arguments) {
            return call(rendering, *defined_in, arguments);
        });
    return Flow::next;
}

Value Macro::call(Rendering& rendering, Scope& defined_in, const Arguments& arguments) const {
    constexpr int kMaxCalls = 64;
    if (rendering.depth >= kMaxCalls)
        fail_at(line, concat("macro '", name, "' calls itself too deeply"));
    ++rendering.depth;
    Scope* const caller = std::exchange(rendering.scope, &defined_in);
    Text before = std::exchange(rendering.output, {});
    const auto restore = [&] {
        rendering.scope = caller;
        --rendering.depth;
        return std::exchange(rendering.output, std::move(before));
    };
    try {
        const InnerScope inner(rendering);
        for (size_t i = 0; i < parameters.size(); ++i) {
            const auto& [parameter, fallback] = parameters[i];
            const Value* given = arguments.find(i, parameter);
            Value value = given != nullptr ? *given
                          : fallback       ? fallback->evaluate(rendering)
                                           : Value(Value::Undefined{parameter});
            rendering.scope->variables[parameter] = std::move(value);
        }
        run_block(*body, rendering);
    } catch (...) {
        restore();
        throw;
    }
    return restore();
}

}  // namespace hadal::chat::jinja

#include <algorithm>
#include <cmath>
#include <limits>

#include "chat/jinja_builtins.h"
#include "chat/jinja_lexer.h"
#include "chat/jinja_nodes.h"
#include "core/error.h"

namespace hadal::chat::jinja {

const Value* Scope::find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outside) {
        const auto found = scope->variables.find(name);
        if (found != scope->variables.end()) return &found->second;
    }
    return nullptr;
}

void Rendering::step(int line, int64_t count) {
    constexpr int64_t kMaxSteps = 2'000'000;
    steps_ += count;
    if (steps_ > kMaxSteps) fail_at(line, "the template does not come to an end");
}

Value Expression::evaluate(Rendering& rendering) const {
    rendering.step(line);
    try {
        Value result = value(rendering);
        // Long values take long to make.
        if (result.is_text()) rendering.step(line, int64_t(result.as_text().size()) / 64);
        if (result.is_list()) rendering.step(line, int64_t(result.as_list().size()) / 8);
        return result;
    } catch (const Error& error) {
        if (std::string_view(error.what()).starts_with("chat template")) throw;
        fail_at(line, error.what());
    }
}

Value Variable::value(Rendering& rendering) const {
    const Value* found = rendering.scope->find(name);
    return found != nullptr ? *found : Value(Value::Undefined{name});
}

Value ListLiteral::value(Rendering& rendering) const {
    List list;
    for (const auto& item : items) list.push_back(item->evaluate(rendering));
    return list;
}

Value DictLiteral::value(Rendering& rendering) const {
    Dict dict;
    for (const auto& [key, item] : items)
        dict.set(key->evaluate(rendering).as_text(), item->evaluate(rendering));
    return dict;
}

Value Unary::value(Rendering& rendering) const {
    const Value held = operand->evaluate(rendering);
    if (symbol == "not") return !held.truth();
    if (held.is<double>()) return symbol == "-" ? -held.as_number() : held.as_number();
    const int64_t number = held.as_integer();
    if (symbol == "+") return number;
    if (number == std::numeric_limits<int64_t>::min()) fail("a number is too large");
    return -number;
}

namespace {

/// Python's division of integers rounds down; its remainder has the sign of the divisor.
int64_t floor_divide(int64_t a, int64_t b) {
    if (b == 0) fail("division by zero");
    if (a == std::numeric_limits<int64_t>::min() && b == -1) fail("a number is too large");
    return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

int64_t power(int64_t base, int64_t exponent) {
    int64_t result = 1;
    for (int64_t i = 0; i < exponent; ++i) {
        if (__builtin_mul_overflow(result, base, &result)) fail("a number is too large");
        if (result == 0 || result == 1) break;
    }
    return result;
}

Value whole_numbers(const std::string& symbol, int64_t a, int64_t b) {
    int64_t result = 0;
    bool too_large = false;
    if (symbol == "+") {
        too_large = __builtin_add_overflow(a, b, &result);
    } else if (symbol == "-") {
        too_large = __builtin_sub_overflow(a, b, &result);
    } else if (symbol == "*") {
        too_large = __builtin_mul_overflow(a, b, &result);
    } else if (symbol == "//") {
        result = floor_divide(a, b);
    } else if (symbol == "%") {
        result = b == -1 ? 0 : a - floor_divide(a, b) * b;
    } else {  // **
        if (b < 0) return std::pow(double(a), double(b));
        result = power(a, b);
    }
    if (too_large) fail("a number is too large");
    return result;
}

Value fractions(const std::string& symbol, double a, double b) {
    if (symbol == "+") return a + b;
    if (symbol == "-") return a - b;
    if (symbol == "*") return a * b;
    if (symbol == "**") return std::pow(a, b);
    if (b == 0) fail("division by zero");
    if (symbol == "/") return a / b;
    const double down = std::floor(a / b);
    return symbol == "//" ? down : a - down * b;
}

Value joined(const Value& a, const Value& b) {
    if (a.is_text() && b.is_text()) {
        Text text = a.as_text();
        text.append(b.as_text());
        return text;
    }
    List list = a.as_list();
    const List& more = b.as_list();
    list.insert(list.end(), more.begin(), more.end());
    return list;
}

/// "ab" * 3
Value repeated(const Text& text, int64_t count) {
    Text result;
    for (int64_t i = 0; i < count && !text.empty(); ++i) result.append(text);
    return result;
}

Value arithmetic(const std::string& symbol, const Value& a, const Value& b) {
    if (a.is_integer() && b.is_integer() && symbol != "/")
        return whole_numbers(symbol, a.as_integer(), b.as_integer());
    if (a.is_number() && b.is_number()) return fractions(symbol, a.as_number(), b.as_number());
    if (symbol == "+" && (a.is_text() || a.is_list()) && (b.is_text() || b.is_list()))
        return joined(a, b);
    if (symbol == "*" && a.is_text() && b.is_integer())
        return repeated(a.as_text(), b.as_integer());
    fail(concat("cannot compute ", a.kind(), " ", symbol, " ", b.kind()));
}

}  // namespace

Value Binary::value(Rendering& rendering) const {
    const Value a = left->evaluate(rendering);
    if (symbol == "and") return a.truth() ? right->evaluate(rendering) : a;
    if (symbol == "or") return a.truth() ? a : right->evaluate(rendering);
    const Value b = right->evaluate(rendering);
    if (symbol == "==") return equal(a, b);
    if (symbol == "!=") return !equal(a, b);
    if (symbol == "<") return less(a, b);
    if (symbol == ">") return less(b, a);
    if (symbol == "<=") return !less(b, a);
    if (symbol == ">=") return !less(a, b);
    if (symbol == "in") return contains(b, a);
    if (symbol == "not in") return !contains(b, a);
    if (symbol == "~") {
        Text text = printed(a);
        text.append(printed(b));
        return text;
    }
    return arithmetic(symbol, a, b);
}

Value Conditional::value(Rendering& rendering) const {
    if (condition->evaluate(rendering).truth()) return yes->evaluate(rendering);
    return no ? no->evaluate(rendering) : Value(Value::Undefined{"the else of a condition"});
}

Value member_of(const Value& object, const Value& index) {
    if (object.is_undefined()) fail("looks inside something undefined");
    if (index.is_text()) {
        const std::string& name = index.as_text().bytes();
        const Value* found = object.is_dict() ? object.as_dict().find(name) : nullptr;
        return found != nullptr ? *found : method_of(object, name);
    }
    if (!index.is_integer()) return Value::Undefined{"an element"};
    if (!object.is_list() && !object.is_text()) return Value::Undefined{"an element"};
    const int64_t count = length(object);
    int64_t i = index.as_integer();
    if (i < 0) i += count;
    if (i < 0 || i >= count) return Value::Undefined{"an element"};
    return object.is_list() ? object.as_list()[size_t(i)] : elements(object)[size_t(i)];
}

Value Member::value(Rendering& rendering) const {
    const Value held = object->evaluate(rendering);
    if (held.is_undefined()) {
        const auto* variable = dynamic_cast<const Variable*>(object.get());
        fail(concat("'", variable != nullptr ? variable->name : "a value", "' is undefined"));
    }
    return member_of(held, index->evaluate(rendering));
}

namespace {

/// A bound of Python's slices, from 0 to `count`; for steps backwards one less.
int64_t bound(const ExpressionPtr& given, Rendering& rendering, int64_t count, int64_t absent,
              int64_t lowest) {
    if (!given) return absent;
    const Value value = given->evaluate(rendering);
    if (value.is_none()) return absent;
    int64_t i = value.as_integer();
    if (i < 0) i = std::max(i, -count - 1) + count;
    return std::clamp(i, lowest, count + lowest);
}

}  // namespace

Value Slice::value(Rendering& rendering) const {
    const Value held = object->evaluate(rendering);
    const int64_t by = step ? step->evaluate(rendering).as_integer() : 1;
    if (by == 0) fail("a slice's step is zero");
    const List all = elements(held);
    const auto count = int64_t(all.size()), lowest = int64_t(by > 0 ? 0 : -1);
    const int64_t first = bound(begin, rendering, count, by > 0 ? 0 : count - 1, lowest);
    const int64_t last = bound(end, rendering, count, by > 0 ? count : -1, lowest);
    List list;
    for (int64_t i = first; by > 0 ? i < last : i > last;
         i += std::clamp(by, -count - 1, count + 1))
        list.push_back(all[size_t(i)]);
    if (!held.is_text()) return list;
    Text text;
    for (const Value& character : list) text.append(character.as_text());
    return text;
}

Arguments CallArguments::evaluate(Rendering& rendering) const {
    Arguments result;
    for (const auto& value : values) result.values.push_back(value->evaluate(rendering));
    for (const auto& [name, value] : named)
        result.named.emplace_back(name, value->evaluate(rendering));
    return result;
}

Value Call::value(Rendering& rendering) const {
    const Value called = function->evaluate(rendering);
    if (!called.is_function()) {
        const auto* variable = dynamic_cast<const Variable*>(function.get());
        fail(concat(variable != nullptr ? concat("'", variable->name, "'") : "what is called",
                    " is no function but ", called.kind()));
    }
    return called.as_function()(arguments.evaluate(rendering));
}

Value Filter::value(Rendering& rendering) const {
    const Value held = operand->evaluate(rendering);
    return apply_filter(name, held, arguments.evaluate(rendering));
}

Value Test::value(Rendering& rendering) const {
    const Value held = operand->evaluate(rendering);
    return apply_test(name, held, arguments.evaluate(rendering)) != negated;
}

}  // namespace hadal::chat::jinja

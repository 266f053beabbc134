#include "chat/jinja_builtins.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <map>

#include "core/error.h"

namespace hadal::chat::jinja {

namespace {

constexpr int64_t kMaxRange = 100'000;

using FilterFunction = Value (*)(const Value& value, const Arguments& arguments);
using TestFunction = bool (*)(const Value& value, const Arguments& arguments);

Text text_at(const Arguments& arguments, size_t index, std::string_view name,
             std::string_view fallback) {
    const Value* found = arguments.find(index, name);
    return found != nullptr ? found->as_text() : Text(fallback);
}
int64_t integer_at(const Arguments& arguments, size_t index, std::string_view name,
                   int64_t fallback) {
    const Value* found = arguments.find(index, name);
    return found != nullptr && !found->is_none() ? found->as_integer() : fallback;
}

/// An attribute as filters name it: "function.name" is the name of the function.
Value attribute_of(const Value& item, const Value& attribute) {
    if (!attribute.is_text()) return member_of(item, attribute);
    Value found = item;
    for (const Text& part : split(attribute.as_text(), "."))
        found = found.is_undefined() ? found : member_of(found, part);
    return found;
}

// ---- filters

Value join(const Value& value, const Arguments& arguments) {
    const Text separator = text_at(arguments, 0, "d", "");
    const Value* attribute = arguments.find(1, "attribute");
    Text result;
    bool first = true;
    for (const Value& item : elements(value)) {
        if (!first) result.append(separator);
        first = false;
        result.append(printed(attribute != nullptr ? attribute_of(item, *attribute) : item));
    }
    return result;
}

Value map_filter(const Value& value, const Arguments& arguments) {
    List result;
    const Value* attribute = arguments.find(arguments.values.size(), "attribute");
    const Value* fallback = arguments.find(arguments.values.size(), "default");
    for (const Value& item : elements(value)) {
        if (attribute != nullptr) {
            Value found = attribute_of(item, *attribute);
            result.push_back(found.is_undefined() && fallback != nullptr ? *fallback : found);
        } else {
            Arguments rest = arguments;
            const std::string name = arguments.at(0, "filter").as_text().bytes();
            rest.values.erase(rest.values.begin());
            result.push_back(apply_filter(name, item, rest));
        }
    }
    return result;
}

/// select, reject, selectattr, rejectattr: those whose (attribute's) test gives `wanted`.
List chosen(const Value& value, const Arguments& arguments, bool by_attribute, bool wanted) {
    Arguments rest = arguments;
    Value attribute;
    if (by_attribute) {
        attribute = arguments.at(0, "attribute");
        rest.values.erase(rest.values.begin());
    }
    std::string test;
    if (!rest.values.empty()) {
        test = rest.values.front().as_text().bytes();
        rest.values.erase(rest.values.begin());
    }
    List result;
    for (const Value& item : elements(value)) {
        const Value tested = by_attribute ? attribute_of(item, attribute) : item;
        const bool passes = test.empty() ? tested.truth() : apply_test(test, tested, rest);
        if (passes == wanted) result.push_back(item);
    }
    return result;
}

List pairs(const Value& value) {
    List result;
    if (value.is_undefined()) return result;
    for (const auto& [key, held] : value.as_dict().items) result.emplace_back(List{key, held});
    return result;
}

Value sorted(const Value& value, const Arguments& arguments) {
    List list = elements(value);
    const Value* attribute = arguments.find(2, "attribute");
    const auto key = [&](const Value& item) {
        return attribute != nullptr ? attribute_of(item, *attribute) : item;
    };
    const Value* reverse = arguments.find(0, "reverse");
    const bool down = reverse != nullptr && reverse->truth();
    std::stable_sort(list.begin(), list.end(), [&](const Value& a, const Value& b) {
        return down ? less(key(b), key(a)) : less(key(a), key(b));
    });
    return list;
}

Value unique(const Value& value, const Arguments&) {
    List result;
    for (const Value& item : elements(value)) {
        if (std::ranges::none_of(result, [&](const Value& one) { return equal(one, item); }))
            result.push_back(item);
    }
    return result;
}

Value to_integer(const Value& value, const Arguments& arguments) {
    if (value.is<double>()) {
        const double number = value.as_number();
        if (!(std::abs(number) < 9e18)) fail("a number is too large");
        return int64_t(number);
    }
    if (value.is_integer()) return value.as_integer();
    const int64_t fallback = integer_at(arguments, 0, "default", 0);
    if (!value.is_text()) return fallback;
    const std::string bytes = stripped(value.as_text(), true, true).bytes();
    int64_t number = 0;
    const auto [end, error] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), number);
    return error == std::errc() && end == bytes.data() + bytes.size() ? number : fallback;
}

Value to_number(const Value& value, const Arguments&) {
    if (value.is_number()) return value.as_number();
    if (!value.is_text()) return 0.0;
    return std::strtod(value.as_text().bytes().c_str(), nullptr);
}

Value reversed(const Value& value, const Arguments&) {
    List list = elements(value);
    std::ranges::reverse(list);
    if (!value.is_text()) return list;
    Text text;
    for (const Value& character : list) text.append(character.as_text());
    return text;
}

Text capitalized(const Text& text) {
    Text result = mapped(text.part(0, 1), to_upper);
    result.append(mapped(text.part(std::min<size_t>(1, text.size())), to_lower));
    return result;
}

Text titled(const Text& text) {
    Text result;
    bool begins = true;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text.bytes()[i];
        const bool letter = to_upper(c) != to_lower(c);
        result.append(std::string(1, begins ? to_upper(c) : to_lower(c)), text.source(i));
        begins = !letter;
    }
    return result;
}

Value escaped(const Value& value, const Arguments&) {
    static constexpr std::pair<const char*, const char*> kEscapes[] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&#34;"}, {"'", "&#39;"}};
    Text text = printed(value);
    for (const auto& [from, to] : kEscapes) text = replaced(text, from, Text(to));
    return text;
}

Value indented(const Value& value, const Arguments& arguments) {
    const std::string space(
        size_t(std::clamp<int64_t>(integer_at(arguments, 0, "width", 4), 0, 64)), ' ');
    const Value* first = arguments.find(1, "first");
    Text result(first != nullptr && first->truth() ? space : "");
    const std::vector<Text> lines = split(value.as_text(), "\n");
    for (size_t i = 0; i < lines.size(); ++i) {
        if (i > 0) result.append("\n");
        if (i > 0 && !lines[i].empty()) result.append(space);
        result.append(lines[i]);
    }
    return result;
}

Value sum(const Value& value, const Arguments&) {
    int64_t whole = 0;
    double fraction = 0;
    bool is_whole = true;
    for (const Value& item : elements(value)) {
        is_whole = is_whole && item.is_integer();
        fraction += item.as_number();
        if (is_whole && __builtin_add_overflow(whole, item.as_integer(), &whole))
            fail("a number is too large");
    }
    return is_whole ? Value(whole) : Value(fraction);
}

Value json_filter(const Value& value, const Arguments& arguments) {
    return json_text(value, integer_at(arguments, arguments.values.empty() ? 9 : 0, "indent", -1));
}

Value fallback_for(const Value& value, const Arguments& arguments) {
    const Value* also_false = arguments.find(1, "boolean");
    const bool replace =
        value.is_undefined() || (also_false != nullptr && also_false->truth() && !value.truth());
    if (!replace) return value;
    const Value* fallback = arguments.find(0, "default_value");
    return fallback != nullptr ? *fallback : Value::text("");
}

Value end_of(const Value& value, bool last) {
    const List list = elements(value);
    if (list.empty()) return Value::Undefined{"an element of nothing"};
    return last ? list.back() : list.front();
}

Value replaced_in(const Value& value, const Arguments& arguments) {
    return replaced(printed(value), arguments.at(0, "old").as_text().bytes(),
                    arguments.at(1, "new").as_text(), integer_at(arguments, 2, "count", -1));
}

const std::map<std::string_view, FilterFunction>& filters() {
    using V = const Value&;
    using A = const Arguments&;
    static const std::map<std::string_view, FilterFunction> kFilters = {
        {"tojson", json_filter},
        {"trim",
         [](V v, A a) -> Value {
             return stripped(printed(v), true, true, text_at(a, 0, "chars", "").bytes());
         }},
        {"join", join},
        {"length", [](V v, A) -> Value { return length(v); }},
        {"count", [](V v, A) -> Value { return length(v); }},
        {"default", fallback_for},
        {"d", fallback_for},
        {"map", map_filter},
        {"select", [](V v, A a) -> Value { return chosen(v, a, false, true); }},
        {"reject", [](V v, A a) -> Value { return chosen(v, a, false, false); }},
        {"selectattr", [](V v, A a) -> Value { return chosen(v, a, true, true); }},
        {"rejectattr", [](V v, A a) -> Value { return chosen(v, a, true, false); }},
        {"items", [](V v, A) -> Value { return pairs(v); }},
        {"dictsort",
         [](V v, A) -> Value {
             List list = pairs(v);
             std::stable_sort(list.begin(), list.end(),
                              [](V x, V y) { return less(x.as_list()[0], y.as_list()[0]); });
             return list;
         }},
        {"list", [](V v, A) -> Value { return elements(v); }},
        {"string", [](V v, A) -> Value { return printed(v); }},
        {"safe", [](V v, A) -> Value { return v; }},
        {"escape", escaped},
        {"e", escaped},
        {"int", to_integer},
        {"float", to_number},
        {"abs",
         [](V v, A) -> Value {
             return v.is<double>()
                        ? Value(std::abs(v.as_number()))
                        : Value(v.as_integer() < 0 ? -std::max(v.as_integer(), -INT64_MAX)
                                                   : v.as_integer());
         }},
        {"upper", [](V v, A) -> Value { return mapped(printed(v), to_upper); }},
        {"lower", [](V v, A) -> Value { return mapped(printed(v), to_lower); }},
        {"capitalize", [](V v, A) -> Value { return capitalized(printed(v)); }},
        {"title", [](V v, A) -> Value { return titled(printed(v)); }},
        {"replace", replaced_in},
        {"first", [](V v, A) -> Value { return end_of(v, false); }},
        {"last", [](V v, A) -> Value { return end_of(v, true); }},
        {"reverse", reversed},
        {"sort", sorted},
        {"unique", unique},
        {"indent", indented},
        {"sum", sum},
    };
    return kFilters;
}

// ---- tests

const std::map<std::string_view, TestFunction>& tests() {
    using V = const Value&;
    using A = const Arguments&;
    static constexpr TestFunction kEqual = [](V v, A a) { return equal(v, a.at(0, "other")); };
    static const std::map<std::string_view, TestFunction> kTests = {
        {"defined", [](V v, A) { return !v.is_undefined(); }},
        {"undefined", [](V v, A) { return v.is_undefined(); }},
        {"none", [](V v, A) { return v.is_none(); }},
        {"string", [](V v, A) { return v.is_text(); }},
        {"mapping", [](V v, A) { return v.is_dict(); }},
        {"sequence", [](V v, A) { return v.is_list() || v.is_text() || v.is_dict(); }},
        {"iterable",
         [](V v, A) { return v.is_list() || v.is_text() || v.is_dict() || v.is_undefined(); }},
        {"number", [](V v, A) { return v.is_number(); }},
        {"integer", [](V v, A) { return v.is<int64_t>(); }},
        {"float", [](V v, A) { return v.is<double>(); }},
        {"boolean", [](V v, A) { return v.is<bool>(); }},
        {"true", [](V v, A) { return v.is<bool>() && v.truth(); }},
        {"false", [](V v, A) { return v.is<bool>() && !v.truth(); }},
        {"callable", [](V v, A) { return v.is_function(); }},
        {"odd", [](V v, A) { return v.as_integer() % 2 != 0; }},
        {"even", [](V v, A) { return v.as_integer() % 2 == 0; }},
        {"divisibleby",
         [](V v, A a) {
             const int64_t by = a.at(0, "num").as_integer();
             if (by == 0) fail("division by zero");
             return by == -1 || v.as_integer() % by == 0;
         }},
        {"in", [](V v, A a) { return contains(a.at(0, "seq"), v); }},
        {"eq", kEqual},
        {"equalto", kEqual},
        {"sameas", kEqual},
        {"ne", [](V v, A a) { return !equal(v, a.at(0, "other")); }},
        {"lt", [](V v, A a) { return less(v, a.at(0, "other")); }},
        {"gt", [](V v, A a) { return less(a.at(0, "other"), v); }},
        {"le", [](V v, A a) { return !less(a.at(0, "other"), v); }},
        {"ge", [](V v, A a) { return !less(v, a.at(0, "other")); }},
        {"lower", [](V v, A) { return mapped(v.as_text(), to_lower) == v.as_text(); }},
        {"upper", [](V v, A) { return mapped(v.as_text(), to_upper) == v.as_text(); }},
    };
    return kTests;
}

// ---- methods

List texts(const std::vector<Text>& parts) {
    return {parts.begin(), parts.end()};
}

/// startswith and endswith take one text or several.
bool any_of(const Value& options, const std::function<bool(std::string_view)>& fits) {
    if (options.is_text()) return fits(options.as_text().bytes());
    return std::ranges::any_of(options.as_list(),
                               [&](const Value& one) { return fits(one.as_text().bytes()); });
}

using TextMethod = Value (*)(const Text& text, const Arguments& arguments);
const std::map<std::string_view, TextMethod>& text_methods() {
    using T = const Text&;
    using A = const Arguments&;
    static const std::map<std::string_view, TextMethod> kMethods = {
        {"strip",
         [](T t, A a) -> Value {
             return stripped(t, true, true, text_at(a, 0, "chars", "").bytes());
         }},
        {"lstrip",
         [](T t, A a) -> Value {
             return stripped(t, true, false, text_at(a, 0, "chars", "").bytes());
         }},
        {"rstrip",
         [](T t, A a) -> Value {
             return stripped(t, false, true, text_at(a, 0, "chars", "").bytes());
         }},
        {"split",
         [](T t, A a) -> Value {
             return texts(
                 split(t, text_at(a, 0, "sep", "").bytes(), integer_at(a, 1, "maxsplit", -1)));
         }},
        {"rsplit",
         [](T t, A a) -> Value {
             return texts(split_from_right(t, text_at(a, 0, "sep", "").bytes(),
                                           integer_at(a, 1, "maxsplit", -1)));
         }},
        {"splitlines",
         [](T t, A) -> Value {
             std::vector<Text> lines = split(t, "\n");
             if (lines.back().empty()) lines.pop_back();
             return texts(lines);
         }},
        {"startswith",
         [](T t, A a) -> Value {
             return any_of(a.at(0, "prefix"),
                           [&](std::string_view p) { return t.bytes().starts_with(p); });
         }},
        {"endswith",
         [](T t, A a) -> Value {
             return any_of(a.at(0, "suffix"),
                           [&](std::string_view p) { return t.bytes().ends_with(p); });
         }},
        {"replace", [](T t, A a) -> Value { return replaced_in(t, a); }},
        {"upper", [](T t, A) -> Value { return mapped(t, to_upper); }},
        {"lower", [](T t, A) -> Value { return mapped(t, to_lower); }},
        {"capitalize", [](T t, A) -> Value { return capitalized(t); }},
        {"title", [](T t, A) -> Value { return titled(t); }},
        {"find",
         [](T t, A a) -> Value {
             const size_t at = t.bytes().find(a.at(0, "sub").as_text().bytes());
             return at == std::string::npos ? int64_t(-1) : length(t.part(0, at));
         }},
        {"count",
         [](T t, A a) -> Value {
             const std::string& sub = a.at(0, "sub").as_text().bytes();
             return sub.empty() ? length(t) + 1 : int64_t(split(t, sub).size()) - 1;
         }},
        {"join",
         [](T t, A a) -> Value { return join(a.at(0, "iterable"), {.values = {t}, .named = {}}); }},
    };
    return kMethods;
}

using DictMethod = Value (*)(Value dict, const Arguments& arguments);
const std::map<std::string_view, DictMethod>& dict_methods() {
    using A = const Arguments&;
    static const std::map<std::string_view, DictMethod> kMethods = {
        {"items", [](Value d, A) -> Value { return pairs(d); }},
        {"keys", [](Value d, A) -> Value { return elements(d); }},
        {"values",
         [](Value d, A) -> Value {
             List list;
             for (const auto& [key, value] : d.as_dict().items) list.push_back(value);
             return list;
         }},
        {"get",
         [](Value d, A a) -> Value {
             const Value* found = d.as_dict().find(a.at(0, "key").as_text().bytes());
             const Value* fallback = a.find(1, "default");
             return found != nullptr ? *found : fallback != nullptr ? *fallback : Value();
         }},
        {"update",
         [](Value d, A a) -> Value {
             const Dict more = a.at(0, "other").as_dict();
             for (const auto& [key, value] : more.items) d.as_dict().set(key, value);
             return Value();
         }},
    };
    return kMethods;
}

using ListMethod = Value (*)(Value list, const Arguments& arguments);
const std::map<std::string_view, ListMethod>& list_methods() {
    using A = const Arguments&;
    static const std::map<std::string_view, ListMethod> kMethods = {
        {"append",
         [](Value l, A a) -> Value {
             // A list in itself could never be printed, nor freed.
             const Value& item = a.at(0, "object");
             if (item.is_list() || item.is_dict()) {
                 l.as_list().push_back(item.is_list() ? Value(List(item.as_list()))
                                                      : Value(Dict(item.as_dict())));
                 return Value();
             }
             l.as_list().push_back(item);
             return Value();
         }},
        {"pop",
         [](Value l, A) -> Value {
             if (l.as_list().empty()) fail("pop from an empty list");
             Value last = l.as_list().back();
             l.as_list().pop_back();
             return last;
         }},
        {"index",
         [](Value l, A a) -> Value {
             const List& list = l.as_list();
             for (size_t i = 0; i < list.size(); ++i)
                 if (equal(list[i], a.at(0, "value"))) return int64_t(i);
             fail("the list does not hold the value");
         }},
    };
    return kMethods;
}

// ---- functions

Value range(const Arguments& arguments) {
    const size_t count = arguments.values.size();
    const int64_t first = count > 1 ? arguments.values[0].as_integer() : 0;
    const int64_t last = arguments.at(count > 1 ? 1 : 0, "stop").as_integer();
    const int64_t step = count > 2 ? arguments.values[2].as_integer() : 1;
    if (step == 0) fail("range's step is zero");
    List list;
    for (int64_t i = first; step > 0 ? i < last : i > last;) {
        if (int64_t(list.size()) == kMaxRange)
            fail(concat("range gives more than ", kMaxRange, " numbers"));
        list.emplace_back(i);
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    return list;
}

Value new_dict(const Arguments& arguments) {
    Dict dict;
    if (!arguments.values.empty()) dict = arguments.values.front().as_dict();
    for (const auto& [name, value] : arguments.named) dict.set(Text(name), value);
    return dict;
}

Value time_now(const Arguments& arguments) {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    char text[256];
    const std::string format = arguments.at(0, "format").as_text().bytes().substr(0, 100);
    return Value::text(
        std::string_view(text, std::strftime(text, sizeof text, format.c_str(), &local)));
}

template <class Map>
const typename Map::mapped_type& found(const Map& map, const std::string& name,
                                       std::string_view what) {
    const auto entry = map.find(name);
    if (entry == map.end()) fail(concat("the ", what, " '", name, "' is not known here"));
    return entry->second;
}

template <class Methods, class Held>
Value bound(const Methods& methods, const std::string& name, Held held) {
    const auto entry = methods.find(name);
    if (entry == methods.end()) return Value::Undefined{name};
    return Function([method = entry->second, held](const Arguments& arguments) {
        return method(held, arguments);
    });
}

}  // namespace

Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments) {
    return found(filters(), name, "filter")(value, arguments);
}

bool apply_test(const std::string& name, const Value& value, const Arguments& arguments) {
    return found(tests(), name, "test")(value, arguments);
}

Value method_of(const Value& value, const std::string& name) {
    if (value.is_text()) return bound(text_methods(), name, value.as_text());
    if (value.is_dict()) return bound(dict_methods(), name, value);
    if (value.is_list()) return bound(list_methods(), name, value);
    return Value::Undefined{name};
}

void add_functions(Scope& globals) {
    globals.variables["range"] = Function(range);
    globals.variables["namespace"] = Function(new_dict);
    globals.variables["dict"] = Function(new_dict);
    globals.variables["strftime_now"] = Function(time_now);
    globals.variables["raise_exception"] = Function([](const Arguments& arguments) -> Value {
        fail(concat("the template refuses: ", arguments.at(0, "message").as_text().bytes()));
    });
}

}  // namespace hadal::chat::jinja

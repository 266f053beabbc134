#include "chat/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"

namespace hadal::chat::jinja {

void fail(const std::string& message) {
    throw Error(Error::Kind::bad_input, message);
}

namespace {

constexpr int kMaxDepth = 64;  // of values in values

[[noreturn]] void fail_kind(std::string_view wanted, const Value& value) {
    if (value.is_undefined()) fail(concat("wants ", wanted, ", got something undefined"));
    fail(concat("wants ", wanted, ", got ", value.kind()));
}

/// As Python's repr: the shortest that reads back, with ".0" for whole numbers.
std::string number_text(double value) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    char text[40];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    std::string result(text, end);
    const bool whole = result.find_first_of(".en") == std::string::npos;
    return whole ? result + ".0" : result;
}

Text repeated_space(int64_t count) {
    return Text(std::string(size_t(count), ' '));
}

/// JSON, or Python's repr: the same shape with other words.
class Writer {
  public:
    Writer(bool is_json, int64_t indent) : is_json_(is_json), indent_(indent) {}

    Text write(const Value& value, int depth = 0) const {
        if (depth > kMaxDepth) fail("a value is nested too deeply");
        if (value.is_text()) return quoted(value.as_text());
        if (value.is_list()) return list(value.as_list(), depth);
        if (value.is_dict()) return dict(value.as_dict(), depth);
        if (value.is<bool>())
            return Text(value.truth() ? word("true", "True") : word("false", "False"));
        if (value.is_none()) return Text(word("null", "None"));
        if (value.is<int64_t>()) return Text(std::to_string(value.as_integer()));
        if (value.is<double>()) return Text(number_text(value.as_number()));
        fail(concat("cannot be written as JSON: ", value.kind()));
    }

  private:
    std::string_view word(std::string_view json, std::string_view python) const {
        return is_json_ ? json : python;
    }
    Text quoted(const Text& text) const {
        const char quote = is_json_ ? '"' : '\'';
        Text result(std::string(1, quote));
        size_t begin = 0;
        for (size_t i = 0; i < text.size(); ++i) {
            const std::string escape = escaped(text.bytes()[i], quote);
            if (escape.empty()) continue;
            result.append(text.part(begin, i - begin));
            result.append(escape, text.source(i));
            begin = i + 1;
        }
        result.append(text.part(begin));
        result.append(std::string(1, quote));
        return result;
    }
    static std::string escaped(char c, char quote) {
        if (c == quote || c == '\\') return {'\\', c};
        if (c == '\n') return "\\n";
        if (c == '\r') return "\\r";
        if (c == '\t') return "\\t";
        if (c == '\b') return "\\b";
        if (c == '\f') return "\\f";
        if (uint8_t(c) >= 0x20) return {};
        constexpr const char* kHex = "0123456789abcdef";
        return {'\\', 'u', '0', '0', kHex[uint8_t(c) >> 4], kHex[uint8_t(c) & 15]};
    }

    void line(Text& result, int depth) const {
        if (indent_ < 0) return;
        result.append("\n");
        result.append(repeated_space(indent_ * depth));
    }
    std::string_view comma() const {
        return indent_ < 0 ? ", " : ",";
    }
    Text list(const List& items, int depth) const {
        if (items.empty()) return Text("[]");
        Text result("[");
        for (size_t i = 0; i < items.size(); ++i) {
            if (i > 0) result.append(comma());
            line(result, depth + 1);
            result.append(write(items[i], depth + 1));
        }
        line(result, depth);
        result.append("]");
        return result;
    }
    Text dict(const Dict& dict, int depth) const {
        if (dict.items.empty()) return Text("{}");
        Text result("{");
        for (size_t i = 0; i < dict.items.size(); ++i) {
            if (i > 0) result.append(comma());
            line(result, depth + 1);
            result.append(quoted(dict.items[i].first));
            result.append(": ");
            result.append(write(dict.items[i].second, depth + 1));
        }
        line(result, depth);
        result.append("}");
        return result;
    }

    bool is_json_;
    int64_t indent_;
};

}  // namespace

const Value* Dict::find(std::string_view key) const {
    for (const auto& [name, value] : items) {
        if (name.bytes() == key) return &value;
    }
    return nullptr;
}

void Dict::set(const Text& key, Value value) {
    for (auto& [name, held] : items) {
        if (name == key) {
            held = std::move(value);
            return;
        }
    }
    items.emplace_back(key, std::move(value));
}

const Text& Value::as_text() const {
    if (!is_text()) fail_kind("a string", *this);
    return std::get<Text>(held_);
}
const List& Value::as_list() const {
    if (!is_list()) fail_kind("a list", *this);
    return *std::get<std::shared_ptr<List>>(held_);
}
List& Value::as_list() {
    if (!is_list()) fail_kind("a list", *this);
    return *std::get<std::shared_ptr<List>>(held_);
}
const Dict& Value::as_dict() const {
    if (!is_dict()) fail_kind("a dictionary", *this);
    return *std::get<std::shared_ptr<Dict>>(held_);
}
Dict& Value::as_dict() {
    if (!is_dict()) fail_kind("a dictionary", *this);
    return *std::get<std::shared_ptr<Dict>>(held_);
}
const Function& Value::as_function() const {
    if (!is_function()) fail_kind("a function", *this);
    return *std::get<std::shared_ptr<Function>>(held_);
}
int64_t Value::as_integer() const {
    if (is<bool>()) return std::get<bool>(held_) ? 1 : 0;
    if (!is<int64_t>()) fail_kind("a whole number", *this);
    return std::get<int64_t>(held_);
}
double Value::as_number() const {
    if (is<double>()) return std::get<double>(held_);
    if (!is_integer()) fail_kind("a number", *this);
    return double(as_integer());
}

bool Value::truth() const {
    if (is<bool>()) return std::get<bool>(held_);
    if (is_undefined() || is_none()) return false;
    if (is<int64_t>()) return as_integer() != 0;
    if (is<double>()) return as_number() != 0;
    if (is_text()) return !as_text().empty();
    if (is_list()) return !as_list().empty();
    if (is_dict()) return !as_dict().items.empty();
    return true;
}

std::string_view Value::kind() const {
    if (is_undefined()) return "something undefined";
    if (is_none()) return "none";
    if (is<bool>()) return "a truth value";
    if (is_number()) return "a number";
    if (is_text()) return "a string";
    if (is_list()) return "a list";
    return is_dict() ? "a dictionary" : "a function";
}

const Value* Arguments::find(size_t index, std::string_view name) const {
    if (index < values.size()) return &values[index];
    for (const auto& [given, value] : named) {
        if (given == name) return &value;
    }
    return nullptr;
}

const Value& Arguments::at(size_t index, std::string_view name) const {
    const Value* found = find(index, name);
    if (found == nullptr) fail(concat("the argument '", name, "' is missing"));
    return *found;
}

Text printed(const Value& value) {
    if (value.is_text()) return value.as_text();
    if (value.is_undefined()) return {};
    if (value.is_function()) return Text("<function>");
    return Writer(/*is_json=*/false, -1).write(value);
}

Text json_text(const Value& value, int64_t indent) {
    return Writer(/*is_json=*/true, std::min<int64_t>(indent, 16)).write(value);
}

bool equal(const Value& a, const Value& b) {
    if (a.is_number() && b.is_number()) return a.as_number() == b.as_number();
    if (a.is_text() && b.is_text()) return a.as_text() == b.as_text();
    if (a.is_list() && b.is_list()) {
        return std::ranges::equal(a.as_list(), b.as_list(), equal);
    }
    if (a.is_dict() && b.is_dict()) {
        const Dict &left = a.as_dict(), &right = b.as_dict();
        return left.items.size() == right.items.size() &&
               std::ranges::all_of(left.items, [&](const auto& item) {
                   const Value* other = right.find(item.first.bytes());
                   return other != nullptr && equal(item.second, *other);
               });
    }
    return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const Value& a, const Value& b) {
    if (a.is_number() && b.is_number()) return a.as_number() < b.as_number();
    if (a.is_text() && b.is_text()) return a.as_text().bytes() < b.as_text().bytes();
    fail(concat("cannot put in order: ", a.kind(), " and ", b.kind()));
}

bool contains(const Value& container, const Value& item) {
    if (container.is_text()) {
        return container.as_text().bytes().find(item.as_text().bytes()) != std::string::npos;
    }
    if (container.is_dict())
        return item.is_text() && container.as_dict().find(item.as_text().bytes()) != nullptr;
    if (container.is_undefined()) return false;
    return std::ranges::any_of(container.as_list(),
                               [&](const Value& one) { return equal(one, item); });
}

List elements(const Value& value) {
    if (value.is_list()) return value.as_list();
    List result;
    if (value.is_dict()) {
        for (const auto& [key, held] : value.as_dict().items) result.emplace_back(key);
    } else if (value.is_text()) {
        const Text& text = value.as_text();
        const std::vector<size_t> starts = character_starts(text.bytes());
        for (size_t i = 0; i + 1 < starts.size(); ++i)
            result.emplace_back(text.part(starts[i], starts[i + 1] - starts[i]));
    } else if (!value.is_undefined()) {
        fail(concat("cannot go through ", value.kind()));
    }
    return result;
}

int64_t length(const Value& value) {
    if (value.is_list()) return int64_t(value.as_list().size());
    if (value.is_dict()) return int64_t(value.as_dict().items.size());
    if (value.is_text()) return int64_t(character_starts(value.as_text().bytes()).size()) - 1;
    if (value.is_undefined()) return 0;
    fail(concat("has no length: ", value.kind()));
}

}  // namespace hadal::chat::jinja

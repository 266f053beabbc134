// Values of the template language: those of Python that chat templates meet.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "chat/jinja_text.h"

namespace hadal::chat::jinja {

class Value;
using List = std::vector<Value>;
struct Arguments;
using Function = std::function<Value(const Arguments&)>;

/// In the order of insertion, as Python's.
struct Dict {
    std::vector<std::pair<Text, Value>> items;

    const Value* find(std::string_view key) const;
    void set(const Text& key, Value value);
};

/// Lists, dictionaries and functions are shared, as in Python.
class Value {
  public:
    struct Undefined {
        std::string name;  // of what was looked for
    };
    struct None {};

    Value() : held_(None()) {}
    Value(Undefined undefined) : held_(std::move(undefined)) {}
    Value(bool value) : held_(value) {}
    Value(int64_t value) : held_(value) {}
    Value(double value) : held_(value) {}
    Value(Text value) : held_(std::move(value)) {}
    Value(List value) : held_(std::make_shared<List>(std::move(value))) {}
    Value(Dict value) : held_(std::make_shared<Dict>(std::move(value))) {}
    Value(Function value) : held_(std::make_shared<Function>(std::move(value))) {}
    static Value text(std::string_view bytes, Source source = Source::templ) {
        return Text(bytes, source);
    }

    template <class T>
    bool is() const {
        return std::holds_alternative<T>(held_);
    }
    bool is_undefined() const {
        return is<Undefined>();
    }
    bool is_none() const {
        return is<None>();
    }
    bool is_text() const {
        return is<Text>();
    }
    bool is_list() const {
        return is<std::shared_ptr<List>>();
    }
    bool is_dict() const {
        return is<std::shared_ptr<Dict>>();
    }
    bool is_function() const {
        return is<std::shared_ptr<Function>>();
    }
    /// A whole number or a truth value, as in Python.
    bool is_integer() const {
        return is<int64_t>() || is<bool>();
    }
    bool is_number() const {
        return is_integer() || is<double>();
    }

    /// Each is an Error(bad_input) for a value of another kind.
    const Text& as_text() const;
    const List& as_list() const;
    List& as_list();
    const Dict& as_dict() const;
    Dict& as_dict();
    const Function& as_function() const;
    int64_t as_integer() const;
    double as_number() const;

    bool truth() const;
    /// "a string", "a list": for messages.
    std::string_view kind() const;

  private:
    std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<List>,
                 std::shared_ptr<Dict>, std::shared_ptr<Function>>
        held_;
};

/// Of a call.
struct Arguments {
    List values;
    std::vector<std::pair<std::string, Value>> named;

    /// By place or by name; nullptr if it is not given.
    const Value* find(size_t index, std::string_view name) const;
    /// Error(bad_input) if it is not given.
    const Value& at(size_t index, std::string_view name) const;
};

/// What {{ value }} prints: str() of Python, nothing for an undefined value.
Text printed(const Value& value);
/// json.dumps(value, ensure_ascii=False, indent=indent); −1: on one line.
Text json_text(const Value& value, int64_t indent = -1);

bool equal(const Value& a, const Value& b);
/// Numbers and texts; Error(bad_input) for anything else.
bool less(const Value& a, const Value& b);
/// `item in container`.
bool contains(const Value& container, const Value& item);
/// What a for loop walks over: elements, keys, characters; nothing for an undefined value.
List elements(const Value& value);
int64_t length(const Value& value);

[[noreturn]] void fail(const std::string& message);

}  // namespace hadal::chat::jinja

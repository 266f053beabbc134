#include "grammar/json_schema.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "grammar/integer_range.h"
#include "grammar/regex.h"

namespace hadal::grammar {

namespace {

// Keeps an object's members in their order.
using json = nlohmann::ordered_json;

constexpr int kMostDepth = 64;
constexpr int64_t kMostParts = 10'000;
constexpr int64_t kMostLength = 100'000;

constexpr std::array kAnnotations = {
    "title",    "description", "default",  "examples",        "$schema",  "$id",
    "$comment", "deprecated",  "readOnly", "writeOnly",       "$defs",    "definitions",
    "strict",   "name",        "format",   "contentEncoding", "nullable", "$anchor"};

/// Rules of JSON itself (RFC 8259).
void add_json_rules(Grammar& grammar) {
    const auto add = [&](const char* name, ExpressionPtr body) {
        grammar.rules.emplace_back(name, std::move(body));
    };
    add("space", repeat(characters({{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}}), 0, kMostSpaces));
    add("hex", characters({{'0', '9'}, {'A', 'F'}, {'a', 'f'}}));
    add("character", choice({characters(complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}})),
                             sequence({text("\\"), characters({{'"', '"'},
                                                               {'\\', '\\'},
                                                               {'/', '/'},
                                                               {'b', 'b'},
                                                               {'f', 'f'},
                                                               {'n', 'n'},
                                                               {'r', 'r'},
                                                               {'t', 't'}})}),
                             sequence({text("\\u"), repeat(rule("hex"), 4, 4)})}));
    add("string", sequence({text("\""), repeat(rule("character"), 0, kUnbounded), text("\"")}));
    add("integer", parse_regex("-?(0|[1-9][0-9]*)"));
    add("number", sequence({rule("integer"), optional(parse_regex("\\.[0-9]+")),
                            optional(parse_regex("[eE][+-]?[0-9]+"))}));
    add("boolean", choice({text("true"), text("false")}));
    add("null", text("null"));
    const auto list_of = [](const char* open, ExpressionPtr item, const char* close) {
        const ExpressionPtr space = rule("space");
        return sequence({text(open), space,
                         optional(sequence({item, repeat(sequence({space, text(","), space, item}),
                                                         0, kUnbounded)})),
                         space, text(close)});
    };
    add("member",
        sequence({rule("string"), rule("space"), text(":"), rule("space"), rule("value")}));
    add("object", list_of("{", rule("member"), "}"));
    add("array", list_of("[", rule("value"), "]"));
    add("value", choice({rule("object"), rule("array"), rule("string"), rule("number"),
                         rule("boolean"), rule("null")}));
}

class SchemaReader {
  public:
    explicit SchemaReader(const json& schema) : schema_(schema) {}

    Grammar run() {
        grammar_.rules.emplace_back("root", nullptr);
        add_json_rules(grammar_);
        grammar_.rules[0].second = rule(reference("#"));
        while (!wanted_.empty()) {
            const std::string pointer = wanted_.back();
            wanted_.pop_back();
            ExpressionPtr body = read(target(pointer), pointer, 0);
            grammar_.rules.emplace_back(pointer, std::move(body));
        }
        return std::move(grammar_);
    }

  private:
    [[noreturn]] static void fail(const std::string& where, const std::string& why) {
        throw Error(Error::Kind::bad_input, concat("JSON schema at ", where, ": ", why));
    }

    /// The rule of a $ref, which is read later if it has not been.
    std::string reference(const std::string& pointer) {
        if (known_.insert(pointer).second) wanted_.push_back(pointer);
        return pointer;
    }

    const json& target(const std::string& pointer) const {
        try {
            return schema_.at(json::json_pointer(pointer.substr(1)));
        } catch (const json::exception&) {
            fail(pointer, "the reference leads nowhere");
        }
    }

    ExpressionPtr read(const json& schema, const std::string& where, int depth) {
        if (depth > kMostDepth) fail(where, concat("deeper than ", kMostDepth));
        if (++parts_ > kMostParts) fail(where, concat("more than ", kMostParts, " parts"));
        if (schema.is_boolean()) {
            if (!schema.get<bool>()) fail(where, "false allows no value");
            return rule("value");
        }
        if (!schema.is_object()) fail(where, "neither an object nor a boolean");
        if (schema.contains("$ref")) {
            const json& name = schema["$ref"];
            if (!name.is_string() || !name.get<std::string>().starts_with("#")) {
                fail(where, "$ref must lead into this schema, '#/…'");
            }
            return rule(reference(name.get<std::string>()));
        }
        if (schema.contains("const")) return text(schema["const"].dump());
        if (schema.contains("enum")) return read_enum(schema["enum"], where);
        for (const char* key : {"anyOf", "oneOf", "allOf"}) {
            if (schema.contains(key)) return read_alternatives(schema, key, where, depth);
        }
        return read_typed(schema, where, depth);
    }

    ExpressionPtr read_enum(const json& values, const std::string& where) {
        if (!values.is_array() || values.empty()) fail(where, "enum must be a list with a value");
        std::vector<ExpressionPtr> parts;
        for (const json& value : values) {
            if (++parts_ > kMostParts) fail(where, concat("more than ", kMostParts, " parts"));
            parts.push_back(text(value.dump()));
        }
        return choice(std::move(parts));
    }

    ExpressionPtr read_alternatives(const json& schema, const char* key, const std::string& where,
                                    int depth) {
        const json& list = schema[key];
        if (!list.is_array() || list.empty())
            fail(where, concat(key, " must be a list with a schema"));
        refuse_others(schema, {key, "type"}, where);
        if (key == std::string_view("allOf") && list.size() != 1) {
            fail(where, "allOf of several schemas is not supported");
        }
        std::vector<ExpressionPtr> parts;
        for (size_t i = 0; i < list.size(); ++i) {
            parts.push_back(read(list[i], concat(where, "/", key, "/", i), depth + 1));
        }
        return choice(std::move(parts));
    }

    static std::vector<std::string> types_of(const json& schema, const std::string& where) {
        const auto type = schema.find("type");
        if (type == schema.end()) {
            if (schema.contains("properties")) return {"object"};
            if (schema.contains("items") || schema.contains("prefixItems")) return {"array"};
            return {};
        }
        if (type->is_string()) return {type->get<std::string>()};
        std::vector<std::string> types;
        if (type->is_array()) {
            for (const json& entry : *type) {
                if (!entry.is_string()) fail(where, "type must be a name or a list of names");
                types.push_back(entry.get<std::string>());
            }
        }
        if (types.empty()) fail(where, "type must be a name or a list of names");
        return types;
    }

    ExpressionPtr read_typed(const json& schema, const std::string& where, int depth) {
        const std::vector<std::string> types = types_of(schema, where);
        refuse_others(schema,
                      {"type", "properties", "required", "additionalProperties", "items",
                       "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern",
                       "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
                      where);
        if (types.empty()) {
            refuse_others(schema, {}, where);
            return rule("value");
        }
        std::vector<ExpressionPtr> parts;
        for (const std::string& type : types) {
            if (type == "object") {
                parts.push_back(read_object(schema, where, depth));
            } else if (type == "array") {
                parts.push_back(read_array(schema, where, depth));
            } else if (type == "string") {
                parts.push_back(read_string(schema, where));
            } else if (type == "integer") {
                parts.push_back(read_integer(schema, where));
            } else if (type == "number" || type == "boolean" || type == "null") {
                for (const char* key :
                     {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
                    if (type == "number" && schema.contains(key)) {
                        fail(where, concat(key, " of numbers is supported for integers only"));
                    }
                }
                parts.push_back(rule(type));
            } else {
                fail(where, concat("unknown type '", type, "'"));
            }
        }
        return parts.size() == 1 ? parts[0] : choice(std::move(parts));
    }

    void refuse_others(const json& schema, const std::vector<std::string_view>& known,
                       const std::string& where) const {
        for (const auto& [key, value] : schema.items()) {
            const bool allowed = std::ranges::find(known, key) != known.end() ||
                                 std::ranges::find(kAnnotations, key) != kAnnotations.end();
            if (!allowed) fail(where, concat("the keyword '", key, "' is not supported here"));
        }
    }

    static int64_t count_of(const json& schema, const char* key, int64_t fallback,
                            const std::string& where) {
        const auto found = schema.find(key);
        if (found == schema.end()) return fallback;
        if (!found->is_number_unsigned() || *found > kMostLength) {
            fail(where, concat(key, " must be a whole number from 0 to ", kMostLength));
        }
        return found->get<int64_t>();
    }

    ExpressionPtr read_string(const json& schema, const std::string& where) {
        const int64_t least = count_of(schema, "minLength", 0, where);
        const int64_t most = count_of(schema, "maxLength", kUnbounded, where);
        if (most != kUnbounded && most < least) fail(where, "maxLength is below minLength");
        if (!schema.contains("pattern")) {
            return sequence({text("\""), repeat(rule("character"), least, most), text("\"")});
        }
        if (least != 0 || most != kUnbounded) {
            fail(where, "pattern together with minLength or maxLength is not supported");
        }
        if (!schema["pattern"].is_string()) fail(where, "pattern must be a text");
        return sequence(
            {text("\""), parse_regex(schema["pattern"].get<std::string>()), text("\"")});
    }

    ExpressionPtr read_integer(const json& schema, const std::string& where) {
        const auto bound = [&](const char* key, const char* exclusive, int64_t step,
                               std::optional<int64_t>& result) {
            for (const char* name : {key, exclusive}) {
                const auto found = schema.find(name);
                if (found == schema.end()) continue;
                const bool fits = found->is_number_integer() && *found >= -kLargestInteger &&
                                  *found <= kLargestInteger;
                if (!fits) fail(where, concat(name, " of an integer must be a whole number"));
                const int64_t value = found->get<int64_t>() + (name == exclusive ? step : 0);
                if (!result || (value - *result) * step > 0) result = value;
            }
        };
        std::optional<int64_t> least, most;
        bound("minimum", "exclusiveMinimum", 1, least);
        bound("maximum", "exclusiveMaximum", -1, most);
        if (!least && !most) return rule("integer");
        if (least && most && *least > *most) fail(where, "no integer lies between the bounds");
        return integer_range(least, most);
    }

    ExpressionPtr read_array(const json& schema, const std::string& where, int depth) {
        const int64_t least = count_of(schema, "minItems", 0, where);
        int64_t most = count_of(schema, "maxItems", kUnbounded, where);
        std::vector<ExpressionPtr> first;
        if (schema.contains("prefixItems")) {
            const json& list = schema["prefixItems"];
            if (!list.is_array()) fail(where, "prefixItems must be a list");
            for (size_t i = 0; i < list.size(); ++i) {
                first.push_back(read(list[i], concat(where, "/prefixItems/", i), depth + 1));
            }
        }
        ExpressionPtr rest = rule("value");
        if (schema.contains("items")) {
            const json& items = schema["items"];
            if (items.is_boolean() && !items.get<bool>()) {
                const auto count = int64_t(first.size());
                most = most == kUnbounded ? count : std::min(most, count);
            } else {
                rest = named(read(items, where + "/items", depth + 1));
            }
        }
        if (most != kUnbounded && most < least) fail(where, "the array cannot have so many items");
        return list_text(first, rest, least, most);
    }

    /// [ items ], each from the second on behind a comma.
    static ExpressionPtr list_text(const std::vector<ExpressionPtr>& first,
                                   const ExpressionPtr& rest, int64_t least, int64_t most) {
        const ExpressionPtr space = rule("space");
        const auto behind_comma = [&](const ExpressionPtr& item) {
            return sequence({space, text(","), space, item});
        };
        const auto count = int64_t(first.size());
        // What follows the items 0 … i − 1, built from the end.
        ExpressionPtr tail = sequence({});
        if (most == kUnbounded || most > count) {
            const int64_t already = std::max<int64_t>(count, 1);  // one is written outside
            tail = repeat(behind_comma(rest), std::max<int64_t>(least - already, 0),
                          most == kUnbounded ? kUnbounded : most - already);
        }
        for (int64_t i = count - 1; i > 0; --i) {
            if (most != kUnbounded && i >= most) continue;
            tail = sequence({behind_comma(first[size_t(i)]), tail});
            if (i >= least) tail = optional(tail);
        }
        ExpressionPtr items = sequence({count > 0 ? first[0] : rest, tail});
        if (most == 0) items = sequence({});
        if (least == 0) items = optional(items);
        return sequence({text("["), space, items, space, text("]")});
    }

    struct Property {
        ExpressionPtr member;
        bool required;
    };

    ExpressionPtr read_object(const json& schema, const std::string& where, int depth) {
        const json properties = schema.value("properties", json::object());
        const json required = schema.value("required", json::array());
        if (!properties.is_object()) fail(where, "properties must be an object");
        if (!required.is_array()) fail(where, "required must be a list");
        const ExpressionPtr space = rule("space");
        const auto member = [&](const std::string& key, ExpressionPtr value) {
            return named(
                sequence({text(json(key).dump()), space, text(":"), space, std::move(value)}));
        };
        std::vector<Property> members;
        for (const auto& [key, value] : properties.items()) {
            const bool wanted = std::ranges::find(required, json(key)) != required.end();
            members.push_back(
                {member(key, read(value, where + "/properties/" + key, depth + 1)), wanted});
        }
        for (const json& key : required) {
            if (!key.is_string()) fail(where, "required must list names");
            if (properties.contains(key.get<std::string>())) continue;
            members.push_back({member(key.get<std::string>(), rule("value")), true});
        }
        ExpressionPtr more;  // a member that `properties` does not name
        const auto additional = schema.find("additionalProperties");
        const bool allowed = additional == schema.end() ? !schema.contains("properties")
                                                        : *additional != json(false);
        if (allowed) {
            ExpressionPtr value =
                additional == schema.end()
                    ? rule("value")
                    : read(*additional, where + "/additionalProperties", depth + 1);
            more = named(sequence({rule("string"), space, text(":"), space, std::move(value)}));
        }
        return sequence({text("{"), space, members_text(members, more), space, text("}")});
    }

    /// Members in order, commas between those that are written. What may follow is a rule of its
    /// own for each member, so that the grammar grows with their number and not with that of their
    /// subsets.
    ExpressionPtr members_text(const std::vector<Property>& members, const ExpressionPtr& more) {
        const auto behind_comma = [](const ExpressionPtr& part) {
            return sequence({rule("space"), text(","), rule("space"), part});
        };
        ExpressionPtr first = sequence({}), later = sequence({});
        if (more != nullptr) {
            later = named(repeat(behind_comma(more), 0, kUnbounded));
            first = optional(sequence({more, later}));
        }
        for (auto property = members.rbegin(); property != members.rend(); ++property) {
            const ExpressionPtr begun = sequence({property->member, later});
            const ExpressionPtr behind = behind_comma(property->member);
            first = property->required ? begun : choice({begun, first});
            later = named(sequence({property->required ? behind : optional(behind), later}));
        }
        return first;
    }

    /// The expression as a rule, to be named from several places.
    ExpressionPtr named(ExpressionPtr body) {
        const std::string name = concat("part ", ++named_);
        grammar_.rules.emplace_back(name, std::move(body));
        return rule(name);
    }

    const json& schema_;
    Grammar grammar_;
    std::set<std::string> known_;
    std::vector<std::string> wanted_;
    int64_t parts_ = 0;
    int64_t named_ = 0;
};

}  // namespace

Grammar json_object_grammar() {
    Grammar grammar;
    grammar.rules.emplace_back("root", sequence({rule("space"), rule("object")}));
    add_json_rules(grammar);
    return grammar;
}

Grammar json_schema_grammar(std::string_view schema) {
    parse_json(schema, "the JSON schema");  // says what is wrong with it as JSON
    const json value = json::parse(schema);
    return SchemaReader(value).run();
}

}  // namespace hadal::grammar

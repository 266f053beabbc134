#include "chat/call_grammar.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "grammar/matcher.h"

using namespace hadal;
using namespace hadal::chat;

namespace {

bool allows(const grammar::Grammar& wanted, std::string_view text) {
    grammar::Matcher matcher(grammar::compile(wanted));
    grammar::Position position = matcher.start();
    for (const char c : text) {
        position = matcher.next(position, uint8_t(c));
        if (position == grammar::kDead) return false;
    }
    return matcher.may_end(position);
}

const std::vector<Function> kFunctions = {
    {"weather",
     R"({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                    "additionalProperties": false})"},
    {"tree", R"({"type": "object", "properties": {"below": {"$ref": "#"}}})"},
    {"ping", ""}};

}  // namespace

TEST_CASE("call grammar: a call has its function's arguments, in the format's marks") {
    const auto wanted = call_grammar(kDeepSeekV31, kFunctions, false);
    const auto call = [](const std::string& name, const std::string& arguments) {
        return "<｜tool▁call▁begin｜>" + name + "<｜tool▁sep｜>" + arguments +
               "<｜tool▁call▁end｜>";
    };
    const auto whole = [](const std::string& calls) {
        return "<｜tool▁calls▁begin｜>" + calls + "<｜tool▁calls▁end｜>";
    };
    const std::string weather = call("weather", R"({"city": "Köln"})");
    const std::string tree = call("tree", R"({"below": {"below": {}}})");
    CHECK(allows(wanted, whole(weather)));
    CHECK(allows(wanted, whole(tree)));
    CHECK(allows(wanted, whole(call("ping", R"({"any": [1, null]})"))));
    CHECK(!allows(wanted, whole(call("weather", R"({"town": "Köln"})"))));
    CHECK(!allows(wanted, whole(call("tree", R"({"below": 1})"))));
    CHECK(!allows(wanted, whole(call("other", "{}"))));
    CHECK(!allows(wanted, "I will not call."));
    CHECK(!allows(wanted, whole("")));
    CHECK(!allows(wanted, whole(weather + tree)));
    CHECK(allows(call_grammar(kDeepSeekV31, kFunctions, true), whole(weather + tree)));
}

TEST_CASE("call grammar: V3 fences the arguments, K2 numbers the calls") {
    const auto fenced = [](const std::string& name, const std::string& arguments) {
        return "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" + name + "\n```json\n" + arguments +
               "\n```<｜tool▁call▁end｜>";
    };
    CHECK(allows(call_grammar(kDeepSeekV3, kFunctions, true),
                 "<｜tool▁calls▁begin｜>" + fenced("ping", "{}") + "\n" +
                     fenced("weather", R"({"city": ""})") + "<｜tool▁calls▁end｜>"));
    CHECK(allows(call_grammar(kKimiK2, kFunctions, false),
                 "<|tool_calls_section_begin|><|tool_call_begin|>functions.ping:0<|tool_call_"
                 "argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"));
}

TEST_CASE("call grammar: GigaChat's call is one object") {
    const std::string begin = "<|message_sep|>\n\nfunction call<|role_sep|>\n";
    const std::string ping = R"({"name": "ping", "arguments": {"a": 1}})";
    CHECK(allows(call_grammar(kGigaChat3, kFunctions, true), begin + ping));
    CHECK(allows(call_grammar(kGigaChat31, kFunctions, false), "<|function_call|>" + ping));
    CHECK(!allows(call_grammar(kGigaChat3, kFunctions, true), begin + ping + ping));
    CHECK(!allows(call_grammar(kGigaChat3, kFunctions, true),
                  begin + R"({"name": "weather", "arguments": {}})"));
}

TEST_CASE("call grammar: calls that have begun go on as the format says") {
    const std::string ping = "<｜tool▁call▁begin｜>ping<｜tool▁sep｜>{}<｜tool▁call▁end｜>";
    const auto begun = begun_call_grammar(kDeepSeekV31, kFunctions, true);
    CHECK(allows(begun, ping + ping + "<｜tool▁calls▁end｜>"));
    CHECK(!allows(begun, "<｜tool▁calls▁begin｜>" + ping + "<｜tool▁calls▁end｜>"));
    CHECK(!allows(begun, "<｜tool▁calls▁end｜>"));
    CHECK(allows(begun_call_grammar(kGigaChat3, kFunctions, true),
                 "\n{\"name\": \"ping\", \"arguments\": {}}"));
}

TEST_CASE("call grammar: a schema that cannot be kept is refused") {
    CHECK_THROWS_AS(
        call_grammar(kDeepSeekV3, std::vector<Function>{{"f", R"({"type": "x"})"}}, true), Error);
}

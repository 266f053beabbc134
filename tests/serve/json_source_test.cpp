#include "serve/json_source.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/random.h"
#include "serve/openai_request.h"

using namespace hadal;
using serve::member_source;

TEST_CASE("json source: a member's text, whatever stands around it") {
    const std::string_view object =
        R"( { "a" : 1 , "s":"x\",\"b\":2}\\" ,"o":{"b":[1,{"a":"]"}], "a":3} , "b" : [ ] ,"l":true})";
    CHECK(member_source(object, "a") == "1");
    CHECK(member_source(object, "s") == R"("x\",\"b\":2}\\")");
    CHECK(member_source(object, "o") == R"({"b":[1,{"a":"]"}], "a":3})");
    CHECK(member_source(object, "b") == "[ ]");
    CHECK(member_source(object, "l") == "true");
    CHECK(member_source(object, "c") == "");
    CHECK(member_source(member_source(object, "o"), "a") == "3");
    CHECK(member_source("{}", "a") == "");
    CHECK(member_source("", "a") == "");
    CHECK(member_source("[1]", "a") == "");
    CHECK(member_source("{\"a\"", "a") == "");
}

TEST_CASE("json source: agrees with the parser on random objects") {
    for (uint64_t seed = 0; seed < 300; ++seed) {
        RandomSequence random(seed);
        nlohmann::json object = nlohmann::json::object();
        const std::string letters = "ab\"\\{}[]:, \n";
        const auto text = [&] {
            std::string made;
            for (uint64_t n = random.below(6); n > 0; --n) {
                made += letters[random.below(letters.size())];
            }
            return made;
        };
        for (int i = 0; i < 5; ++i) {
            object[text()] = nlohmann::json({text(), {{text(), int(random.below(9))}}});
        }
        const std::string source = object.dump(random.below(2) == 0 ? -1 : 2);
        for (const auto& [key, value] : object.items()) {
            if (key.find_first_of("\"\\\n") != std::string::npos) continue;  // written with escapes
            CAPTURE(source);
            CAPTURE(key);
            CHECK(nlohmann::json::parse(member_source(source, key)) == value);
        }
    }
}

TEST_CASE("json source: schemas and tools keep the order of their members") {
    const auto request = serve::parse_chat_request(
        R"({"messages": [{"role": "user", "content": "a"}],
            "response_format": {"json_schema": {"schema": {"type": "object", "properties": {"z": {}, "a": {}}}},
                                "type": "json_schema"},
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"z": 1, "a": 2}}}]})",
        {});
    CHECK(request.format.source == R"({"type": "object", "properties": {"z": {}, "a": {}}})");
    CHECK(
        request.tools->dump() ==
        R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"z":1,"a":2}}}])");
}

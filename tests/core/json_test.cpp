#include "core/json.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"

using hadal::Error;
using hadal::parse_json;

TEST_CASE("json: a value is read with its types") {
    const auto value =
        parse_json(R"( {"a": [1, -2, 0.5, true, null], "b": {"a": "é"}} )", "x.json");
    CHECK(value["a"][1] == -2);
    CHECK(value["b"]["a"] == "é");
}

TEST_CASE("json: what is no JSON in UTF-8 is refused with file and byte") {
    CHECK_THROWS_WITH_AS(parse_json("{\"a\": }", "x.json"), "not valid JSON at byte 7: x.json",
                         Error);
    for (const std::string& text :
         {std::string(), std::string("{"), std::string("{} {}"), std::string("\"\xFF\""),
          std::string("1e999"), std::string("{}\0", 3), std::string("[1,]"), std::string("NaN")}) {
        CAPTURE(text);
        CHECK_THROWS_AS(parse_json(text, "x.json"), Error);
    }
}

TEST_CASE("json: a key twice in one object is refused, in two objects it is not") {
    CHECK_THROWS_WITH_AS(parse_json(R"({"b": {"a": 1, "c": {"a": 0}, "a": 2}})", "x.json"),
                         "JSON object has the key \"a\" twice: x.json", Error);
    CHECK_NOTHROW(parse_json(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", "x.json"));
}

TEST_CASE("json: nesting that no file needs is refused before it can exhaust the stack") {
    CHECK_NOTHROW(parse_json(std::string(150, '[') + std::string(150, ']'), "x.json"));
    CHECK_THROWS_WITH_AS(parse_json(std::string(1'000'000, '['), "x.json"),
                         doctest::Contains("deeper than"), Error);
}

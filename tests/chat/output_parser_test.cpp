#include "chat/output_parser.h"

#include <doctest/doctest.h>

#include "core/random.h"

using namespace hadal;
using namespace hadal::chat;

namespace {

struct Parsed {
    std::string reasoning, content;
    struct Call {
        std::string id, name, arguments;
        bool operator==(const Call&) const = default;
    };
    std::vector<Call> calls;
    bool operator==(const Parsed&) const = default;

    void add(const std::vector<Delta>& deltas) {
        for (const Delta& delta : deltas) {
            if (delta.kind == Delta::Kind::reasoning) reasoning += delta.text;
            if (delta.kind == Delta::Kind::content) content += delta.text;
            if (delta.kind == Delta::Kind::call_begins) {
                CHECK(delta.call == int64_t(calls.size()));
                calls.push_back({delta.id, delta.name, ""});
            }
            if (delta.kind == Delta::Kind::call_arguments) {
                REQUIRE(delta.call == int64_t(calls.size()) - 1);
                calls.back().arguments += delta.text;
            }
        }
    }
};

/// The same whole, byte by byte, and in random pieces.
Parsed parsed(const Format& format, const OutputOptions& options, const std::string& text) {
    std::vector<Parsed> results;
    for (uint64_t seed = 0; seed < 12; ++seed) {
        RandomSequence random(seed);
        OutputParser parser(format, options);
        Parsed result;
        for (size_t begin = 0; begin < text.size();) {
            const size_t size = seed == 0   ? text.size()
                                : seed == 1 ? 1
                                            : size_t(1 + random.below(seed * 3));
            result.add(parser.feed(text.substr(begin, size)));
            begin += size;
        }
        result.add(parser.finish());
        results.push_back(result);
        CAPTURE(seed);
        CAPTURE(text);
        CHECK(result == results.front());
    }
    return results.front();
}

const OutputOptions kCalls = {.reads_calls = true, .call_id = "call_"};

}  // namespace

TEST_CASE("output: thoughts end at their mark, line breaks around it belong to nobody") {
    const OutputOptions thinks = {.thinks = true};
    CHECK(parsed(kDeepSeekV3, thinks, "\nlet me see\n\nso\n</think>\n\nIt is 4.\n") ==
          Parsed{"let me see\n\nso", "It is 4.\n", {}});
    CHECK(parsed(kDeepSeekV3, thinks, "</think>4") == Parsed{"", "4", {}});
    CHECK(parsed(kDeepSeekV3, thinks, "never ends </thin") == Parsed{"never ends </thin", "", {}});
    CHECK(parsed(kDeepSeekV3, thinks, "") == Parsed{});
    CHECK(parsed(kDeepSeekV3, {}, "<think>by itself</think>yes") == Parsed{"by itself", "yes", {}});
    CHECK(parsed(kDeepSeekV3, {}, "<thin air") == Parsed{"", "<thin air", {}});
    CHECK(parsed(kDeepSeekV3, {}, "a <think>b</think>") == Parsed{"", "a <think>b</think>", {}});
    CHECK(parsed(kDeepSeekV3, {}, "  indented") == Parsed{"", "  indented", {}});
}

TEST_CASE("output: calls of V3 and R1 are fenced") {
    const std::string one =
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": "
        "\"Köln\"}\n```<｜tool▁call▁end｜>";
    const std::string two =
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n```json\n{\"a\": "
        "\"```\"}\n```<｜tool▁call▁end｜>";
    const Parsed::Call weather = {"call_0", "weather", "{\"city\": \"Köln\"}"};
    const Parsed::Call time = {"call_1", "time", "{\"a\": \"```\"}"};
    const std::string begin = "<｜tool▁calls▁begin｜>", end = "<｜tool▁calls▁end｜>";
    CHECK(parsed(kDeepSeekV3, kCalls, "Let me look." + begin + one + end) ==
          Parsed{"", "Let me look.", {weather}});
    CHECK(parsed(kDeepSeekV3, kCalls, begin + one + "\n" + two + end) ==
          Parsed{"", "", {weather, time}});
    CHECK(parsed(kDeepSeekV3, kCalls, "\n\n" + begin + one + end) == Parsed{"", "", {weather}});
    OutputOptions single = kCalls;
    single.most_calls = 1;
    CHECK(parsed(kDeepSeekV3, single, begin + one + "\n" + two + end) == Parsed{"", "", {weather}});
    // Cut off by a limit of tokens.
    CHECK(parsed(kDeepSeekV3, kCalls, begin + one.substr(0, one.find("Köln"))) ==
          Parsed{"", "", {{"call_0", "weather", "{\"city\": \""}}});
    OutputOptions thinks = kCalls;
    thinks.thinks = true;
    CHECK(parsed(kDeepSeekV3, thinks, "hm</think>" + begin + one + end) ==
          Parsed{"hm", "", {weather}});
}

TEST_CASE("output: calls of V3.1 are bare, those of K2 have ids") {
    CHECK(parsed(kDeepSeekV31, kCalls,
                 "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜><"
                 "｜tool▁"
                 "call▁begin｜>g<｜tool▁sep｜>{\"x\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>") ==
          Parsed{"", "", {{"call_0", "f", "{}"}, {"call_1", "g", "{\"x\": 1}"}}});
    CHECK(parsed(kKimiK2, kCalls,
                 "Sure<|tool_calls_section_begin|><|tool_call_begin|>functions.get.it:7<|tool_call_"
                 "argument_begin|>{\"x\": "
                 "1}<|tool_call_end|><|tool_calls_section_end|>") ==
          Parsed{"", "Sure", {{"functions.get.it:7", "get.it", "{\"x\": 1}"}}});
}

TEST_CASE("output: GigaChat calls with one object, behind the turn's end or a mark of its own") {
    const std::string begin = "<|message_sep|>\n\nfunction call<|role_sep|>\n";
    const Parsed::Call call = {"call_0", "f", "{\"x\": [\"}\\\"\", {}]}"};
    const std::string object = "{\"name\": \"f\", \"arguments\": " + call.arguments + "}";
    CHECK(parsed(kGigaChat3, kCalls, "Sure." + begin + object) == Parsed{"", "Sure.", {call}});
    CHECK(parsed(kGigaChat3, kCalls, begin + object + "<|message_sep|>\n\nuser") ==
          Parsed{"", "", {call}});
    CHECK(parsed(kGigaChat31, kCalls, "Sure.<|function_call|>\n" + object) ==
          Parsed{"", "Sure.", {call}});
    // Members in another order are read at the end, other values than objects as they stand.
    CHECK(parsed(kGigaChat31, kCalls,
                 "<|function_call|>{\"arguments\":{\"x\":1},\"name\":\"g\"}<|message_sep|>") ==
          Parsed{"", "", {{"call_0", "g", "{\"x\":1}"}}});
    CHECK(parsed(kGigaChat31, kCalls, "<|function_call|>{\"name\":\"g\",\"arguments\":null }") ==
          Parsed{"", "", {{"call_0", "g", "null"}}});
    CHECK(
        parsed(kGigaChat31, kCalls, "<|function_call|>{\"name\": \"g\", \"arguments\": \"a\" }") ==
        Parsed{"", "", {{"call_0", "g", "\"a\""}}});
    // Cut off by a limit of tokens, and no call at all.
    CHECK(parsed(kGigaChat3, kCalls, begin + object.substr(0, object.size() - 3)) ==
          Parsed{"", "", {{"call_0", "f", call.arguments.substr(0, call.arguments.size() - 2)}}});
    CHECK(parsed(kGigaChat3, kCalls, "a" + begin + "{\"name\": \"f\"") ==
          Parsed{"", "a" + begin + "{\"name\": \"f\"", {}});
    CHECK(parsed(kGigaChat31, kCalls, "<|function_call|>" + std::string(100000, '[')) ==
          Parsed{"", "<|function_call|>" + std::string(100000, '['), {}});
}

TEST_CASE("output: the end of a turn is no content") {
    for (const Format* format : {&kGigaChat3, &kGigaChat31}) {
        for (const OutputOptions& options : {kCalls, OutputOptions{}}) {
            CHECK(parsed(*format, options, "yes<|message_sep|>\n\n") == Parsed{"", "yes", {}});
            CHECK(parsed(*format, options, "yes<|message_sep|>\n\nfun") ==
                  Parsed{"", "yesfun", {}});
            CHECK(parsed(*format, options, "<|message_sep|>a<|message_") ==
                  Parsed{"", "a<|message_", {}});
        }
    }
}

TEST_CASE("output: what begins like a call and is none is text") {
    for (const std::string text :
         {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁begin｜><｜tool▁calls▁end｜>",
          "<｜tool▁calls▁begin｜>nothing", "a<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>func",
          "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>x<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
          "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "<｜tool▁calls"}) {
        CHECK(parsed(kDeepSeekV31, kCalls, text) == Parsed{"", text, {}});
    }
    // White space in it too, behind thoughts where white space before an answer is nobody's.
    CHECK(parsed(kDeepSeekV31, {.thinks = true, .reads_calls = true},
                 "a</think>\n<｜tool▁calls▁begin｜> x y") ==
          Parsed{"a", "<｜tool▁calls▁begin｜> x y", {}});
    const std::string call = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}";
    CHECK(parsed(kDeepSeekV31, {}, call) == Parsed{"", call, {}});  // nobody asked for calls
}

TEST_CASE("output: the format is found from the template") {
    CHECK(&format_of_template("") == &kDeepSeekV3);
    CHECK(&format_of_template("'<|im_user|>user<|im_middle|>'") == &kKimiK2);
    CHECK(&format_of_template("{% if not thinking is defined %} '<｜tool▁sep｜>'") ==
          &kDeepSeekV31);
    CHECK(&format_of_template("'<｜tool▁sep｜>' + name + '\\n' + '```json' + '</think>'") ==
          &kDeepSeekV3);
    CHECK(&format_of_template("'function call' ~ '<|role_sep|>\\n'") == &kGigaChat3);
    CHECK(&format_of_template("'<|role_sep|>' '<|function_call|>'") == &kGigaChat31);
    CHECK(kGigaChat3.knows("<|role_sep|>\n"));
    CHECK(kGigaChat3.knows("<|message_sep|>"));
    CHECK(!kGigaChat3.knows(""));
    CHECK(!kGigaChat3.knows("<s>"));
    CHECK(kKimiK2.knows("<|tool_call_end|>"));
    CHECK(!kKimiK2.knows("<|im_end|>"));
}

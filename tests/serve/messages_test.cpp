// /v1/messages, Anthropic's form of a chat.
#include "serve/anthropic_request.h"
#include "serve/api_error.h"
#include "serve/support.h"

#include <algorithm>

using namespace hadal;
using nlohmann::json;

namespace {

json ask(const json& more = json::object()) {
    json body = {{"model", "claude-of-some-kind"},
                 {"max_tokens", 20},
                 {"messages", {{{"role", "user"}, {"content", "Once upon"}}}},
                 {"temperature", 0}};
    body.update(more);
    return body;
}

const json kTool = {
    {"name", "pick"},
    {"description", "Picks"},
    {"input_schema",
     {{"type", "object"},
      {"properties", {{"n", {{"type", "integer"}, {"minimum", 1}, {"maximum", 3}}}}},
      {"required", {"n"}},
      {"additionalProperties", false}}}};

/// Each must be named after its type.
std::vector<json> named_events(const std::string& body) {
    std::vector<json> events;
    for (size_t begin = 0; begin < body.size();) {
        const size_t end = body.find("\n\n", begin);
        REQUIRE(end != std::string::npos);
        const std::string event = body.substr(begin, end - begin);
        begin = end + 2;
        if (event.starts_with(":")) continue;
        const size_t line = event.find('\n');
        events.push_back(json::parse(event.substr(line + 7)));
        CHECK(event.substr(0, line) == "event: " + events.back()["type"].get<std::string>());
    }
    return events;
}

}  // namespace

TEST_CASE("messages: the same text as a chat, in Anthropic's form") {
    test::ServedFixture served;
    const json answer = served.json("/v1/messages", ask());
    const json chat = served.json("/v1/chat/completions",
                                  {{"messages", {{{"role", "user"}, {"content", "Once upon"}}}},
                                   {"max_tokens", 20},
                                   {"temperature", 0}});
    CHECK(answer["type"] == "message");
    CHECK(answer["role"] == "assistant");
    CHECK(answer["model"] == "claude-of-some-kind");
    REQUIRE(answer["content"].size() == 1);
    CHECK(answer["content"][0]["type"] == "text");
    CHECK(answer["content"][0]["text"] == chat["choices"][0]["message"]["content"]);
    CHECK(answer["stop_reason"] == "max_tokens");
    CHECK(answer["usage"]["output_tokens"] == 20);
    const json count = served.json("/v1/messages/count_tokens", ask());
    CHECK(count["input_tokens"] == chat["usage"]["prompt_tokens"]);
}

TEST_CASE("messages: a stream has its events in order, and adds up to the whole") {
    test::ServedFixture served;
    for (const bool calls : {false, true}) {
        CAPTURE(calls);
        json body = ask({{"max_tokens", 200}});
        if (calls) {
            body["tools"] = json::array({kTool});
            body["tool_choice"] = {{"type", "any"}, {"disable_parallel_tool_use", true}};
        }
        const json whole = served.json("/anthropic/v1/messages", body);
        body["stream"] = true;
        const http::Response response = served.answer("/v1/messages", body.dump());
        const auto events = named_events(response.body);
        CHECK(events.front()["type"] == "message_start");
        CHECK(events.back()["type"] == "message_stop");
        json content = json::array();
        bool open = false;
        std::string input;
        for (const json& event : events) {
            if (event["type"] == "content_block_start") {
                CHECK(!open);
                CHECK(event["index"] == content.size());
                content.push_back(event["content_block"]);
                open = true;
            } else if (event["type"] == "content_block_delta") {
                CHECK(open);
                const json& delta = event["delta"];
                if (delta["type"] == "text_delta") {
                    auto& text = content.back()["text"];
                    text = text.get<std::string>() + delta["text"].get<std::string>();
                } else {
                    CHECK(delta["type"] == "input_json_delta");
                    input += delta["partial_json"].get<std::string>();
                }
            } else if (event["type"] == "content_block_stop") {
                open = false;
                if (calls) content.back()["input"] = json::parse(input);
            } else if (event["type"] == "message_delta") {
                CHECK(event["delta"]["stop_reason"] == whole["stop_reason"]);
                CHECK(event["usage"]["output_tokens"] == whole["usage"]["output_tokens"]);
            }
        }
        CHECK(!open);
        REQUIRE(content.size() == whole["content"].size());
        for (size_t i = 0; i < content.size(); ++i) {
            for (const char* key : {"type", "text", "name", "input"}) {
                CHECK(content[i].value(key, json()) == whole["content"][i].value(key, json()));
            }
        }
        CHECK(whole["stop_reason"] == (calls ? "tool_use" : "max_tokens"));
    }
}

TEST_CASE("messages: a stop sequence is named") {
    test::ServedFixture served;
    const std::string text =
        served.json("/v1/messages", ask({{"max_tokens", 60}}))["content"][0]["text"];
    // Two characters of one byte each.
    const auto is_letter = [](char a, char b) { return a > ' ' && b > ' ' && a < 127 && b < 127; };
    const auto at = size_t(std::ranges::adjacent_find(text, is_letter) - text.begin());
    const std::string stop = text.substr(at, 2);
    REQUIRE(stop.size() == 2);
    const json stopped =
        served.json("/v1/messages", ask({{"max_tokens", 60}, {"stop_sequences", {stop}}}));
    CHECK(stopped["stop_reason"] == "stop_sequence");
    CHECK(stopped["stop_sequence"] == stop);
}

TEST_CASE("messages: blocks become the messages of a chat") {
    const json body = {
        {"system",
         {{{"type", "text"}, {"text", "Be brief."}, {"cache_control", {{"type", "ephemeral"}}}}}},
        {"max_tokens", 5},
        {"messages",
         {{{"role", "user"},
           {"content", {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}}}}},
          {{"role", "assistant"},
           {"content",
            {{{"type", "thinking"}, {"thinking", "hm"}, {"signature", "x"}},
             {{"type", "tool_use"}, {"id", "t1"}, {"name", "pick"}, {"input", {{"n", 1}}}}}}},
          {{"role", "user"},
           {"content",
            {{{"type", "tool_result"}, {"tool_use_id", "t1"}, {"content", "done"}},
             {{"type", "text"}, {"text", "go on"}}}}},
          {{"role", "assistant"}, {"content", "So"}}}},
        {"tools", {kTool}},
        {"tool_choice", {{"type", "tool"}, {"name", "pick"}}}};
    const auto chat = serve::parse_messages_request(body.dump(), {});
    const json expected = {{{"role", "system"}, {"content", "Be brief."}},
                           {{"role", "user"}, {"content", "ab"}},
                           {{"role", "assistant"},
                            {"content", nullptr},
                            {"reasoning_content", "hm"},
                            {"tool_calls",
                             {{{"id", "t1"},
                               {"type", "function"},
                               {"function", {{"name", "pick"}, {"arguments", "{\"n\":1}"}}}}}}},
                           {{"role", "tool"}, {"content", "done"}, {"tool_call_id", "t1"}},
                           {{"role", "user"}, {"content", "go on"}},
                           {{"role", "assistant"}, {"content", "So"}}};
    CHECK(json(*chat.messages) == expected);
    CHECK(chat.continue_last);
    CHECK(chat.tool_choice.name == "pick");
    CHECK(chat.tools->at(0)["function"]["name"] == "pick");
}

TEST_CASE("messages: what is wrong is told in Anthropic's form") {
    test::ServedFixture served;
    const std::vector<std::pair<json, std::string>> wrong = {
        {{{"max_tokens", nullptr}}, "max_tokens"},
        {{{"messages", json::array()}}, "messages"},
        {{{"messages", {{{"role", "system"}, {"content", "a"}}}}}, "messages[0].role"},
        {{{"messages", {{{"role", "user"}, {"content", {{{"type", "image"}}}}}}}},
         "messages[0].content[0].type"},
        {{{"messages", {{{"role", "user"}, {"content", 5}}}}}, "messages[0].content"},
        {{{"tools", {{{"type", "bash_20250124"}, {"name", "bash"}}}}}, "tools"},
        {{{"tool_choice", {{"type", "some"}}}}, "tool_choice.type"},
        {{{"temperature", 7}}, "temperature"}};
    for (const auto& [more, field] : wrong) {
        const http::Response response = served.answer("/v1/messages", ask(more).dump());
        CAPTURE(response.body);
        CHECK(response.status == 400);
        const json error = json::parse(response.body);
        CHECK(error["type"] == "error");
        CHECK(error["error"]["type"] == "invalid_request_error");
        CHECK(error["error"]["message"].get<std::string>().find(field) != std::string::npos);
    }
}

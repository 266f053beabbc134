// Tool calls and thoughts through the service. The model is random: what it must write is forced by
// grammars, what it might write is checked in tests/chat.
#include "serve/reply.h"
#include "serve/support.h"

using namespace hadal;
using nlohmann::json;

namespace {

json tool(const std::string& name, const json& properties) {
    json required = json::array();
    for (const auto& [key, value] : properties.items()) required.push_back(key);
    return {{"type", "function"},
            {"function",
             {{"name", name},
              {"parameters",
               {{"type", "object"},
                {"properties", properties},
                {"required", required},
                {"additionalProperties", false}}}}}};
}

json with_tools(const json& more) {
    json body = {
        {"messages", {{{"role", "user"}, {"content", "Once"}}}},
        {"max_tokens", 300},
        {"seed", 4},
        {"tools",
         {tool("first", {{"level", {{"type", "integer"}, {"minimum", 1}, {"maximum", 5}}}}),
          tool("second", {{"sure", {{"type", "boolean"}}}})}}};
    body.update(more);
    return body;
}

}  // namespace

TEST_CASE("tools: a call that is required is made, with arguments of its schema") {
    test::ServedFixture served;
    for (const json& choice :
         {json("required"), json({{"type", "function"}, {"function", {{"name", "second"}}}})}) {
        CAPTURE(choice.dump());
        json body = with_tools({{"tool_choice", choice}, {"parallel_tool_calls", false}, {"n", 3}});
        const json whole = served.json("/v1/chat/completions", body);
        std::set<std::string> ids;
        for (const json& answer : whole["choices"]) {
            CHECK(answer["finish_reason"] == "tool_calls");
            const json& message = answer["message"];
            CHECK(message["content"].is_null());
            REQUIRE(message["tool_calls"].size() == 1);
            const json& call = message["tool_calls"][0];
            CHECK(call["type"] == "function");
            ids.insert(call["id"].get<std::string>());
            const json arguments = json::parse(call["function"]["arguments"].get<std::string>());
            if (call["function"]["name"] == "first") {
                CHECK(choice.is_string());
                CHECK(arguments["level"].get<int>() >= 1);
                CHECK(arguments["level"].get<int>() <= 5);
            } else {
                CHECK(call["function"]["name"] == "second");
                CHECK(arguments["sure"].is_boolean());
            }
        }
        CHECK(ids.size() == 3);
    }
}

TEST_CASE("tools: a forced call is marked by the tokens that are its marks, and by no spelling") {
    test::ServedFixture served;
    const json body = with_tools(
        {{"tool_choice", "required"}, {"parallel_tool_calls", false}, {"logprobs", true}});
    const json choice = served.json("/v1/chat/completions", body)["choices"][0];
    REQUIRE(choice["finish_reason"] == "tool_calls");
    std::vector<std::string> marks;
    std::string rest;
    for (const json& token : choice["logprobs"]["content"]) {
        const auto text = token["token"].get<std::string>();
        const bool is_mark = text.starts_with("<｜tool");
        if (is_mark) marks.push_back(text);
        if (!is_mark) rest += text;
    }
    CHECK(marks == std::vector<std::string>{"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>",
                                            "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
                                            "<｜tool▁calls▁end｜>"});
    CHECK(rest.find("tool") == std::string::npos);
}

TEST_CASE("tools: streamed calls add up to the whole ones, id and name come once") {
    test::ServedFixture served;
    json body = with_tools({{"tool_choice", "required"}, {"max_tokens", 400}});
    const json message = served.json("/v1/chat/completions", body)["choices"][0]["message"];
    body["stream"] = true;
    json calls = json::array();
    std::string reason;
    for (const json& event : test::events_of(served.answer("/v1/chat/completions", body.dump()))) {
        const json& choice = event["choices"][0];
        if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
        if (!choice["delta"].contains("tool_calls")) continue;
        for (const json& part : choice["delta"]["tool_calls"]) {
            const auto index = part["index"].get<size_t>();
            if (part.contains("id")) {
                CHECK(index == calls.size());
                calls.push_back(part);
                calls.back().erase("index");
                continue;
            }
            REQUIRE(index < calls.size());
            CHECK(!part["function"].contains("name"));
            auto& arguments = calls[index]["function"]["arguments"];
            arguments =
                arguments.get<std::string>() + part["function"]["arguments"].get<std::string>();
        }
    }
    REQUIRE(calls.size() == message["tool_calls"].size());
    for (size_t i = 0; i < calls.size(); ++i) {
        CHECK(calls[i]["function"] == message["tool_calls"][i]["function"]);
    }
    if (reason != "length") CHECK(reason == "tool_calls");
}

TEST_CASE("tools: a model that calls a strict function by itself keeps to its schema") {
    test::ServedFixture served;
    const int32_t begins = *served.tokenizer.id_of("<｜tool▁calls▁begin｜>");
    // The random model calls because it is pushed to; what it writes then is its own.
    json body = with_tools(
        {{"logit_bias", {{std::to_string(begins), 100}}}, {"parallel_tool_calls", false}});
    const auto call_of = [&] {
        return served.json("/v1/chat/completions", body)["choices"][0]["message"]["tool_calls"];
    };
    CHECK(call_of().is_null());
    body["tools"][0]["function"]["strict"] = true;
    std::set<std::string> names;
    for (int seed = 0; seed < 12; ++seed) {
        body["seed"] = seed;
        const json calls = call_of();
        REQUIRE(calls.size() == 1);
        const json& function = calls[0]["function"];
        names.insert(function["name"].get<std::string>());
        if (function["name"] != "first") continue;
        const json arguments = json::parse(function["arguments"].get<std::string>());
        CHECK(arguments.size() == 1);
        CHECK(arguments["level"].get<int>() >= 1);
        CHECK(arguments["level"].get<int>() <= 5);
    }
    CHECK(names == std::set<std::string>{"first", "second"});
    // A text that does not call is free.
    body.erase("logit_bias");
    body["max_tokens"] = 5;
    CHECK(call_of().is_null());
}

TEST_CASE("tools: the token with which calls begin is the last of its mark") {
    const text::Tokenizer tokenizer = test::small_tokenizer();
    CHECK(chat::calls_token(tokenizer, chat::kDeepSeekV31) ==
          tokenizer.id_of("<｜tool▁calls▁begin｜>"));
    CHECK(!chat::calls_token(tokenizer, chat::kGigaChat31));
}

TEST_CASE("tools: none of them is called where that was forbidden") {
    test::ServedFixture served;
    const json answer = served.json("/v1/chat/completions",
                                    with_tools({{"tool_choice", "none"}, {"max_tokens", 5}}));
    CHECK(answer["choices"][0]["message"]["content"].is_string());
    const http::Response both = served.answer(
        "/v1/chat/completions",
        with_tools({{"tool_choice", "required"}, {"response_format", {{"type", "json_object"}}}})
            .dump());
    CHECK(both.status == 400);
    CHECK(json::parse(both.body)["error"]["param"] == "response_format");
}

TEST_CASE("reply: marks arrive as special tokens or as text") {
    const text::Tokenizer tokenizer = test::small_tokenizer();
    const auto ids = tokenizer.encode(
        "<think>hm</think>\n\nyes<｜tool▁calls▁begin｜>"
        "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜><｜User｜>",
        true);
    serve::Reply reply(tokenizer, chat::kDeepSeekV31, {.reads_calls = true, .call_id = "c"});
    for (const int32_t id : ids) {
        const bool control = tokenizer.is_special(id);
        reply.read({.text = control ? "" : std::string(tokenizer.token_bytes(id)),
                    .id = id,
                    .tokens = 1,
                    .control = control});
    }
    reply.finish();
    CHECK(reply.reasoning() == "hm");
    CHECK(reply.content() == "yes");
    REQUIRE(reply.calls().size() == 1);
    CHECK(reply.calls()[0].name == "f");
    CHECK(reply.calls()[0].id == "c0");
    CHECK(reply.calls()[0].arguments == "{}");
}

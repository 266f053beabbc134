// Requests that must be refused: each gets a 4xx with an error object that names the field, and the
// next request is answered as ever.
#include <fstream>
#include <sstream>

#include "serve/support.h"

using namespace hadal;
using nlohmann::json;

namespace {

void check_refused(const http::Response& response, int status, const std::string& param) {
    CAPTURE(response.body);
    CHECK(response.status == status);
    const json error = json::parse(response.body).at("error");
    CHECK(error.at("message").get<std::string>().size() > 10);
    CHECK(error.at("type").is_string());
    CHECK(error.at("code").is_null() == (error.at("code") == nullptr));
    if (param.empty()) {
        CHECK(error.at("param").is_null());
    } else {
        CHECK(error.at("param") == param);
    }
}

std::string trimmed(const std::string& text) {
    const size_t begin = text.find_first_not_of(' ');
    if (begin == std::string::npos) return "";
    return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

std::string repeated(const std::string& text, size_t count) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
}

json with_message(const json& more) {
    json body = {{"messages", {{{"role", "user"}, {"content", "a"}}}}};
    body.update(more);
    return body;
}

/// A row of the table.
http::Response ask(test::ServedFixture& served, const std::string& path, const std::string& body) {
    const std::string completions = "/v1/completions";
    if (path == "raw") return served.answer(completions, body);
    if (path == "chat")
        return served.answer("/v1/chat/completions", with_message(json::parse(body)).dump());
    if (path != "completions") return served.answer(path, body);
    json whole = {{"prompt", "a"}};
    whole.update(json::parse(body));
    return served.answer(completions, whole.dump());
}

}  // namespace

TEST_CASE("bad requests: each of the table is refused by naming its field") {
    test::ServedFixture served;
    std::ifstream table(std::string(HADAL_TEST_DATA) + "/serve/bad_requests.txt");
    int rows = 0;
    for (std::string line; std::getline(table, line);) {
        if (line.empty() || line.front() == '#') continue;
        std::istringstream row(line);
        std::string path, status, param, body;
        std::getline(row, path, '|');
        std::getline(row, status, '|');
        std::getline(row, param, '|');
        std::getline(row, body);
        CAPTURE(line);
        check_refused(ask(served, trimmed(path), trimmed(body)), std::stoi(status), trimmed(param));
        ++rows;
    }
    CHECK(rows > 100);
    CHECK(served.json("/v1/completions", {{"prompt", "a"}})["choices"].size() == 1);
}

TEST_CASE("bad requests: large and deep ones are refused too, and soon") {
    test::ServedFixture served;
    const auto refused = [&](const std::string& path, const std::string& body,
                             const std::string& param) {
        CAPTURE(body.substr(0, 100));
        check_refused(served.answer(path, body), 400, param);
    };
    const std::string completions = "/v1/completions", chats = "/v1/chat/completions";
    refused(completions, repeated("[", 100'000), "");
    refused(completions, R"({"prompt": )" + repeated("[", 300) + repeated("]", 300) + "}", "");
    refused(completions, std::string("{\"prompt\": \"a\0\"}", 15), "");
    refused(completions, "{\"prompt\": \"\xff\"}", "");
    refused(completions, json({{"prompt", "a"}, {"stop", json(10'000, "a")}}).dump(), "stop");
    refused(completions, json({{"prompt", "a"}, {"stop", std::string(1 << 20, 'a')}}).dump(),
            "stop");
    json biases = json::object();
    for (int id = 0; id < 129'280; ++id) biases[std::to_string(id)] = 1;
    refused(completions, json({{"prompt", "a"}, {"logit_bias", biases}}).dump(), "logit_bias");
    refused(completions, json({{"prompt", json(10'000, "a")}}).dump(), "prompt");
    refused(completions, json({{"prompt", "a"}, {"model", std::string(5000, 'm')}}).dump(),
            "model");
    refused(completions, json({{"prompt", "a"}, {"guided_regex", repeated("(", 50'000)}}).dump(),
            "guided_regex");
    refused(completions,
            json({{"prompt", "a"}, {"guided_regex", std::string(1 << 20, 'a')}}).dump(),
            "guided_regex");
    json messages = json::array();
    for (int i = 0; i < 10'000; ++i) messages.push_back({{"role", "user"}, {"content", "a"}});
    refused(chats, json({{"messages", messages}}).dump(), "messages");
    json values = json::array();
    for (int i = 0; i < 100'000; ++i) values.push_back(i);
    const auto with_schema = [](json schema) {
        return with_message({{"response_format",
                              {{"type", "json_schema"},
                               {"json_schema", {{"name", "s"}, {"schema", std::move(schema)}}}}}})
            .dump();
    };
    const std::string field = "response_format.json_schema.schema";
    refused(chats, with_schema({{"enum", values}}), field);
    json deep = {{"type", "string"}};
    for (int i = 0; i < 80; ++i) deep = {{"type", "array"}, {"items", deep}};
    refused(chats, with_schema(deep), field);
    json tools = json::array();
    for (int i = 0; i < 200; ++i) {
        tools.push_back({{"type", "function"}, {"function", {{"name", std::to_string(i)}}}});
    }
    refused(chats, with_message({{"tools", tools}}).dump(), "tools");
    CHECK(served.json(completions, {{"prompt", "a"}})["choices"].size() == 1);
}

TEST_CASE("bad requests: a prompt beyond the context has OpenAI's code") {
    test::ServedFixture served;
    for (const size_t tokens : {512, 513, 100'000}) {
        CAPTURE(tokens);
        const http::Response response =
            served.answer("/v1/completions", json({{"prompt", json(tokens, 5)}}).dump());
        CHECK(response.status == 400);
        const json error = json::parse(response.body)["error"];
        CHECK(error["code"] == "context_length_exceeded");
        CHECK(error["param"] == "prompt");
    }
    const json fits = {{"prompt", json(511, 5)}, {"max_tokens", 100}, {"ignore_eos", true}};
    CHECK(served.json("/v1/completions", fits)["usage"]["completion_tokens"] == 1);
    const http::Response chat = served.answer(
        "/v1/chat/completions",
        json({{"messages", {{{"role", "user"}, {"content", std::string(5000, 'x')}}}}}).dump());
    CHECK(json::parse(chat.body)["error"]["code"] == "context_length_exceeded");
    CHECK(json::parse(chat.body)["error"]["param"] == "messages");
}

TEST_CASE("bad requests: what is too long in bytes is refused before anybody tokenises it") {
    test::ServedFixture served;
    const std::string huge(4 << 20, ' ');
    const auto error = [&](const std::string& path, const json& body) {
        const http::Response response = served.answer(path, body.dump());
        CHECK(response.status == 400);
        json told = json::parse(response.body)["error"];
        CHECK(told["code"] == "context_length_exceeded");
        CHECK(told["message"].get<std::string>().find("bytes") != std::string::npos);
        return told["param"].get<std::string>();
    };
    CHECK(error("/v1/completions", {{"prompt", huge}}) == "prompt");
    CHECK(error("/v1/completions", {{"prompt", {"a", huge}}}) == "prompt[1]");
    CHECK(error("/v1/completions", {{"prompt", "a"}, {"suffix", huge}}) == "suffix");
    CHECK(error("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", huge}}}}}) ==
          "messages");
    // More bytes than the context has tokens are no reason.
    std::string text;
    while (text.size() < 600) text += " once upon the end";
    REQUIRE(served.tokenizer.encode(text).size() < 500);
    CHECK(served.answer("/v1/completions", json({{"prompt", text}}).dump()).status == 200);
}

TEST_CASE("bad requests: fields that nobody knows are passed over") {
    test::ServedFixture served;
    const json body = {{"prompt", "a"},          {"store", true},     {"metadata", {{"a", 1}}},
                       {"service_tier", "x"},    {"user", "someone"}, {"stop", nullptr},
                       {"temperature", nullptr}, {"best_of", nullptr}};
    CHECK(served.json("/v1/completions", body)["choices"].size() == 1);
}

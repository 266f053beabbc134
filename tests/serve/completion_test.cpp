// /v1/completions through the service.
#include "serve/support.h"

using namespace hadal;
using nlohmann::json;

namespace {

/// A stream's pieces, put together by choice.
std::vector<std::string> streamed_texts(const std::vector<json>& events, size_t choices) {
    std::vector<std::string> texts(choices);
    for (const json& event : events) {
        for (const json& choice : event["choices"]) {
            texts[choice["index"].get<size_t>()] += choice["text"].get<std::string>();
        }
    }
    return texts;
}

}  // namespace

TEST_CASE("completions: a text has OpenAI's form, and the same one streamed gives the same text") {
    test::ServedFixture served;
    json body = {{"model", "small"}, {"prompt", "Once upon"},
                 {"max_tokens", 12}, {"temperature", 0.8},
                 {"seed", 5},        {"n", 2}};
    const json whole = served.json("/v1/completions", body);
    CHECK(whole["object"] == "text_completion");
    CHECK(whole["id"].get<std::string>().starts_with("cmpl-"));
    CHECK(whole["model"] == "small");
    REQUIRE(whole["choices"].size() == 2);
    CHECK(whole["choices"][0]["text"] != whole["choices"][1]["text"]);
    CHECK(whole["usage"]["completion_tokens"] == 24);
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    const auto events = test::events_of(served.answer("/v1/completions", body.dump()));
    const auto texts = streamed_texts(events, 2);
    for (size_t i = 0; i < 2; ++i) {
        CAPTURE(i);
        CHECK(whole["choices"][i]["index"] == i);
        CHECK(whole["choices"][i]["logprobs"].is_null());
        CHECK(whole["choices"][i]["finish_reason"] == "length");
        CHECK(texts[i] == whole["choices"][i]["text"]);
    }
    CHECK(events.back()["choices"].empty());
    CHECK(events.back()["usage"]["total_tokens"] == whole["usage"]["total_tokens"]);
    for (size_t i = 0; i + 1 < events.size(); ++i) CHECK(events[i]["usage"].is_null());
}

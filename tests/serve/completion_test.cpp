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

TEST_CASE("completions: every kind of prompt, in order, n texts each") {
    test::ServedFixture served;
    const auto ids = served.tokenizer.encode("the end");
    const json body = {{"prompt", {"the", "story"}}, {"max_tokens", 3}, {"n", 2}, {"seed", 1}};
    const json texts = served.json("/v1/completions", body)["choices"];
    REQUIRE(texts.size() == 4);
    for (size_t i = 0; i < 4; ++i) CHECK(texts[i]["index"] == i);
    const json second =
        served.json("/v1/completions",
                    {{"prompt", "story"}, {"max_tokens", 3}, {"n", 2}, {"seed", 1}})["choices"];
    CHECK(texts[2]["text"] == second[0]["text"]);
    CHECK(texts[3]["text"] == second[1]["text"]);

    const json greedy = {{"max_tokens", 5}, {"temperature", 0}};
    const auto text_of = [&](const json& prompt) {
        json request = greedy;
        request["prompt"] = prompt;
        return served.json("/v1/completions", request)["choices"][0]["text"];
    };
    auto with_bos = ids;
    with_bos.insert(with_bos.begin(), *served.tokenizer.bos_id());
    CHECK(text_of(with_bos) == text_of("the end"));  // a text gets BOS, ids are what they are
    CHECK(text_of(std::vector{ids, with_bos}) == text_of(ids));
}

TEST_CASE("completions: echo with log-probabilities scores the prompt as lm-eval reads it") {
    test::ServedFixture served;
    const std::vector<int32_t> ids = {7, 90, 12, 261, 45};
    const json body = {{"prompt", json::array({ids, {5, 6}})},
                       {"temperature", 0},
                       {"max_tokens", 1},
                       {"logprobs", 1},
                       {"seed", 1234},
                       {"echo", true}};
    const json answer = served.json("/v1/completions", body);
    const json& logprobs = answer["choices"][0]["logprobs"];
    for (const char* key : {"tokens", "token_logprobs", "top_logprobs", "text_offset"}) {
        CAPTURE(key);
        CHECK(logprobs[key].size() == ids.size() + 1);
    }
    CHECK(logprobs["token_logprobs"][0].is_null());
    CHECK(logprobs["top_logprobs"][0].is_null());
    CHECK(answer["choices"][1]["logprobs"]["tokens"].size() == 3);

    // Against the engine itself.
    infer::Request request;
    request.prompt = ids;
    request.max_new_tokens = 1;
    request.prompt_logprobs = request.logprobs = true;
    request.num_ids = served.tokenizer.vocab_size();
    infer::RequestResult result;
    float last = 0;
    request.on_token = [&](const infer::GeneratedToken& token) {
        last = token.logprob;
        return true;
    };
    request.on_finish = [&](const infer::RequestResult& finished) { result = finished; };
    test::Machine machine;
    infer::Engine engine(machine.context, served.model, {.cache_bytes = 1 << 22});
    engine.submit(request);
    while (engine.step()) {
    }
    for (size_t i = 1; i <= ids.size(); ++i) {
        CAPTURE(i);
        const float expected = i < ids.size() ? result.prompt_logprobs[i - 1] : last;
        CHECK(logprobs["token_logprobs"][i].get<float>() == expected);
        // Exactly the same number is among the alternatives; the largest of them is the best token.
        const json& top = logprobs["top_logprobs"][i];
        bool found = false;
        for (const auto& [token, value] : top.items()) {
            found = found || value == logprobs["token_logprobs"][i];
        }
        CHECK(found);
        CHECK(top.size() <= 2);
    }
    const json& generated = logprobs["top_logprobs"][ids.size()];
    CHECK(generated.size() == 1);  // at temperature 0 the token is the best one

    SUBCASE("with no token behind it") {
        json scored = body;
        scored["max_tokens"] = 0;
        const json only = served.json("/v1/completions", scored);
        CHECK(only["choices"][0]["logprobs"]["tokens"].size() == ids.size());
        CHECK(only["usage"]["completion_tokens"] == 0);
        for (size_t i = 1; i < ids.size(); ++i) {
            CHECK(only["choices"][0]["logprobs"]["token_logprobs"][i] ==
                  logprobs["token_logprobs"][i]);
        }
    }
    SUBCASE("streamed") {
        json stream = body;
        stream["stream"] = true;
        json tokens = json::array();
        for (const json& event : test::events_of(served.answer("/v1/completions", stream.dump()))) {
            for (const json& choice : event["choices"]) {
                if (choice["index"] != 0) continue;
                for (const json& token : choice["logprobs"]["tokens"]) tokens.push_back(token);
            }
        }
        CHECK(tokens == logprobs["tokens"]);
    }
}

TEST_CASE("completions: offsets of log-probabilities are where the tokens begin in the text") {
    test::ServedFixture served;
    const json body = {{"prompt", "the näive story"},
                       {"max_tokens", 8},
                       {"temperature", 0},
                       {"logprobs", 0},
                       {"echo", true}};
    const json choice = served.json("/v1/completions", body)["choices"][0];
    CHECK(choice["text"].get<std::string>().starts_with("the näive story"));
    const json& logprobs = choice["logprobs"];
    int64_t last = 0;
    for (const json& offset : logprobs["text_offset"]) {
        CHECK(offset.get<int64_t>() >= last);
        last = offset.get<int64_t>();
    }
    CHECK(logprobs["top_logprobs"][2].is_null());
    // BOS is a token of the prompt, but no part of the text.
    CHECK(logprobs["text_offset"][0] == 0);
    CHECK(logprobs["text_offset"][1] == 0);
}

TEST_CASE("completions: a stop string ends the text before it, whole and streamed") {
    test::ServedFixture served;
    json body = {{"prompt", "Once"}, {"max_tokens", 60}, {"temperature", 0}, {"ignore_eos", true}};
    const std::string text = served.json("/v1/completions", body)["choices"][0]["text"];
    const std::string stop = text.substr(text.size() / 2, 3);
    CAPTURE(stop);
    body["stop"] = {"never to be seen", stop};
    const json stopped = served.json("/v1/completions", body)["choices"][0];
    CHECK(stopped["text"] == text.substr(0, text.find(stop)));
    CHECK(stopped["finish_reason"] == "stop");
    body["stream"] = true;
    const auto events = test::events_of(served.answer("/v1/completions", body.dump()));
    CHECK(streamed_texts(events, 1)[0] == stopped["text"]);
    CHECK(events.back()["choices"][0]["finish_reason"] == "stop");
}

TEST_CASE("completions: the best of several texts is the one with the largest mean") {
    test::ServedFixture served;
    json body = {{"prompt", "Once"}, {"max_tokens", 6},    {"temperature", 1},
                 {"seed", 3},        {"ignore_eos", true}, {"logprobs", 0}};
    json all = body;
    all["n"] = 5;
    const json candidates = served.json("/v1/completions", all)["choices"];
    const auto mean = [](const json& choice) {
        double sum = 0;
        for (const json& value : choice["logprobs"]["token_logprobs"]) sum += value.get<double>();
        return sum / double(choice["logprobs"]["token_logprobs"].size());
    };
    double best = -1e9;
    for (const json& candidate : candidates) best = std::max(best, mean(candidate));
    body["best_of"] = 5;
    body["n"] = 2;
    const json chosen = served.json("/v1/completions", body);
    REQUIRE(chosen["choices"].size() == 2);
    CHECK(mean(chosen["choices"][0]) == doctest::Approx(best));
    CHECK(mean(chosen["choices"][0]) >= mean(chosen["choices"][1]));
    CHECK(chosen["choices"][1]["index"] == 1);
    CHECK(chosen["usage"]["completion_tokens"] == 30);  // all that were generated
}

TEST_CASE("completions: a suffix makes prefix, suffix, middle of the prompt") {
    test::ServedFixture served;
    const json body = {
        {"prompt", "the "}, {"suffix", " story"}, {"max_tokens", 4}, {"temperature", 0}};
    std::vector<int32_t> ids = {*served.tokenizer.bos_id()};
    const auto add = [&](const std::vector<int32_t>& more) {
        ids.insert(ids.end(), more.begin(), more.end());
    };
    add(served.tokenizer.encode("<｜fim▁begin｜>", true));
    add(served.tokenizer.encode("the "));
    add(served.tokenizer.encode("<｜fim▁hole｜>", true));
    add(served.tokenizer.encode(" story"));
    add(served.tokenizer.encode("<｜fim▁end｜>", true));
    const json filled = served.json("/beta/completions", body);
    CHECK(filled["usage"]["prompt_tokens"] == ids.size());
    const json expected =
        served.json("/v1/completions", {{"prompt", ids}, {"max_tokens", 4}, {"temperature", 0}});
    CHECK(filled["choices"][0]["text"] == expected["choices"][0]["text"]);
}

TEST_CASE("completions: control tokens that a text spells stay text") {
    test::ServedFixture served;
    const std::string name = "<｜Assistant｜>";
    const json answer = served.json("/v1/completions", {{"prompt", name}, {"max_tokens", 1}});
    CHECK(answer["usage"]["prompt_tokens"] == 1 + served.tokenizer.encode(name).size());
    CHECK(served.tokenizer.encode(name).size() > 1);
}

TEST_CASE("completions: biases, a regular expression and a JSON schema shape the text") {
    test::ServedFixture served;
    const auto id = served.tokenizer.encode("z").front();
    const json biased =
        served.json("/v1/completions", {{"prompt", "Once"},
                                        {"max_tokens", 4},
                                        {"temperature", 0},
                                        {"logit_bias", {{std::to_string(id), 100}}}});
    CHECK(biased["choices"][0]["text"] == "zzzz");
    for (const std::string key : {"guided_regex", "structured_outputs"}) {
        CAPTURE(key);
        json body = {{"prompt", "Once"}, {"max_tokens", 50}};
        const std::string pattern = "(yes|no), [0-9]{3}!";
        body[key] = key == "guided_regex" ? json(pattern) : json({{"regex", pattern}});
        const json choice = served.json("/v1/completions", body)["choices"][0];
        const std::string text = choice["text"];
        CHECK((text.starts_with("yes, ") || text.starts_with("no, ")));
        CHECK(text.ends_with("!"));
        CHECK(choice["finish_reason"] == "stop");
    }
    const json schema = {
        {"type", "object"}, {"properties", {{"a", {{"type", "boolean"}}}}}, {"required", {"a"}}};
    const json choice = served.json(
        "/v1/completions",
        {{"prompt", "Once"}, {"max_tokens", 100}, {"guided_json", schema}})["choices"][0];
    CHECK(json::parse(choice["text"].get<std::string>()).at("a").is_boolean());
}

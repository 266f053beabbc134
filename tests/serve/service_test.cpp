// What holds for every request: the engine is shared, clients leave, readers are slow.
#include "serve/support.h"

#include "formats/bfloat16.h"

#include <array>
#include <cmath>
#include <thread>

using namespace hadal;
using nlohmann::json;

namespace {

json long_request(bool stream) {
    return {{"prompt", "Once upon"}, {"max_tokens", 400}, {"temperature", 0.9}, {"seed", 11},
            {"ignore_eos", true},    {"stream", stream}};
}

/// Waits until the engine holds nothing.
void wait_until_idle(const serve::Service& service) {
    for (int i = 0; i < 6000; ++i) {
        const infer::EngineStats stats = service.engine().stats();
        if (stats.running == 0 && stats.waiting == 0) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL("the engine is not idle");
}

std::string text_of(const http::Response& response) {
    std::string text;
    for (const json& event : test::events_of(response)) {
        for (const json& choice : event["choices"]) text += choice["text"].get<std::string>();
    }
    return text;
}

}  // namespace

TEST_CASE("service: a request's text is the same alone and among many others") {
    std::vector<json> bodies;
    for (int i = 0; i < 24; ++i) {
        bodies.push_back({{"prompt", i % 3 == 0 ? "Once upon a time" : std::string(size_t(i), 'x')},
                          {"max_tokens", 5 + i},
                          {"temperature", i % 2 == 0 ? 0 : 1},
                          {"seed", i},
                          {"logprobs", 2},
                          {"stream", i % 4 == 0}});
    }
    bodies[0]["prompt"] = "the";
    std::vector<std::string> alone;
    test::ServedFixture served;
    const auto choices_of = [](const http::Response& response) {
        if (response.content_type != "text/event-stream") {
            return json::parse(response.body)["choices"].dump();
        }
        json choices = json::array();
        for (const json& event : test::events_of(response)) choices.push_back(event["choices"]);
        return choices.dump();
    };
    for (const json& body : bodies) {
        alone.push_back(choices_of(served.answer("/v1/completions", body.dump())));
    }
    std::vector<std::shared_ptr<test::FakeExchange>> exchanges;
    for (const json& body : bodies) {
        exchanges.push_back(served.ask("POST", "/v1/completions", body.dump()));
    }
    for (size_t i = 0; i < bodies.size(); ++i) {
        CAPTURE(bodies[i].dump());
        CHECK(choices_of(exchanges[i]->response()) == alone[i]);
    }
}

TEST_CASE("service: a client that goes away frees what its request held") {
    test::ServedFixture served;
    const std::vector<std::string> waits_for = {"", "data: "};
    for (const std::string& text : waits_for) {
        CAPTURE(text);
        json body = long_request(true);
        body["n"] = 3;
        const auto exchange = served.ask("POST", "/v1/completions", body.dump());
        exchange->wait_for(text);
        exchange->disconnect();
        exchange->response();
        wait_until_idle(served.service);
        const infer::EngineStats stats = served.service.engine().stats();
        CHECK(stats.free_pages + stats.idle_pages == stats.pages);
        CHECK(stats.generated_tokens < 1200);
    }
}

TEST_CASE("service: a slow reader gets the whole text in few pieces, others notice nothing") {
    test::ServedFixture served;
    const auto quick = served.ask("POST", "/v1/completions", long_request(true).dump());
    const std::string text = text_of(quick->response());
    json body = long_request(true);
    body["n"] = 1;
    http::Request request;
    request.method = "POST";
    request.path = "/v1/completions";
    request.body = body.dump();
    const auto slow = std::make_shared<test::FakeExchange>(request);
    slow->read_nothing(serve::Generation::kUnsentBytes + 1);
    served.service.handle(slow);
    CHECK(text_of(slow->response()) == text);
    CHECK(slow->writes() == 1);
    // One event for each token where nobody waits, few where nothing was read.
    CHECK(test::events_of(quick->response()).size() > 300);
    CHECK(test::events_of(slow->response()).size() < 150);
}

TEST_CASE("service: a stream that waits says so now and then") {
    test::ServedFixture served({.cache_bytes = 1 << 22, .max_sequences = 1}, {},
                               std::chrono::milliseconds(5));
    json body = long_request(true);
    const auto first = served.ask("POST", "/v1/completions", body.dump());
    first->wait_for("data: ");
    const auto second = served.ask("POST", "/v1/completions", body.dump());
    CHECK(text_of(second->response()) == text_of(first->response()));
    CHECK(second->response().body.starts_with(": keep-alive\n\n"));
}

TEST_CASE("service: a whole answer that takes long begins with empty lines, which are no JSON") {
    using std::chrono::milliseconds;
    json body = long_request(false);
    test::ServedFixture quick;
    const http::Response at_once = quick.answer("/v1/completions", body.dump());
    CHECK(at_once.body.starts_with("{"));
    test::ServedFixture served({.cache_bytes = 1 << 22, .max_sequences = 1}, {}, milliseconds(2),
                               {}, milliseconds(4));
    const http::Response slow = served.answer("/v1/completions", body.dump());
    CHECK(slow.body.starts_with("\n"));
    CHECK(slow.content_type == "application/json");
    CHECK(json::parse(slow.body)["choices"] == json::parse(at_once.body)["choices"]);
}

TEST_CASE("service: a least number of tokens is kept") {
    test::ServedFixture served;
    const int32_t end = *served.tokenizer.id_of("<｜end▁of▁sentence｜>");
    json body = {{"prompt", "the end"},
                 {"max_tokens", 20},
                 {"seed", 1},
                 {"logit_bias", {{std::to_string(end), 100}}}};
    const auto tokens = [&] {
        return served.json("/v1/completions", body)["usage"]["completion_tokens"].get<int>();
    };
    CHECK(tokens() == 0);
    body["min_tokens"] = 7;
    CHECK(tokens() == 7);
    body["min_tokens"] = 20;
    CHECK(tokens() == 20);
}

TEST_CASE("service: the server's limit of tokens holds for who names none") {
    test::ServedFixture served({.cache_bytes = 1 << 22}, {.max_tokens = 5});
    const json chat = {{"messages", {{{"role", "user"}, {"content", "a"}}}}, {"ignore_eos", true}};
    const auto tokens = [&](const std::string& path, const json& body) {
        return served.json(path, body)["usage"]["completion_tokens"];
    };
    CHECK(tokens("/v1/chat/completions", chat) == 5);
    CHECK(tokens("/v1/completions", {{"prompt", "a"}, {"ignore_eos", true}}) == 5);
    CHECK(served.answer("/v1/completions", R"({"prompt": "a", "max_tokens": 6})").status == 400);
}

TEST_CASE("service: after it was told to drain it ends what runs and takes nothing new") {
    test::ServedFixture served;
    const auto running = served.ask("POST", "/v1/completions", long_request(true).dump());
    running->wait_for("data: ");
    CHECK(served.service.drain(std::chrono::minutes(1)));
    CHECK(text_of(running->response()).size() > 100);
    const http::Response late = served.answer("/v1/completions", long_request(false).dump());
    CHECK(late.status == 503);
    CHECK(json::parse(late.body)["error"]["type"] == "service_unavailable_error");
}

TEST_CASE("service: weights that are no numbers fail the request that meets them, politely") {
    test::Machine machine;
    const text::Tokenizer tokenizer = test::small_tokenizer();
    model::Model model = test::small_model(machine.context, tokenizer.vocab_size());
    // The embedding of one token: only a prompt that holds it is lost.
    const int32_t poisoned = tokenizer.encode("q").front();
    for (bf16& value : model.weights.embed_tokens.row<bf16>(poisoned)) value = to_bf16(NAN);
    serve::Service service(machine.context, model, tokenizer,
                           {.model_name = "small", .engine = {.cache_bytes = 1 << 22}});
    const auto ask = [&](json body) {
        http::Request request;
        request.method = "POST";
        request.path = "/v1/completions";
        request.body = body.dump();
        auto exchange = std::make_shared<test::FakeExchange>(request);
        service.handle(exchange);
        return exchange->response();
    };
    const http::Response whole = ask({{"prompt", "qqq"}});
    CHECK(whole.status == 500);
    CHECK(json::parse(whole.body)["error"]["type"] == "server_error");
    const http::Response streamed = ask({{"prompt", "qqq"}, {"stream", true}});
    const auto events = test::events_of(streamed);
    REQUIRE(!events.empty());
    CHECK(events.back()["error"]["message"].is_string());
    const http::Response other =
        ask({{"prompt", "the"}, {"logit_bias", {{std::to_string(poisoned), -100}}}});
    CAPTURE(other.body);
    CHECK(other.status == 200);
}

TEST_CASE("service: the models, under every prefix and name") {
    test::ServedFixture served;
    for (const std::string prefix : {"/v1", "", "/beta"}) {
        CAPTURE(prefix);
        const json list = json::parse(served.ask("GET", prefix + "/models")->response().body);
        CHECK(list["object"] == "list");
        REQUIRE(list["data"].size() == 2);
        CHECK(list["data"][0]["id"] == "small");
        CHECK(list["data"][0]["max_model_len"] == 512);
        const auto one = served.ask("GET", prefix + "/models/deepseek-chat")->response();
        CHECK(json::parse(one.body)["id"] == "deepseek-chat");
        CHECK(served.ask("GET", prefix + "/models/other")->response().status == 404);
        CHECK(served.ask("GET", prefix + "/models/")->response().status == 404);
    }
}

TEST_CASE("service: a known path names the method that it is asked with") {
    test::ServedFixture served;
    for (const auto& [method, path, allowed] :
         {std::array{"GET", "/v1/completions", "POST"}, {"DELETE", "/v1/models", "GET, HEAD"}}) {
        const http::Response response = served.ask(method, path)->response();
        CHECK(response.status == 405);
        REQUIRE(response.headers.size() == 1);
        CHECK(response.headers[0].first == "Allow");
        CHECK(response.headers[0].second == allowed);
    }
}

TEST_CASE("service: a body that cannot be JSON by its type is a 415, what curl says is no matter") {
    test::ServedFixture served;
    const auto status = [&](const std::string& type) {
        http::Request request;
        request.method = "POST";
        request.path = "/v1/completions";
        request.headers = {{"Content-Type", type}};
        request.body = R"({"prompt": "a", "max_tokens": 1})";
        const auto exchange = std::make_shared<test::FakeExchange>(std::move(request));
        served.service.handle(exchange);
        return exchange->response().status;
    };
    for (const char* type : {"", "application/json; charset=utf-8", "text/plain",
                             "application/x-www-form-urlencoded"}) {
        CHECK(status(type) == 200);
    }
    for (const char* type : {"multipart/form-data; boundary=a", "Image/PNG"}) {
        CHECK(status(type) == 415);
    }
}

TEST_CASE("service: tokens of a text and back") {
    test::ServedFixture served;
    const std::string text = "näive <｜User｜> 中文";
    const json tokens = served.json("/tokenize", {{"prompt", text}, {"parse_special", false}});
    CHECK(tokens["count"] == tokens["tokens"].size());
    CHECK(tokens["tokens"][0] == *served.tokenizer.bos_id());
    const json plain = served.json(
        "/tokenize", {{"prompt", text}, {"add_special_tokens", false}, {"parse_special", false}});
    CHECK(plain["tokens"].get<std::vector<int32_t>>() == served.tokenizer.encode(text));
    CHECK(served.json("/detokenize", {{"tokens", plain["tokens"]}})["prompt"] == text);
    const json parsed = served.json("/tokenize", {{"prompt", text}});
    CHECK(parsed["count"] < tokens["count"]);
    const json messages = {{{"role", "user"}, {"content", "näive"}}};
    const json chat =
        served.json("/tokenize", {{"messages", messages}, {"return_token_strs", true}});
    CHECK(served.json("/detokenize", {{"tokens", chat["tokens"]}})["prompt"] ==
          "<｜begin▁of▁sentence｜><｜User｜>näive<｜Assistant｜>");
    CHECK(chat["token_strs"].front() == "<｜begin▁of▁sentence｜>");
    CHECK(chat["token_strs"].size() == chat["count"]);
    const json info = json::parse(served.ask("GET", "/tokenizer_info")->response().body);
    const json eos = {{"prompt", info["eos_token"]}, {"add_special_tokens", false}};
    CHECK(served.json("/tokenize", eos)["tokens"] == json({*served.tokenizer.eos_id()}));
}

TEST_CASE("service: the engine's figures, and the page with its policy") {
    test::ServedFixture served;
    served.json("/v1/completions", {{"prompt", "the"}, {"max_tokens", 3}, {"ignore_eos", true}});
    wait_until_idle(served.service);
    const json live = json::parse(served.ask("GET", "/v1/hadal/live")->response().body);
    CHECK(live["model"] == "small");
    CHECK(live["engine"]["generated_tokens"] == 3);
    CHECK(live["engine"]["pages"].get<int64_t>() > 0);
    const auto& config = served.model.config;
    const json& load = live["experts"]["load"];
    REQUIRE(load.size() == size_t(config.num_hidden_layers - config.first_k_dense_replace));
    for (const json& layer : load) {
        CHECK(layer.size() == size_t(config.n_routed_experts));
        double rows = 0;
        for (const json& expert : layer) rows += expert.get<double>();
        CHECK(rows > 0);
    }
    CHECK(live["uptime_seconds"].get<double>() > 0);
    const http::Response page = served.ask("GET", "/")->response();
    CHECK(page.content_type.starts_with("text/html"));
    CHECK(page.headers.front().first == "Content-Security-Policy");
}

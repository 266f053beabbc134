#include "serve/gate.h"

#include <nlohmann/json.hpp>

#include "serve/support.h"

using namespace hadal;
using namespace hadal::test;
using namespace std::chrono_literals;

namespace {

/// A service with a gate before it.
class GateFixture {
  public:
    explicit GateFixture(serve::GateOptions options = {},
                         std::chrono::milliseconds request_timeout = 0ms)
        : tokenizer(small_tokenizer()),
          model(small_model(machine.context, tokenizer.vocab_size(), 4096)),
          service(machine.context, model, tokenizer,
                  {.model_name = "small",
                   .engine = {.cache_bytes = 1 << 24, .max_sequences = 4},
                   .request_timeout = request_timeout,
                   .metrics = &metrics}),
          gate(service, metrics, std::move(options)) {}

    std::shared_ptr<FakeExchange> ask(const std::string& method, const std::string& path,
                                      const std::string& body = "",
                                      const std::string& authorization = "") {
        http::Request request;
        request.method = method;
        request.path = path;
        request.body = body;
        request.headers = {{"Authorization", authorization}, {"Origin", "https://a.example"}};
        auto exchange = std::make_shared<FakeExchange>(std::move(request));
        gate.handle(exchange);
        return exchange;
    }
    http::Response get(const std::string& path) {
        return ask("GET", path)->response();
    }

    Machine machine;
    text::Tokenizer tokenizer;
    model::Model model;
    serve::Metrics metrics{"small"};
    serve::Service service;
    serve::Gate gate;
};

const std::string kShort = R"({"prompt": "the end", "max_tokens": 3, "ignore_eos": true})";
const std::string kLong =
    R"({"prompt": "the end", "max_tokens": 4000, "ignore_eos": true, "stream": true})";

std::string header(const http::Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers) {
        if (key == name) return value;
    }
    return "";
}

}  // namespace

TEST_CASE("gate: without a key only health, readiness and the page are to be had") {
    GateFixture served({.keys = serve::ApiKeys::parse("sk-good", "keys")});
    for (const char* path : {"/health", "/ping", "/ready", "/"}) {
        CHECK(served.get(path).status == 200);
    }
    for (const char* path : {"/metrics", "/v1/models", "/v1/hadal/live", "/nothing", "//health"}) {
        CAPTURE(path);
        const http::Response response = served.get(path);
        CHECK(response.status == 401);
        CHECK(header(response, "WWW-Authenticate") == "Bearer");
        CHECK(nlohmann::json::parse(response.body)["error"]["code"] == "invalid_api_key");
    }
    for (const char* path : {"/v1/completions", "/v1/chat/completions", "/tokenize"}) {
        CHECK(served.ask("POST", path, kShort, "Bearer sk-bad")->response().status == 401);
    }
    CHECK(served.ask("POST", "/v1/completions", kShort, "Bearer sk-good")->response().status ==
          200);
}

TEST_CASE("gate: new keys are in force at once, old ones no more") {
    GateFixture served({.keys = serve::ApiKeys::parse("sk-old", "keys")});
    const auto status = [&](const std::string& key) {
        return served.ask("GET", "/v1/models", "", "Bearer " + key)->response().status;
    };
    CHECK(status("sk-old") == 200);
    CHECK(status("sk-new") == 401);
    served.gate.set_keys(serve::ApiKeys::parse("sk-new", "keys"));
    CHECK(status("sk-old") == 401);
    CHECK(status("sk-new") == 200);
}

TEST_CASE("gate: HEAD is answered as GET is") {
    GateFixture served;
    CHECK(served.ask("HEAD", "/v1/models")->response().status == 200);
    CHECK(served.ask("HEAD", "/health")->response().status == 200);
    CHECK(served.ask("HEAD", "/nothing")->response().status == 404);
}

TEST_CASE("gate: other origins' pages find their header on answers, streams and errors") {
    GateFixture served({.keys = serve::ApiKeys::parse("sk-good", "keys"),
                        .cross_origin = serve::CrossOrigin({"https://a.example"})});
    constexpr auto kHeader = "Access-Control-Allow-Origin";
    CHECK(header(served.get("/health"), kHeader) == "https://a.example");
    CHECK(header(served.get("/v1/models"), kHeader) == "https://a.example");  // a 401
    const auto stream =
        served.ask("POST", "/v1/completions", R"({"prompt": "a", "max_tokens": 2, "stream": true})",
                   "Bearer sk-good");
    CHECK(header(stream->response(), kHeader) == "https://a.example");
    CHECK(served.ask("OPTIONS", "/v1/completions")->response().status == 200);
}

TEST_CASE("gate: a page of another origin gets no work done") {
    GateFixture served;
    http::Request request;
    request.method = "POST";
    request.path = "/v1/completions";
    request.body = kShort;
    request.headers = {{"Origin", "https://b.example"}, {"Sec-Fetch-Site", "cross-site"}};
    const auto exchange = std::make_shared<FakeExchange>(std::move(request));
    served.gate.handle(exchange);
    CHECK(exchange->response().status == 403);
    CHECK(served.service.engine().stats().prompt_tokens == 0);
}

TEST_CASE("gate: one open request too many hears 429, and its place comes back") {
    GateFixture served({.open_requests = 2});
    const auto first = served.ask("POST", "/v1/completions", kLong);
    const auto second = served.ask("POST", "/v1/completions", kLong);
    first->wait_for("data:");
    const http::Response third = served.ask("POST", "/v1/completions", kShort)->response();
    CHECK(third.status == 429);
    CHECK(header(third, "Retry-After") == "1");
    CHECK(nlohmann::json::parse(third.body)["error"]["code"] == "rate_limit_exceeded");
    CHECK(served.get("/v1/models").status == 200);  // costs nothing
    first->disconnect();
    second->disconnect();
    first->response();
    second->response();
    CHECK(served.ask("POST", "/v1/completions", kShort)->response().status == 200);
    for (int i = 0; i < 5; ++i) {  // what is wrong gives its place back, too
        CHECK(served.ask("POST", "/v1/completions", "nonsense")->response().status == 400);
    }
    CHECK(served.get("/metrics")
              .body.find("hadal:open_requests{model_name=\"small\",engine=\"0\"} "
                         "0") != std::string::npos);
}

TEST_CASE("gate: an answer that takes longer than allowed is a 504, in a stream an error") {
    GateFixture served({}, 50ms);
    const std::string whole = R"({"prompt": "the end", "max_tokens": 4000, "ignore_eos": true})";
    const http::Response late = served.ask("POST", "/v1/completions", whole)->response();
    CHECK(late.status == 504);
    CHECK(late.body.find("longer than this server allows") != std::string::npos);
    const http::Response stream = served.ask("POST", "/v1/completions", kLong)->response();
    CHECK(stream.status == 200);
    CHECK(stream.body.find("longer than this server allows") != std::string::npos);
}

TEST_CASE("gate: metrics count what was asked") {
    GateFixture served;
    CHECK(served.ask("POST", "/v1/completions", kShort)->response().status == 200);
    served.gate.answered(served.ask("GET", "/health")->request(), {.status = 200});
    const std::string text = served.get("/metrics").body;
    const std::string labels = "{model_name=\"small\",engine=\"0\"";
    for (const std::string& line :
         {"vllm:time_to_first_token_seconds_count" + labels + "} 1\n",
          "vllm:inter_token_latency_seconds_count" + labels + "} 2\n",
          "vllm:request_generation_tokens_sum" + labels + "} 3\n",
          "http_requests_total" + labels + ",handler=\"/health\",status=\"200\"} 1\n"}) {
        CAPTURE(line);
        CHECK(text.find(line) != std::string::npos);
    }
}

TEST_CASE("gate: an engine that is in a step for too long is not healthy") {
    GateFixture served({.longest_step = 1ns});  // any step is
    const auto becomes = [&](const std::string& path, int status) {
        for (int i = 0; i < 100'000; ++i) {
            if (served.get(path).status == status) return true;
        }
        return false;
    };
    CHECK(served.get("/health").status == 200);
    const auto running = served.ask("POST", "/v1/completions", kLong);
    CHECK(becomes("/health", 503));
    CHECK(becomes("/ready", 503));
    running->disconnect();
    CHECK(becomes("/health", 200));
}

TEST_CASE("gate: a server that shuts down is alive and not ready") {
    GateFixture served;
    CHECK(served.get("/ready").status == 200);
    served.gate.drain();
    CHECK(served.get("/ready").status == 503);
    CHECK(served.get("/health").status == 200);
}

TEST_CASE("gate: whoever speaks Anthropic's API hears of every refusal in its form") {
    GateFixture served({.keys = serve::ApiKeys::parse("sk-good", "keys"), .open_requests = 0});
    const auto type = [](const http::Response& response) {
        const auto error = nlohmann::json::parse(response.body);
        CHECK(error["type"] == "error");
        return error["error"]["type"].get<std::string>();
    };
    const http::Response no_key = served.ask("POST", "/v1/messages", "{}")->response();
    CHECK(no_key.status == 401);
    CHECK(type(no_key) == "authentication_error");
    const http::Response busy =
        served.ask("POST", "/anthropic/v1/messages", "{}", "Bearer sk-good")->response();
    CHECK(busy.status == 429);
    CHECK(type(busy) == "rate_limit_error");
    GateFixture slow({}, 20ms);
    const http::Response late =
        slow.ask(
                "POST", "/v1/messages",
                R"({"max_tokens": 4000, "temperature": 0, "messages": [{"role": "user", "content": "a"}]})")
            ->response();
    CHECK(late.status == 504);
    CHECK(type(late) == "timeout_error");
}

#include "serve/metrics.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <sstream>

#include "core/file_map.h"
#include "serve/access_log.h"

using namespace hadal;
using serve::Histogram;
using serve::Metrics;

namespace {

/// Samples by name and labels; checks the form of every line, and that a family is introduced once.
std::map<std::string, double> samples_of(const std::string& text) {
    std::map<std::string, double> samples;
    std::set<std::string> families;
    std::istringstream lines(text);
    std::string line, family;
    while (std::getline(lines, line)) {
        CAPTURE(line);
        if (line.starts_with("# TYPE ")) {
            family = line.substr(7, line.find(' ', 7) - 7);
            CHECK(families.insert(family).second);
        }
        if (line.starts_with("#")) continue;
        CHECK(line.starts_with(family));
        const size_t space = line.rfind(' ');
        REQUIRE(space != std::string::npos);
        CHECK(samples.emplace(line.substr(0, space), std::stod(line.substr(space))).second);
    }
    return samples;
}

}  // namespace

TEST_CASE("metrics: a histogram counts values up to and with each bound") {
    static constexpr double kBounds[] = {1, 2, 4};
    Histogram histogram(kBounds);
    for (const double value : {0.5, 1.0, 1.5, 4.0, 100.0}) histogram.add(value);
    CHECK(histogram.at_most(0) == 2);
    CHECK(histogram.at_most(1) == 3);
    CHECK(histogram.at_most(2) == 4);
    CHECK(histogram.count() == 5);
    CHECK(histogram.sum() == 107);
}

TEST_CASE("metrics: names, labels and numbers are those that dashboards read") {
    Metrics metrics("a \"quoted\\ name");
    infer::RequestResult result;
    result.tokens = {1, 2, 3};
    result.prompt_tokens = 7;
    result.queue_seconds = 1;
    result.prefill_seconds = 2;
    result.decode_seconds = 4;
    metrics.ended(result);
    result.finish_reason = infer::FinishReason::cancelled;
    metrics.ended(result);
    metrics.first_token(3);
    metrics.asked(2, 100);
    metrics.step(40);
    metrics.token(0.01);
    metrics.token(0.02);
    metrics.answered("/v1/models", 200);
    metrics.answered("/invented/1", 404);
    metrics.answered("/invented/2", 404);
    infer::EngineStats engine;
    engine.pages = 10;
    engine.free_pages = 3;
    engine.idle_pages = 2;
    engine.generated_tokens = 3;
    const std::string text = metrics.text({.engine = engine,
                                           .expert_load = {{1, 1, 1, 1}, {0, 0, 0, 8}, {0, 0}},
                                           .first_expert_layer = 3,
                                           .open_requests = 2});
    const auto samples = samples_of(text);
    const auto value = [&](const std::string& name, const std::string& more = "") {
        const std::string key =
            name + "{model_name=\"a \\\"quoted\\\\ name\",engine=\"0\"" + more + "}";
        CAPTURE(key);
        REQUIRE(samples.contains(key));
        return samples.at(key);
    };
    CHECK(value("vllm:kv_cache_usage_perc") == 0.5);
    CHECK(value("vllm:generation_tokens_total") == 3);
    CHECK(value("vllm:time_to_first_token_seconds_sum") == 3);
    CHECK(value("vllm:time_to_first_token_seconds_count") == 1);
    CHECK(value("vllm:time_to_first_token_seconds_bucket", ",le=\"2.5\"") == 0);
    CHECK(value("vllm:time_to_first_token_seconds_bucket", ",le=\"5\"") == 1);
    CHECK(value("vllm:time_to_first_token_seconds_bucket", ",le=\"+Inf\"") == 1);
    CHECK(value("vllm:e2e_request_latency_seconds_sum") == 7);
    CHECK(value("vllm:e2e_request_latency_seconds_count") == 1);  // not the cancelled one
    CHECK(value("vllm:request_params_n_sum") == 2);
    CHECK(value("vllm:request_params_max_tokens_sum") == 100);
    CHECK(value("vllm:iteration_tokens_total_bucket", ",le=\"32\"") == 0);
    CHECK(value("vllm:iteration_tokens_total_bucket", ",le=\"64\"") == 1);
    CHECK(value("vllm:request_time_per_output_token_seconds_sum") == 2);
    CHECK(value("vllm:inter_token_latency_seconds_bucket", ",le=\"0.01\"") == 1);
    CHECK(value("vllm:request_success_total", ",finished_reason=\"length\"") == 1);
    CHECK(value("vllm:request_success_total", ",finished_reason=\"abort\"") == 1);
    CHECK(value("http_requests_total", ",handler=\"/v1/models\",status=\"200\"") == 1);
    CHECK(value("http_requests_total", ",handler=\"other\",status=\"404\"") == 2);
    CHECK(value("hadal:expert_load_max_over_mean", ",layer=\"3\"") == 1);
    CHECK(value("hadal:expert_load_max_over_mean", ",layer=\"4\"") == 4);
    CHECK(value("hadal:expert_load_max_over_mean", ",layer=\"5\"") == 0);
    CHECK(value("hadal:open_requests") == 2);
}

TEST_CASE("metrics: what the board in deploy/ asks for is there") {
    Metrics metrics("m");
    metrics.ended({});
    metrics.answered("/", 200);
    const std::string text = metrics.text({.engine = {}, .expert_load = {{1}}});
    const std::string board = read_file(HADAL_TEST_DATA "/../deploy/grafana.json");
    int found = 0;
    for (const std::string prefix : {"vllm:", "hadal:", "http_requests"}) {
        for (size_t at = board.find(prefix); at != std::string::npos;
             at = board.find(prefix, at + 1)) {
            const size_t end = board.find_first_of("{,[", at);
            const std::string name = board.substr(at, end - at);
            CAPTURE(name);
            CHECK(text.find("\n" + name + "{") != std::string::npos);
            ++found;
        }
    }
    CHECK(found > 15);
}

TEST_CASE("access log: a line says who, what and how it ended, and nothing of the text") {
    http::Request request;
    request.method = "POST";
    request.path = "/v1/completions\n\xff" + std::string(1000, 'x');
    request.query = "key=secret";
    request.body = "the prompt";
    request.id = "req-1";
    request.peer = "::1";
    request.headers = {{"Authorization", "Bearer sk-secret"}};
    const std::string line = serve::access_line(
        request, {.status = 200, .body_bytes = 12, .disconnected = true}, "alice");
    CHECK(line.find("\"id\":\"req-1\"") != std::string::npos);
    CHECK(line.find("\"status\":200") != std::string::npos);
    CHECK(line.find("\"key\":\"alice\"") != std::string::npos);
    CHECK(line.find("\"disconnected\":true") != std::string::npos);
    CHECK(line.find("secret") == std::string::npos);
    CHECK(line.find("prompt") == std::string::npos);
    CHECK(line.find('\n') == std::string::npos);
    CHECK(line.size() < 500);
}

#include "cli/plan_page.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "model/config.h"
#include "plan/answers.h"
#include "plan/presets.h"

using namespace hadal;
using namespace hadal::cli;
using nlohmann::json;

namespace {

http::Response send(const std::string& method, const std::string& path, const std::string& body) {
    http::Request request;
    request.method = method;
    request.path = path;
    request.body = body;
    return answer_plan_page(request);
}

json ask(const json& question) {
    const http::Response response = send("POST", "/plan/ask", question.dump());
    CAPTURE(response.body);
    REQUIRE(response.status == 200);
    return json::parse(response.body);
}

std::string refusal(const json& question) {
    const http::Response response = send("POST", "/plan/ask", question.dump());
    CHECK(response.status == 400);
    return json::parse(response.body).at("error").at("message");
}

const json& figure(const json& answer, const std::string& key) {
    for (const json& section : answer.at("sections")) {
        for (const json& one : section.at("figures")) {
            if (one.at("key") == key) return one;
        }
    }
    FAIL("no figure ", key);
    return answer;
}

const json& input(const json& answer, const std::string& key) {
    for (const json& one : answer.at("inputs")) {
        if (one.at("key") == key) return one;
    }
    FAIL("no input ", key);
    return answer;
}

}  // namespace

TEST_CASE("plan page: its figures are those of the planner") {
    plan::Inputs inputs;
    plan::apply_preset(inputs, plan::PresetKind::cluster, "h800-2048");
    inputs.model = "v3-671b";
    const model::ModelConfig config = model::preset("v3-671b");
    const std::pair<const char*, plan::Answer> answers[] = {
        {"train", plan::answer_train(config, inputs)},
        {"memory", plan::answer_memory(config, inputs)},
        {"serve", plan::answer_serve(config, inputs)},
        {"failures", plan::answer_failures(config, inputs)},
    };
    for (const auto& [question, expected] : answers) {
        CAPTURE(question);
        const json answer = ask({{"question", question}});
        CHECK(answer.at("title") == expected.title);
        CHECK(answer.at("headline") == json(expected.headline));
        for (const plan::Section& section : expected.sections) {
            for (const plan::Figure& one : section.figures) {
                CAPTURE(one.key);
                const json& shown = figure(answer, one.key);
                CHECK(shown.at("value").get<double>() == one.value);
                CHECK(shown.at("text") == plan::quantity(one.value, one.unit));
                CHECK(shown.contains("published") == one.published.has_value());
            }
        }
    }
}

TEST_CASE("plan page: settings, clusters and scenarios change the answer as on the command line") {
    const json slower =
        ask({{"question", "train"}, {"settings", {{"network.scale_out_gb_per_s", "25"}}}});
    const double step = figure(ask({{"question", "train"}}), "step_seconds").at("value");
    // docs/planning.md: half the network costs 61 % more time.
    CHECK(figure(slower, "step_seconds").at("value").get<double>() / step ==
          doctest::Approx(1.61).epsilon(0.01));
    CHECK(input(slower, "network.scale_out_gb_per_s").at("value") == "25");
    CHECK(input(slower, "network.scale_out_gb_per_s").at("kind") == "given");

    const json other = ask({{"question", "memory"}, {"model", "kimi-k2"}, {"cluster", "h200"}});
    CHECK(other.at("model") == "kimi-k2");
    CHECK(other.at("cluster") == "h200");
    CHECK(other.at("memory").at("capacity").get<double>() > 140e9);
    const json deeper = ask({{"scenarios", {"mtp-2"}}});
    CHECK(input(deeper, "layout.mtp").at("value") == "2");
}

TEST_CASE("plan page: the timeline is a step's beginning, without two things at one time") {
    for (const char* schedule : {"dualpipe", "dualpipev", "1f1b", "interleaved", "zb-h1", "zb-v"}) {
        CAPTURE(schedule);
        const json settings = {{"layout.schedule", schedule}, {"layout.batch", "16384"}};
        const json timeline = ask({{"settings", settings}}).at("timeline");
        REQUIRE(timeline.at("rows").size() == 16);
        CHECK(timeline.at("micro_batches") == 48);
        CHECK(timeline.at("of") == 128);
        const double makespan = timeline.at("makespan");
        for (const json& row : timeline.at("rows")) {
            std::vector<std::pair<double, double>> spans;
            for (const auto& [shade, times] : row.items()) {
                REQUIRE(times.size() % 2 == 0);
                for (size_t i = 0; i < times.size(); i += 2)
                    spans.emplace_back(times[i].get<double>(), times[i + 1].get<double>());
            }
            std::ranges::sort(spans);
            for (size_t i = 0; i < spans.size(); ++i) {
                CHECK(spans[i].second >= spans[i].first);
                CHECK(spans[i].second <= makespan * (1 + 1e-12));
                if (i > 0) CHECK(spans[i].first >= spans[i - 1].second - 1e-9 * makespan);
            }
        }
    }
    const json alone = {{"layout.pp", "1"}, {"layout.batch", "14336"}, {"layout.schedule", "1f1b"}};
    CHECK(ask({{"settings", alone}}).at("timeline").is_null());
}

TEST_CASE("plan page: memory is the sum of its parts") {
    const json memory = ask({{"question", "memory"}}).at("memory");
    REQUIRE(memory.at("ranks").size() == 16);
    for (const json& rank : memory.at("ranks")) {
        double sum = 0;
        for (const char* part : {"weights", "gradients", "optimizer", "activations", "buffers"})
            sum += rank.at(part).get<double>();
        CHECK(sum == doctest::Approx(rank.at("total").get<double>()));
    }
    CHECK(memory.at("capacity") == 80e9);
}

TEST_CASE("plan page: what cannot be is refused in one line") {
    CHECK(refusal({{"settings", {{"layout.pp", "7"}}}}).find("multiple") != std::string::npos);
    CHECK(refusal({{"settings", {{"layout.ppp", "8"}}}}).find("layout.pp") != std::string::npos);
    CHECK(refusal({{"settings", {{"layout.pp", "-8"}}}}).find("layout.pp") != std::string::npos);
    CHECK(refusal({{"settings", {{"layout.pp", 8}}}}).find("text") != std::string::npos);
    CHECK(refusal({{"question", "weather"}}).find("train") != std::string::npos);
    CHECK(refusal({{"scenarios", "mtp-1"}}).find("list") != std::string::npos);
    CHECK(refusal(json::array()).find("object") != std::string::npos);
    CHECK(send("POST", "/plan/ask", "{").status == 400);
    CHECK(send("POST", "/plan/ask", "").status == 400);
}

TEST_CASE("plan page: no file is read for those who ask") {
    for (const char* path : {"/etc/passwd", "../h200", "recipes/clusters/h200.toml", ""}) {
        CAPTURE(path);
        CHECK(refusal({{"cluster", path}}).starts_with("unknown cluster"));
        CHECK(refusal({{"model", path}}).starts_with("unknown model"));
        CHECK(refusal({{"scenarios", {path}}}).starts_with("unknown scenario"));
    }
}

TEST_CASE("plan page: the page with its policy, the choices, and nothing else") {
    const http::Response page = send("GET", "/", "");
    CHECK(page.status == 200);
    CHECK(page.content_type == "text/html; charset=utf-8");
    CHECK(page.headers.front().first == "Content-Security-Policy");
    const json choices = json::parse(send("GET", "/plan/choices", "").body);
    CHECK(choices.at("models").size() == model::preset_names().size());
    CHECK(choices.at("clusters").size() > 5);
    CHECK(send("GET", "/plan", "").status == 404);
    CHECK(send("GET", "/plan/ask", "").status == 405);
    CHECK(send("POST", "/", "").status == 405);
}

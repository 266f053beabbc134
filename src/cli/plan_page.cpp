#include "cli/plan_page.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/plan_page_json.h"
#include "core/error.h"
#include "core/json.h"
#include "core/nearest_name.h"
#include "plan/answers.h"
#include "plan/presets.h"
#include "serve/page.h"

namespace hadal::cli {

namespace {

using nlohmann::json;

struct Question {
    std::string_view name;
    plan::Answer (*answer)(const model::ModelConfig& config, const plan::Inputs& inputs);
    bool trains;  // has a layout of pipeline ranks
};
constexpr Question kQuestions[] = {
    {"train", plan::answer_train, true},
    {"memory", plan::answer_memory, true},
    {"serve", plan::answer_serve, false},
    {"failures", plan::answer_failures, false},
};

Error wrong(const std::string& message) {
    return Error(Error::Kind::usage, message);
}

/// The text at `key`, or `fallback` where there is none.
std::string text_at(const json& body, const char* key, std::string_view fallback) {
    const auto found = body.find(key);
    if (found == body.end()) return std::string(fallback);
    if (!found->is_string()) throw wrong(concat("\"", key, "\" must be text"));
    return *found;
}

const std::string& one_of(const std::vector<std::string>& names, const std::string& name,
                          std::string_view what) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end())
        throw wrong(concat("unknown ", what, " '", name, "'", did_you_mean(name, names)));
    return *found;
}

void apply_scenarios(const json& body, plan::Inputs& inputs) {
    const auto found = body.find("scenarios");
    if (found == body.end()) return;
    if (!found->is_array()) throw wrong("\"scenarios\" must be a list of names");
    const auto names = plan::preset_names(plan::PresetKind::scenario);
    for (const json& name : *found) {
        if (!name.is_string()) throw wrong("\"scenarios\" must be a list of names");
        plan::apply_preset(inputs, plan::PresetKind::scenario, one_of(names, name, "scenario"));
    }
}

void apply_settings(const json& body, plan::Inputs& inputs) {
    const auto found = body.find("settings");
    if (found == body.end()) return;
    if (!found->is_object()) throw wrong("\"settings\" must be an object of texts");
    for (const auto& [key, value] : found->items()) {
        if (!value.is_string()) throw wrong(concat("the setting ", key, " must be text"));
        plan::set_input(inputs, key, value.get<std::string>(),
                        {plan::Origin::Kind::given, "this page"}, "settings");
    }
}

plan::Inputs inputs_of(const json& body) {
    plan::Inputs inputs;
    const auto clusters = plan::preset_names(plan::PresetKind::cluster);
    const std::string cluster = text_at(body, "cluster", "h800-2048");
    plan::apply_preset(inputs, plan::PresetKind::cluster, one_of(clusters, cluster, "cluster"));
    inputs.model = "v3-671b";
    apply_scenarios(body, inputs);
    inputs.model = one_of(model::preset_names(), text_at(body, "model", inputs.model), "model");
    apply_settings(body, inputs);
    plan::check_complete(inputs);
    return inputs;
}

json ask(const http::Request& request) {
    const json body = parse_json(request.body, "the question");
    if (!body.is_object()) throw wrong("the question must be an object");
    const std::string name = text_at(body, "question", "train");
    const auto* question = std::ranges::find(kQuestions, name, &Question::name);
    if (question == std::end(kQuestions))
        throw wrong(concat("unknown question '", name, "' (train, memory, serve or failures)"));
    const plan::Inputs inputs = inputs_of(body);
    const model::ModelConfig config = model::preset(inputs.model);
    json result = answer_json(question->answer(config, inputs));
    result["model"] = inputs.model;
    result["cluster"] = inputs.cluster;
    result["inputs"] = inputs_json(inputs);
    if (question->trains) {
        result["memory"] = memory_json(config, inputs);
        result["timeline"] = timeline_json(config, inputs);
    }
    return result;
}

json choices() {
    return {{"models", model::preset_names()},
            {"clusters", plan::preset_names(plan::PresetKind::cluster)},
            {"scenarios", plan::preset_names(plan::PresetKind::scenario)}};
}

http::Response refusal(int status, const std::string& message) {
    return {.status = status, .body = json{{"error", {{"message", message}}}}.dump()};
}

http::Response plan_page() {
    const serve::Page& page = serve::page("plan");
    return {.content_type = "text/html; charset=utf-8",
            .body = std::string(page.html),
            .headers = {{"Content-Security-Policy", std::string(page.content_security_policy)},
                        {"X-Content-Type-Options", "nosniff"},
                        {"Referrer-Policy", "no-referrer"},
                        {"Cache-Control", "no-cache"}}};
}

struct Route {
    std::string_view method, path;
    http::Response (*answer)(const http::Request& request);
};
constexpr Route kRoutes[] = {
    {"GET", "/", [](const http::Request&) { return plan_page(); }},
    {"GET", "/plan/choices",
     [](const http::Request&) { return http::Response{.body = choices().dump()}; }},
    {"POST", "/plan/ask",
     [](const http::Request& request) { return http::Response{.body = ask(request).dump()}; }},
};

}  // namespace

http::Response answer_plan_page(const http::Request& request) {
    const auto* route = std::ranges::find(kRoutes, request.path, &Route::path);
    if (route == std::end(kRoutes))
        return refusal(404, concat("there is nothing at ", request.path));
    if (route->method != request.method) {
        http::Response response = refusal(405, concat(request.path, " wants ", route->method));
        response.headers = {{"Allow", std::string(route->method)}};
        return response;
    }
    try {
        return route->answer(request);
    } catch (const Error& error) {
        if (error.kind() == Error::Kind::internal) throw;
        return refusal(400, error.what());
    }
}

}  // namespace hadal::cli
